"""The breaker: opens after failures in a row, lets one probe of all pass, closes again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kis_assets.errors import ServiceUnavailable
from kis_assets.state.sqlite import SharedState
from kis_assets.transport.circuit_breaker import Breaker
from kis_assets_tests.conftest import Clock


def make(tmp_path: Path, clock: Clock, changes: list[str] | None = None) -> Breaker:
    return Breaker(
        SharedState(tmp_path),
        "key",
        clock=clock,
        listener=lambda old, new: None if changes is None else changes.append(f"{old}>{new}"),
    )


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.check()
        breaker.failure()


def test_five_failures_in_a_row_open_it_for_all(tmp_path: Path, clock: Clock) -> None:
    one, other = make(tmp_path, clock), make(tmp_path, clock)
    fail(one, 4)
    assert other.state() == "CLOSED"
    fail(other, 1)
    assert one.state() == other.state() == "OPEN"
    with pytest.raises(ServiceUnavailable, match=r"open after 5 failures in a row.*60 s"):
        one.check()


def test_a_success_starts_the_count_over(tmp_path: Path, clock: Clock) -> None:
    breaker = make(tmp_path, clock)
    fail(breaker, 4)
    breaker.check()
    breaker.success()
    fail(breaker, 4)
    assert breaker.state() == "CLOSED"


def test_after_a_minute_one_probe_of_twenty_passes(tmp_path: Path, clock: Clock) -> None:
    breakers = [make(tmp_path, clock) for _ in range(4)]
    fail(breakers[0], 5)
    assert breakers[1].remaining() == 60
    clock.now += 60

    def passes(number: int) -> bool:
        try:
            breakers[number % 4].check()
        except ServiceUnavailable:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(passes, range(20))) >= 1
    # The probe belongs to one thread; no other passes until its lease ends.
    with ThreadPoolExecutor(1) as other:
        assert other.submit(passes, 1).result() is False


def test_a_good_probe_closes_it(tmp_path: Path, clock: Clock) -> None:
    changes: list[str] = []
    breaker = make(tmp_path, clock, changes)
    fail(breaker, 5)
    clock.now += 60
    breaker.check()
    breaker.success()
    assert breaker.state() == "CLOSED"
    assert changes == ["CLOSED>OPEN", "OPEN>HALF_OPEN", "HALF_OPEN>CLOSED"]


def test_a_bad_probe_opens_it_for_another_minute(tmp_path: Path, clock: Clock) -> None:
    breaker = make(tmp_path, clock)
    fail(breaker, 5)
    clock.now += 60
    breaker.check()
    breaker.failure()
    assert breaker.state() == "OPEN"
    assert breaker.remaining() == 60


def test_the_lease_of_a_dead_probe_expires(tmp_path: Path, clock: Clock) -> None:
    breaker = make(tmp_path, clock)
    fail(breaker, 5)
    clock.now += 60
    with ThreadPoolExecutor(1) as dying:
        dying.submit(breaker.check).result()
    for _ in range(2):
        with pytest.raises(ServiceUnavailable, match="probing"):
            breaker.check()
        clock.now += 59
    clock.now += 2 - 59
    breaker.check()


def test_the_lease_of_a_clock_that_was_set_back_holds_nobody_up(
    tmp_path: Path, clock: Clock
) -> None:
    breaker = make(tmp_path, clock)
    fail(breaker, 5)
    clock.now += 60
    with ThreadPoolExecutor(1) as dying:
        dying.submit(breaker.check).result()
    clock.now = 10.0
    breaker.check()


@pytest.mark.parametrize("tells", ["success", "failure", "release"])
def test_who_is_not_the_probe_changes_nothing(tmp_path: Path, clock: Clock, tells: str) -> None:
    """Answers to requests that were sent before the breaker opened come while one probes."""
    breaker = make(tmp_path, clock)
    fail(breaker, 5)
    clock.now += 60
    with ThreadPoolExecutor(1) as probe:
        probe.submit(breaker.check).result()
        getattr(breaker, tells)()
        assert breaker.state() == "HALF_OPEN"
        with pytest.raises(ServiceUnavailable, match="probing"):
            breaker.check()
        probe.submit(breaker.success).result()
    assert breaker.state() == "CLOSED"


def test_a_probe_that_came_to_nothing_leaves_the_next_one_to_another(
    tmp_path: Path, clock: Clock
) -> None:
    breaker = make(tmp_path, clock)
    fail(breaker, 5)
    clock.now += 60
    breaker.check()
    breaker.release()
    assert breaker.state() == "HALF_OPEN"
    with ThreadPoolExecutor(1) as other:
        other.submit(breaker.check).result()
        with pytest.raises(ServiceUnavailable, match="probing"):
            breaker.check()


def test_a_failure_of_an_old_request_keeps_it_open_no_longer(tmp_path: Path, clock: Clock) -> None:
    breaker = make(tmp_path, clock)
    fail(breaker, 5)
    clock.now += 40
    breaker.failure()
    assert breaker.remaining() == 20


def test_an_answer_to_an_old_request_does_not_close_it(tmp_path: Path, clock: Clock) -> None:
    breaker = make(tmp_path, clock)
    fail(breaker, 5)
    breaker.success()
    assert breaker.state() == "OPEN"


def test_a_restarted_machine_finds_it_ready_to_probe(tmp_path: Path, clock: Clock) -> None:
    fail(make(tmp_path, clock), 5)
    clock.now = 10.0
    make(tmp_path, clock).check()
