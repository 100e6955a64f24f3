"""The pace: what the server grants is found from its refusals, whatever the setting says."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from kis_assets.state.sqlite import SharedState
from kis_assets.transport.rate_limiter import RESERVATIONS, Quota
from kis_assets_tests.conftest import Clock

AT_ONCE = 10
"""Requests of a process that are under way or wait for a permit."""
START = 1_000_000.0


@dataclass
class Server:
    """Grants so many requests in any second, or in each second of its clock (`by_the_clock`).

    `counts_refused`: a refused request takes a place too, which nobody knows of KIS.
    """

    grants: Callable[[float], int]
    counts_refused: bool = False
    by_the_clock: bool = False
    accepted: list[float] = field(default_factory=list[float])
    refused: list[float] = field(default_factory=list[float])
    counted: deque[float] = field(default_factory=deque[float])

    def admits(self, at: float) -> bool:
        begins = int(at + 0.37) - 0.37 if self.by_the_clock else at - 1.0 + 1e-9
        while self.counted and self.counted[0] < begins:
            self.counted.popleft()
        is_admitted = len(self.counted) < self.grants(at)
        if is_admitted or self.counts_refused:
            self.counted.append(at)
        (self.accepted if is_admitted else self.refused).append(at)
        return is_admitted


class Processes:
    """Processes that share a quota, each with several requests at once; time only jumps."""

    def __init__(self, folder: Path, limit: float = 18.0, number: int = 1) -> None:
        self.clock = Clock(START)
        self.quotas = [
            Quota(
                SharedState(folder),
                "key",
                limit,
                clock=self.clock,
                wall_clock=self.clock,
                sleep=self.clock.sleep,
            )
            for _ in range(number)
        ]
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._ids = count()

    def fetch(
        self, server: Server, requests: int, way: float = 0.004, takes: float = 0.02
    ) -> float:
        """Ask until so many were accepted; seconds it took. A refused one is asked again."""
        started, left, done = self.clock.now, requests, 0
        waiting = [deque[str]() for _ in self.quotas]
        turns = [RESERVATIONS] * len(self.quotas)

        def new(process: int) -> None:
            nonlocal left
            if left > 0:
                left -= 1
                ask(process)

        def ask(process: int) -> None:
            waiting[process].append(f"{process} {next(self._ids)}")
            reserve(process)

        def reserve(process: int) -> None:
            if turns[process] and waiting[process]:
                turns[process] -= 1
                owner = waiting[process].popleft()
                wait = self.quotas[process]._reserve(owner, False, self.clock.now + 900)
                assert wait is not None
                self._in(wait, lambda: confirm(process, owner))

        def confirm(process: int, owner: str) -> None:
            wait = self.quotas[process]._confirm(owner, "price")
            if wait > 0:
                self._in(wait, lambda: confirm(process, owner))
                return
            turns[process] += 1
            reserve(process)
            self._in(way, lambda: arrive(process, owner))

        def arrive(process: int, owner: str) -> None:
            is_admitted = server.admits(self.clock.now)
            self._in(takes, lambda: answered(process, owner, is_admitted))

        def answered(process: int, owner: str, is_admitted: bool) -> None:
            nonlocal done
            quota, refused = self.quotas[process], not is_admitted
            was_too_quick = quota._settle(owner, "price", way + takes, refused)
            if is_admitted:
                done += 1
                new(process)
            else:
                assert was_too_quick, "a stock would pay for it"
                ask(process)

        for process in range(len(self.quotas)):
            for _ in range(AT_ONCE):
                new(process)
        while done < requests:
            self.clock.now, _, event = heapq.heappop(self._events)
            event()
        return self.clock.now - started

    def _in(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.clock.now + seconds, next(self._ids), event))

    @property
    def granted(self) -> float:
        return self.quotas[0].status()["granted"]


KINDS: dict[str, dict[str, Any]] = {
    "any second": {},
    "refused ones count": {"counts_refused": True},
    "seconds of a clock": {"by_the_clock": True},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [1, 4])
@pytest.mark.parametrize(
    ("limit", "grant"),
    [
        *((18.0, grant) for grant in (1, 3, 5, 12, 17)),
        (50.0, 3),
        pytest.param(50.0, 45, marks=pytest.mark.slow),
        (2.0, 1),
        (3.0, 2),
    ],
)
def test_what_is_granted_is_found_within_seconds(
    tmp_path: Path, limit: float, grant: int, number: int, kind: str
) -> None:
    processes = Processes(tmp_path, limit, number)
    server = Server(lambda _: grant, **KINDS[kind])
    requests = 40 * grant  # forty seconds at best
    took = processes.fetch(server, requests)
    assert len(server.refused) <= 25
    assert len([at for at in server.refused if at > START + 15]) <= 12  # two trials or three
    assert took <= 1.3 * requests / grant
    # The second in which a trial fails may be parts of two by the server's clock.
    assert (
        0.95 * grant <= processes.granted <= (1.4 if kind == "seconds of a clock" else 1.05) * grant
    )


@pytest.mark.parametrize("takes", [0.02, 0.3])
@pytest.mark.parametrize("number", [1, 4])
@pytest.mark.parametrize(("before", "after"), [(18, 5), (18, 1), (18, 17), (3, 18), (5, 9)])
def test_a_grant_that_changes_is_found_again(
    tmp_path: Path, before: int, after: int, number: int, takes: float
) -> None:
    processes = Processes(tmp_path, number=number)
    server = Server(lambda at: before if at < START + 20 else after)
    took = processes.fetch(server, 20 * before + 40 * after, takes=takes)
    assert took <= 1.5 * 60
    assert len(server.refused) <= 25
    assert processes.granted == pytest.approx(after, rel=0.05)


@pytest.mark.parametrize("number", [1, 4])
def test_a_known_limit_is_used_and_never_refused(tmp_path: Path, number: int) -> None:
    processes = Processes(tmp_path, number=number)
    server = Server(lambda _: 18)
    took = processes.fetch(server, 900)
    assert server.refused == []
    assert 900 / took >= 0.97 * 18
    assert processes.granted == 18


def test_the_next_process_begins_with_what_is_known(tmp_path: Path) -> None:
    server = Server(lambda _: 3)
    first = Processes(tmp_path)
    first.fetch(server, 60)
    before = len(server.refused)
    after = Processes(tmp_path)
    after.clock.now = first.clock.now + 1
    after.fetch(server, 60)
    assert len(server.refused) - before <= 2


def test_a_quicker_pace_is_tried_ever_more_rarely(tmp_path: Path) -> None:
    """An hour at three a second: about one refusal in five minutes in the end."""
    processes, server = Processes(tmp_path), Server(lambda _: 3)
    processes.fetch(server, 3 * 3600)
    last = [at for at in server.refused if at > START + 1800]
    assert 1 <= len(last) <= 12
    assert len(server.refused) <= 40


def test_what_rose_over_night_is_used_within_seconds(tmp_path: Path) -> None:
    server = Server(lambda at: 3 if at < START + 1000 else 18)
    first = Processes(tmp_path)
    first.fetch(server, 2700)
    after = Processes(tmp_path)
    after.clock.now = START + 40_000
    before = len(server.refused)
    assert after.fetch(server, 360) <= 1.5 * 20
    assert len(server.refused) == before


def test_a_restarted_machine_remembers_what_is_granted(tmp_path: Path) -> None:
    """Its clock begins anew, and with it nothing is known of what was sent."""
    server = Server(lambda _: 3)
    Processes(tmp_path).fetch(server, 60)
    after = Processes(tmp_path)
    after.clock.now = 50.0
    assert after.granted == 3
    server.counted.clear()
    before = len(server.refused)
    after.fetch(server, 30)
    assert len(server.refused) - before <= 2


def test_accidental_refusals_cost_little(tmp_path: Path) -> None:
    """KIS refuses one in five hundred though it grants more."""
    numbers = count(1)
    processes = Processes(tmp_path)
    server = Server(lambda _: 0 if next(numbers) % 500 == 0 else 18)
    took = processes.fetch(server, 3000)
    assert 3000 / took >= 0.96 * 18


def test_a_few_refusals_under_light_use_are_no_limit(tmp_path: Path, clock: Clock) -> None:
    """One request a second says nothing of how many are granted."""
    quota = Quota(SharedState(tmp_path), "key", 18.0, clock=clock, sleep=clock.sleep)
    for number in range(60):
        with quota.permit("price") as permit:
            clock.now += 0.02
            if number % 10 == 0:
                permit.refused()
        clock.now += 1.0
    assert quota.status()["granted"] > 0.9 * 18


def test_a_request_refused_while_nothing_is_accepted_is_not_asked_for_ever(
    tmp_path: Path, clock: Clock
) -> None:
    quota = Quota(SharedState(tmp_path), "key", 18.0, clock=clock, sleep=clock.sleep)
    for _ in range(4):
        with quota.permit("price") as permit:
            permit.refused()
        assert not permit.was_too_quick
    with quota.permit("price"):
        pass
    with quota.permit("price") as permit:
        permit.refused()
    assert permit.was_too_quick


def test_what_was_found_can_be_told(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    assert processes.quotas[0].status()["found_at"] == 0
    processes.fetch(Server(lambda _: 3), 30)
    found = processes.quotas[0].status()
    assert found["granted"] == 3
    assert found["tried"] > 3
    assert START < found["found_at"] < START + 15
