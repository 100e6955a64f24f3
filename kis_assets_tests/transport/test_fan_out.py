"""Many requests at once: bounded, one failure stops no other, what may pass is asked again."""

from __future__ import annotations

import threading

import pytest

from kis_assets.errors import (
    AuthenticationFailed,
    RateLimited,
    ServiceUnavailable,
    UnexpectedAnswer,
)
from kis_assets.transport.fan_out import each


def test_one_failure_stops_no_other() -> None:
    taken: dict[int, int] = {}

    def ask(key: int) -> int:
        if key == 3:
            raise UnexpectedAnswer("wrong")
        return key * key

    failed = each(range(10), ask, taken.__setitem__)
    assert list(failed) == [3]
    assert taken == {key: key * key for key in range(10) if key != 3}


def test_what_may_pass_is_asked_again_after_a_rest() -> None:
    asked: dict[int, int] = {}
    rested: list[int] = []

    def ask(key: int) -> int:
        asked[key] = asked.get(key, 0) + 1
        if key % 2 and asked[key] < 3:
            raise ServiceUnavailable("ill", is_outage=True)
        if key == 4 and asked[key] < 2:
            raise RateLimited("slowly")
        return key

    taken: list[int] = []
    failed = each(range(6), ask, lambda key, _: taken.append(key), rest=lambda: rested.append(1))
    assert failed == {}
    assert sorted(taken) == list(range(6))
    assert len(rested) == 2
    assert asked[0] == 1


def test_a_server_that_never_answered_is_not_waited_for() -> None:
    def ask(_: int) -> int:
        raise ServiceUnavailable("nobody there", is_outage=True)

    failed = each(range(50), ask, lambda *_: None, rest=lambda: pytest.fail("rested"))
    assert len(failed) == 50


def test_what_stops_one_stops_all() -> None:
    asked: list[int] = []

    def ask(key: int) -> int:
        asked.append(key)
        raise AuthenticationFailed("no")

    with pytest.raises(AuthenticationFailed):
        each(range(1000), ask, lambda *_: None, workers=2)
    assert len(asked) < 20


def test_no_more_are_in_flight_than_workers() -> None:
    lock, flying, most = threading.Lock(), 0, 0

    def ask(key: int) -> int:
        nonlocal flying, most
        with lock:
            flying += 1
            most = max(most, flying)
        with lock:
            flying -= 1
        return key

    each(range(200), ask, lambda *_: None, workers=4)
    assert most <= 4


def test_progress_counts_every_key_once() -> None:
    told: list[int] = []
    each(range(7), lambda key: key, lambda *_: None, progress=lambda done, _: told.append(done))
    assert told == list(range(1, 8))
