"""One app key on two hosts at the full rate: two network namespaces, one Redis, one server.

`TWO_HOSTS_MINUTES=10` makes it ten minutes instead of one. It needs root and `ip netns`.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets_tests.conftest import free_port, redis_program, running_redis
from kis_assets_tests.transport.test_processes import RATE, Asking, environment_of

pytestmark = pytest.mark.scale

log = logging.getLogger(__name__)

SECONDS = 60 * float(os.environ.get("TWO_HOSTS_MINUTES", "1"))
DOWN = 2.0
"""Seconds without Redis in the middle."""
SERVER = "10.213.{}.1"
OPEN = ("--protected-mode", "no")
"""Redis answers other hosts; only the two namespaces reach the address it listens on."""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def namespaces() -> Iterator[list[str]]:
    """Two hosts, each with a link of its own to this one, and nowhere else to."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and ip netns")
    with ExitStack() as held:
        names = [f"kis{os.getpid()}{letter}" for letter in "ab"]
        for number, name in enumerate(names):
            try:
                ip("netns", "add", name)
            except subprocess.CalledProcessError:
                pytest.skip("no network namespace can be made here")
            held.callback(ip, "netns", "delete", name)
            here, there = f"v{os.getpid()}{number}", f"w{os.getpid()}{number}"
            ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
            ip("addr", "add", f"10.213.{number}.1/30", "dev", here)
            ip("link", "set", here, "up")
            for words in (
                ("addr", "add", f"10.213.{number}.2/30", "dev", there),
                ("link", "set", there, "up"),
                ("link", "set", "lo", "up"),
                ("route", "add", "default", "via", f"10.213.{number}.1"),
            ):
                ip("-n", name, *words)
        yield names


def test_two_hosts_use_one_key_to_the_full_and_never_more(
    market: ModelMarket, tmp_path: Path
) -> None:
    """Redis is killed in the middle and comes back empty."""
    if redis_program() is None:
        pytest.skip("no Redis server")
    simulator = Simulator(market)
    with namespaces() as names, ExitStack() as held:
        host, port = SERVER.format(0), free_port()
        url = held.enter_context(serve(simulator, host=host))
        environment = {
            **environment_of(url, tmp_path),
            "KIS_TRUSTED_HOSTS": host,
            "REDIS_URL": f"redis://{host}:{port}/0",
        }
        redis = held.enter_context(ExitStack())
        redis.enter_context(running_redis(tmp_path, port, "", host, *OPEN))
        hosts = []
        for name in names:
            folder = tmp_path / name  # no file is shared
            more = {**environment, "KIS_DATA_DIR": str(folder)}
            hosts.append(Asking(more, str(SECONDS), "5", before=("ip", "netns", "exec", name)))
            held.callback(hosts[-1].process.wait)
            held.callback(hosts[-1].process.kill)
        for one in hosts:
            one.wait_until_ready()
        for one in hosts:
            one.start()
        time.sleep(SECONDS / 2)
        redis.close()
        gone = time.monotonic()
        time.sleep(DOWN)
        with running_redis(tmp_path, port, "", host, *OPEN):
            back = time.monotonic()
            results = [one.result(SECONDS + 60) for one in hosts]
    failures = [result["failures"] for result in results]
    times = sorted(item.at for item in simulator.log if item.path.startswith("/uapi"))
    assert times, failures
    first = [at for at in times if times[0] + 1 < at < gone - 1]
    # After the last try that failed, at most five seconds later; then a second of no requests.
    later = [at for at in times if at > back + 8 and at < times[-1] - 1]
    used = [(len(part) - 1) / (part[-1] - part[0]) / RATE for part in (first, later)]
    by_host = [sum(result["answers"]) for result in results]
    load = os.getloadavg()
    log.info(
        f"{SECONDS / 60:g} minutes: {len(times)} requests, at most "
        f"{simulator.max_in_any_second()} in a second, {simulator.refusals} refused, used "
        f"{used[0]:.3f} before and {used[1]:.3f} after Redis was gone, by host {by_host}, "
        f"{simulator.tokens_issued} token, failures {failures}, "
        f"load {load[0]:.1f} {load[1]:.1f} {load[2]:.1f}"
    )
    assert simulator.max_in_any_second() <= RATE
    assert simulator.refusals == 0
    assert max(by_host) <= 1.1 * min(by_host)
    assert min(used) >= 0.97
    assert simulator.tokens_issued <= 2  # the token was in Redis, too
    assert all("REDIS_URL" in failure for it in failures for failure in it)
