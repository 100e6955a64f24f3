"""The quota: never more than the limit in any second as the server counts, and nearly all of it."""

from __future__ import annotations

import random
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from kis_assets.errors import RateLimited
from kis_assets.state.sqlite import SharedState
from kis_assets.transport.rate_limiter import Quota
from kis_assets_tests.conftest import Clock


def make(tmp_path: Path, clock: Clock, rate: float = 18.0, name: str = "key") -> Quota:
    return Quota(SharedState(tmp_path), name, rate, clock=clock, sleep=clock.sleep)


def most_in_a_second(arrivals: list[float]) -> int:
    arrivals = sorted(arrivals)
    return max(sum(start <= other < start + 1.0 for other in arrivals) for start in arrivals)


def test_requests_are_paced_and_use_97_percent(tmp_path: Path, clock: Clock) -> None:
    quota, sent = make(tmp_path, clock), list[float]()
    for _ in range(180):
        with quota.permit("price"):
            sent.append(clock.now)
            clock.now += 0.004
    assert most_in_a_second(sent) == 18
    assert 179 / (sent[-1] - sent[0]) >= 0.97 * 18


def test_a_late_arrival_is_counted_when_it_arrived(tmp_path: Path, clock: Clock) -> None:
    """One request is held up on its way; the second that follows its arrival holds no more."""
    quota, arrivals = make(tmp_path, clock), list[float]()
    held_up = {40: 0.30, 41: 0.25, 90: 0.6}
    for number in range(140):
        with quota.permit("price"):
            delay = held_up.get(number, 0.0)
            arrivals.append(clock.now + delay)
            clock.now += delay + 0.01
    assert most_in_a_second(arrivals) <= 18


@pytest.mark.parametrize("seed", range(5))
def test_no_second_is_over_whatever_the_way_takes(tmp_path: Path, clock: Clock, seed: int) -> None:
    chance = random.Random(seed)
    quota, arrivals = make(tmp_path, clock), list[float]()
    for _ in range(300):
        with quota.permit("price"):
            way = chance.choice([0.002, 0.003, 0.01, chance.uniform(0, 0.5)])
            arrivals.append(clock.now + way)
            clock.now += way + chance.uniform(0.001, 0.02)
    assert most_in_a_second(arrivals) <= 18


def test_two_processes_share_one_rate(tmp_path: Path, clock: Clock) -> None:
    one, other, sent = make(tmp_path, clock), make(tmp_path, clock), list[float]()
    for _ in range(60):
        for quota in (one, other):
            with quota.permit("price"):
                sent.append(clock.now)
    assert most_in_a_second(sent) == 18


def test_another_key_has_its_own_rate(tmp_path: Path, clock: Clock) -> None:
    quotas = [make(tmp_path, clock, name=name) for name in ("one", "other")]
    sent: list[float] = []
    for _ in range(40):
        for quota in quotas:
            with quota.permit("price"):
                sent.append(clock.now)
    assert 30 <= most_in_a_second(sent) <= 36


def test_the_virtual_server_gets_one_request_a_second(tmp_path: Path, clock: Clock) -> None:
    quota, sent = make(tmp_path, clock, rate=1.0), list[float]()
    for _ in range(20):
        with quota.permit("price"):
            sent.append(clock.now)
    assert most_in_a_second(sent) == 1


def test_who_cannot_be_served_in_time_is_told_at_once(tmp_path: Path, clock: Clock) -> None:
    quota = make(tmp_path, clock, rate=0.1)
    with quota.permit("price"):
        pass
    before = clock.now
    with (
        pytest.raises(RateLimited, match="KIS_API_QUEUE_TIMEOUT"),
        quota.permit("price", timeout=5),
    ):
        pytest.fail("no permit was due")
    assert clock.now == before


def test_a_live_capture_takes_the_next_slot_of_history(tmp_path: Path, clock: Clock) -> None:
    """History has reserved two slots and sleeps; a live caller goes first, and nobody is lost."""
    order: list[str] = []
    turnstile = threading.Condition()
    asleep: dict[str, float] = {}

    class Gate:
        """Sleepers of history wait until the test lets time pass."""

        def __call__(self, seconds: float) -> None:
            name = threading.current_thread().name
            with turnstile:
                asleep[name] = clock.now + seconds
                turnstile.notify_all()
                turnstile.wait_for(lambda: clock.now >= asleep[name] - 1e-9)

    state = SharedState(tmp_path)
    history = Quota(state, "key", 1.0, clock=clock, sleep=Gate())
    live = Quota(state, "key", 1.0, clock=clock, sleep=Gate())

    def ask(quota: Quota, name: str, is_live: bool) -> None:
        with quota.permit("price", live=is_live, timeout=60):
            order.append(name)

    ask(history, "first", False)
    threads = [
        threading.Thread(target=ask, args=(history, f"history {n}", False), name=f"history {n}")
        for n in (1, 2)
    ]
    for number, thread in enumerate(threads, 1):
        thread.start()
        with turnstile:
            assert turnstile.wait_for(lambda n=number: len(asleep) == n, timeout=10)
    capture = threading.Thread(target=ask, args=(live, "live", True), name="live")
    capture.start()
    with turnstile:
        assert turnstile.wait_for(lambda: "live" in asleep, timeout=10)
    threads.append(capture)
    for _ in range(40):
        with turnstile:
            clock.now += 0.25
            turnstile.notify_all()
        for thread in threads:
            thread.join(timeout=0.01)
    assert order[:2] == ["first", "live"]
    assert sorted(order[2:]) == ["history 1", "history 2"]


def test_a_live_capture_takes_no_slot_of_another_live_capture(tmp_path: Path, clock: Clock) -> None:
    one, other = make(tmp_path, clock, 1.0), make(tmp_path, clock, 1.0)
    with one.permit("price", live=True):
        pass
    first = one._reserve("one", True, clock.now + 60)
    assert first
    assert other._reserve("other", True, clock.now + 60) == pytest.approx(2 * first)
    clock.sleep(first)
    assert one._confirm("one", "price") == 0
    assert other._confirm("other", "price") == pytest.approx(first)


def test_a_caller_that_oversleeps_finds_its_slot(tmp_path: Path, clock: Clock) -> None:
    """A second of others' requests goes by; it sends as soon as it wakes, as one of the next."""
    sleeper, others = make(tmp_path, clock), make(tmp_path, clock)
    assert sleeper._reserve("sleeper", False, clock.now + 60) == 0
    for _ in range(40):
        with others.permit("price"):
            pass
    assert sleeper._confirm("sleeper", "price") < 2 / 18


def test_a_slot_whose_owner_was_killed_is_given_up_after_a_minute(
    tmp_path: Path, clock: Clock
) -> None:
    killed, others = make(tmp_path, clock), make(tmp_path, clock)
    killed._reserve("killed", False, clock.now + 60)

    def is_kept() -> bool:
        for _ in range(40):
            with others.permit("price"):
                pass
        return others._update(
            lambda log, _: any(slot.owner == "killed" for slot in log.slots), writes=False
        )

    assert is_kept()
    clock.now += 61
    assert not is_kept()


def test_a_process_holds_two_slots_ahead_and_no_more(tmp_path: Path, clock: Clock) -> None:
    """So many are lost where it is killed; its other callers wait for them to be used."""
    asleep, wake = threading.Semaphore(0), threading.Event()
    sleepers: set[int] = set()

    def sleep(_: float) -> None:
        sleepers.add(threading.get_ident())
        assert len(sleepers) <= 2, "a third slot is reserved"
        asleep.release()
        assert wake.wait(10)
        clock.now += 1

    quota = Quota(SharedState(tmp_path), "key", 1000.0, clock=clock, sleep=sleep)

    def ask() -> None:
        with quota.permit("price"):
            pass

    ask()
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert asleep.acquire(timeout=10)
    assert asleep.acquire(timeout=10)
    with pytest.raises(RateLimited), quota.permit("price", timeout=0.05):
        pytest.fail("a third slot was reserved")
    wake.set()
    for thread in threads:
        thread.join(timeout=10)


def test_the_quota_outlives_a_deleted_file(tmp_path: Path, clock: Clock) -> None:
    quota, sent = make(tmp_path, clock), list[float]()
    for number in range(60):
        if number == 30:
            for path in tmp_path.glob("shared.sqlite*"):
                path.unlink()
            clock.now += 1.0  # the memory of the last second is gone with it
        with quota.permit("price"):
            sent.append(clock.now)
    assert most_in_a_second(sent) <= 18


def test_a_file_deleted_or_spoilt_while_it_is_used_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite then says: disk I/O error."""
    state = SharedState(tmp_path)
    state.update("key", lambda *_: (b"old", None), float)
    opened = state._file._open

    class Lost:
        def execute(self, *_: object) -> None:
            monkeypatch.setattr(state._file, "_open", opened)
            for path in tmp_path.glob("shared.sqlite*"):
                path.unlink()
            raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(state._file, "_open", Lost)
    assert state.update("key", lambda old, _: (b"new", old), float) is None
    assert state.update("key", lambda old, _: (None, old), float) == b"new"


def test_a_file_that_is_no_database_is_made_anew(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "shared.sqlite").write_bytes(b"no database at all, but long enough" * 100)
    with make(tmp_path, clock).permit("price"):
        pass


def test_a_file_that_lost_its_table_is_given_a_new_one(tmp_path: Path) -> None:
    """Damage in the middle of a file leaves a database, and SQLite says only what is not there."""
    state = SharedState(tmp_path)
    state.update("key", lambda old, _: (b"new", old), float)
    with closing(sqlite3.connect(tmp_path / "shared.sqlite")) as another:
        another.execute("DROP TABLE cell")
    assert state.update("key", lambda old, _: (b"newer", old), float) is None
    assert state.update("key", lambda old, _: (None, old), float) == b"newer"


def test_a_restarted_machine_does_not_wait_for_the_clock_of_before(
    tmp_path: Path, clock: Clock
) -> None:
    with make(tmp_path, clock).permit("price"):
        pass
    clock.now = 5.0
    with make(tmp_path, clock).permit("price", timeout=1):
        pass


def test_the_shared_file_is_for_its_owner_alone(tmp_path: Path, clock: Clock) -> None:
    with make(tmp_path, clock).permit("price"):
        pass
    for path in tmp_path.glob("shared.sqlite*"):
        assert path.stat().st_mode & 0o077 == 0, path.name
