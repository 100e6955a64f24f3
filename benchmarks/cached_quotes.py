"""A quote that is in the cache, which the processes of a machine share: SQLite, or Redis."""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.measure import Line
from benchmarks.server import settings
from kis_assets import create_data_source
from kis_assets.settings import Settings

GROUP = "quotes"
TIMES = 2_000


def quotes(folder: Path, url: str) -> list[Line]:
    """The median and the 99th of a hundred, in each of the two."""
    in_file = _taken(settings(folder / "file", url))
    lines = _lines("SQLite", in_file, {})
    with _redis(folder / "redis") as address:
        if address is None:
            return [*lines, Line(GROUP, "cached in Redis", None, beside="no redis-server here")]
        in_redis = _taken(settings(folder / "shared", url, redis_url=address))
    return lines + _lines("Redis", in_redis, {"SQLite": in_file})


def _lines(
    name: str, taken: tuple[float, float], others: dict[str, tuple[float, float]]
) -> list[Line]:
    return [
        Line(
            GROUP,
            f"cached in {name}, {which}",
            taken[place],
            others={it: found[place] for it, found in others.items()},
        )
        for place, which in enumerate(("median", "99 of 100 within"))
    ]


def _taken(given: Settings) -> tuple[float, float]:
    taken: list[float] = []
    with create_data_source(settings=given) as source:
        source.get_current_price("005930")
        for _ in range(TIMES):
            started = time.perf_counter()
            source.get_current_price("005930")
            taken.append((time.perf_counter() - started) * 1000)
    cut = statistics.quantiles(taken, n=100)
    return cut[49], cut[98]


@contextmanager
def _redis(folder: Path) -> Iterator[str | None]:
    """A Redis server of this machine that stores nothing on disk, ended after it; None without."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        yield None
        return
    folder.mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", folder]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(500):
                with suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                time.sleep(0.01)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
