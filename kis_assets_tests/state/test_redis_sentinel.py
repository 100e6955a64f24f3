"""A failover in mid-run: Sentinel puts a replica in the place of a Redis server that died."""

from __future__ import annotations

import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from kis_assets.kis.quotes import PRICE
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.kis import KISDataSource
from kis_assets.transport.fan_out import each
from kis_assets_tests.conftest import APP_KEY, APP_SECRET, free_port, running_redis
from kis_assets_tests.support.asking import SAMSUNG
from kis_assets_tests.transport.test_processes import asking

pytestmark = pytest.mark.scale

log = logging.getLogger(__name__)

RATE = 18
DIES_AFTER, REQUESTS = 8.0, 700
SERVICE = "shared"


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """The address of a server, its replica and three Sentinels, and the port of the server."""
    if shutil.which("redis-sentinel") is None:
        pytest.skip("needs redis-sentinel")
    with ExitStack() as held:
        master, replica, *sentinels = ports = [free_port() for _ in range(5)]
        for port in ports:
            (tmp_path / str(port)).mkdir()
        held.enter_context(running_redis(tmp_path / str(master), master))
        of = ("--replicaof", f"127.0.0.1 {master}", "--repl-diskless-sync-delay", "0")
        held.enter_context(running_redis(tmp_path / str(replica), replica, "", "127.0.0.1", *of))
        for port in sentinels:
            config = tmp_path / str(port) / "sentinel.conf"
            config.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {config.parent}\n"
                f"sentinel monitor {SERVICE} 127.0.0.1 {master} 2\n"
                f"sentinel down-after-milliseconds {SERVICE} 2000\n"
                f"sentinel failover-timeout {SERVICE} 10000\n"
            )
            program = subprocess.Popen(["redis-sentinel", config], stdout=subprocess.DEVNULL)
            held.callback(program.wait)
            held.callback(program.terminate)
        time.sleep(3)  # until the Sentinels know each other and the replica
        hosts = ",".join(f"127.0.0.1:{port}" for port in sentinels)
        yield f"redis+sentinel://{hosts}/{SERVICE}/0", master


@pytest.mark.parametrize("end", ["killed", "replaced"])
def test_no_stock_is_lost_and_the_rate_is_kept(
    watched: tuple[str, int], market: ModelMarket, tmp_path: Path, end: str
) -> None:
    """One process asks with ten threads as a run does, another one beside it all the time."""
    import redis

    url, master = watched
    simulator = Simulator(market)
    moved: list[float] = []

    def fail_over() -> None:
        time.sleep(DIES_AFTER)
        if end == "killed":
            with redis.Redis(port=master) as client, pytest.raises(redis.RedisError):
                client.execute_command("SHUTDOWN", "NOSAVE", "NOW", "FORCE")
        else:  # as by a person who maintains the server: at once, and the old one becomes a replica
            sentinel = int(url.split("//")[1].split(",")[0].rpartition(":")[2])
            with redis.Redis(port=sentinel) as client:
                client.execute_command("SENTINEL", "FAILOVER", SERVICE)
        moved.append(time.monotonic())

    with serve(simulator) as address, ExitStack() as held:
        more = {"REDIS_URL": url, "KIS_API_RATE_LIMIT": str(RATE)}
        (beside,) = held.enter_context(asking(address, tmp_path, 1, "45", "5", **more))
        settings = Settings.load(
            kis_app_key=APP_KEY,
            kis_app_secret=APP_SECRET,
            kis_use_virtual_server=False,
            kis_data_dir=tmp_path,
            kis_api_base_url_real=address,
            redis_url=url,
        )
        source = held.enter_context(KISDataSource(settings))
        beside.start()
        failing_over = threading.Thread(target=fail_over)
        failing_over.start()
        taken: list[int] = []
        failed = each(
            range(REQUESTS),
            lambda _: source._client.ask(PRICE, SAMSUNG, dict),
            lambda number, _: taken.append(number),
            workers=source._workers,
            rest=source._client.accounts.wait_for_breaker,
        )
        failing_over.join()
        result = beside.result()
    times = sorted(item.at for item in simulator.log if item.path.startswith("/uapi"))
    gap = max(later - earlier for earlier, later in pairwise(times))
    log.info(
        f"{end}: {len(taken)} and {sum(result['answers'])} answers, at most "
        f"{simulator.max_in_any_second()} a second, refused {simulator.refusals}, nothing for "
        f"{gap:.1f} s, tokens {simulator.tokens_issued}; beside it failed {result['failures']}"
    )
    assert failed == {}
    assert sorted(taken) == list(range(REQUESTS))
    assert simulator.max_in_any_second() <= RATE
    assert simulator.refusals == 0
    assert times[0] < moved[0] < times[-1]
    assert simulator.tokens_issued == 1
