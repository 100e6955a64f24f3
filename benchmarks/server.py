"""The KIS-shaped server that clients are measured against, and what it counts.

It is the simulator in a process of its own, or any other one by its address.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from benchmarks.setting import AT, RATE, SECRET, new_key
from kis_assets.settings import Settings
from kis_assets.sources.kis import KISDataSource


@contextmanager
def served(url: str | None, rate: float) -> Iterator[str]:
    """The address of a server: the one that is given, else a simulator that is ended after it."""
    if url:
        yield url
        return
    command = [sys.executable, "-m", "kis_assets.cli", "simulate", "--port", "0"]
    command += ["--at", AT.isoformat(), "--rate-limit", str(rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for said in process.stdout:
                if said.startswith("export KIS_API_BASE_URL_REAL="):
                    yield said.partition("=")[2].strip()
                    break
        finally:
            process.terminate()


def settings(folder: Path, url: str, rate: float = RATE, **more: object) -> Settings:
    """Settings of a client of that server, which keeps what it shares in a folder."""
    given = {"kis_app_key": new_key(), "kis_app_secret": SECRET} | more
    return Settings.load(
        data_source_type="kis",
        kis_use_virtual_server=False,
        kis_api_base_url_real=url,
        kis_master_base_url=url,
        kis_data_dir=folder,
        kis_api_rate_limit=rate,
        kis_replay_at=AT,
        **given,
    )


@dataclass(frozen=True)
class Counted:
    """What the server counted: requests, those refused for the rate, and tokens issued."""

    requests: int
    refused: int
    tokens: int

    def __sub__(self, before: Counted) -> Counted:
        return Counted(
            self.requests - before.requests,
            self.refused - before.refused,
            self.tokens - before.tokens,
        )


def counted(url: str) -> Counted | None:
    """What a simulator has counted so far; None where the server is another one."""
    try:
        with urllib.request.urlopen(f"{url}/simulator/stats", timeout=60) as answer:
            told = json.load(answer)
        paths = told["by_path"].items()
    except (URLError, ValueError, KeyError, TimeoutError):
        return None
    asked = sum(calls for path, calls in paths if path.startswith("/uapi/"))
    return Counted(asked, told["refusals"], told["tokens_issued"])


def listed(folder: Path, url: str, stocks: int) -> list[str]:
    """The codes of so many shares that trade there, by the master files."""
    with KISDataSource(settings(folder, url)) as source:
        master = source.tables.stock_master(AT.date())
    return master.filter(security_type="common", is_halted=False)["stock_code"].to_list()[:stocks]
