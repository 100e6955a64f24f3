"""KIS's own clock, which is the `Date` of its answers: minutes are bounded by it, not by ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime

import httpx
import polars as pl
import pytest

from kis_assets.errors import KISError
from kis_assets.exchange import calendar
from kis_assets.kis.client import Client
from kis_assets.kis.daily_candles import DAILY_CHART
from kis_assets.kis.quotes import PRICE
from kis_assets.settings import Settings
from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.http import InProcessTransport
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.kis import KISDataSource
from kis_assets_tests.conftest import EVENING, market_at

SAMSUNG = "005930"
NOON = datetime(2026, 3, 17, 12, 0, 30, tzinfo=calendar.SEOUL)
CLOSE = datetime(2026, 3, 17, 15, 35, 30, tzinfo=calendar.SEOUL)


class Dated(httpx.BaseTransport):
    """A server in process whose answers say when they were given, as KIS's do."""

    def __init__(self, moment: datetime) -> None:
        self.state(moment)
        self.simulator = Simulator(market_at(moment), rate_limit=0, token_window=0.0)
        self._inner = InProcessTransport(self.simulator)

    def state(self, moment: datetime) -> None:
        self._stated = format_datetime(moment.astimezone(UTC), usegmt=True)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._inner.handle_request(request)
        answer.headers["date"] = self._stated
        return answer


@pytest.fixture
def live(settings: Settings) -> Settings:
    """Settings of no replay."""
    return settings.model_copy(update={"kis_replay_at": None, "kis_api_max_retries": 0})


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[datetime]]:
    """The clock of this machine: the last moment in the list."""
    moments = [EVENING]
    monkeypatch.setattr(calendar, "now", lambda: moments[-1])
    yield moments


def minutes_of(settings: Settings, server: httpx.BaseTransport) -> pl.DataFrame:
    with closing(KISDataSource(settings, transport=server, has_quota=False)) as source:
        fetched = source.tables.minute_candles([SAMSUNG], date(2026, 3, 17))
    assert fetched.failed == {}
    return fetched.rows


@pytest.mark.parametrize("at", [NOON, CLOSE], ids=["noon", "close"])
@pytest.mark.parametrize("minutes", [10, -10], ids=["fast", "slow"])
def test_a_wrong_clock_here_neither_adds_minutes_nor_loses_any(
    live: Settings, here: list[datetime], at: datetime, minutes: int
) -> None:
    """What KIS shows of minutes that are to come is invented. Its first answer tells its clock."""
    server = Dated(at)
    here.append(at)
    right = minutes_of(live, server).drop("fetched_at")
    last = time(11, 59) if at is NOON else time(15, 30)
    assert right["started_at"].max() == datetime.combine(at.date(), last, calendar.SEOUL)
    here.append(at + timedelta(minutes=minutes))
    assert minutes_of(live, server).drop("fetched_at").equals(right)


@pytest.mark.parametrize("minutes", [10, 0, -10], ids=["fast", "right", "slow"])
def test_minutes_that_kis_invents_unasked_are_not_stored_either(
    live: Settings, here: list[datetime], minutes: int
) -> None:
    server = Dated(NOON)
    here.append(NOON)
    right = minutes_of(live, server).drop("fetched_at")
    server.simulator.faults.minutes_ahead = When(seconds=900)
    here.append(NOON + timedelta(minutes=minutes))
    assert minutes_of(live, server).drop("fetched_at").equals(right)


def test_in_a_replay_the_servers_clock_says_nothing_of_the_market(settings: Settings) -> None:
    server = Dated(NOON)
    server.state(NOON + timedelta(days=90))
    rows = minutes_of(settings.model_copy(update={"kis_replay_at": NOON}), server)
    assert rows["started_at"].max() == NOON.replace(hour=11, minute=59, second=0)


@pytest.mark.parametrize("stated", [None, "", "yesterday", "Tue, 17 Mar 2026 25:61:00 GMT"])
def test_without_a_date_that_can_be_read_the_clock_here_counts(
    live: Settings, here: list[datetime], stated: str | None
) -> None:
    here.append(NOON)
    headers = {} if stated is None else {"date": stated}
    answer = {"rt_cd": "0", "access_token": "T", "expires_in": 86400}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answer, headers=headers))
    with closing(Client(live, transport=transport, has_quota=False)) as client:
        client.ask(PRICE, {}, dict)
        assert client.clock.now() == NOON


def test_the_newest_answer_tells_the_clock_also_when_it_refuses(
    live: Settings, here: list[datetime]
) -> None:
    here.append(NOON)
    transport = Dated(NOON)
    with closing(Client(live, transport=transport, has_quota=False)) as client:
        for seconds in (0, 60, -60):
            transport.state(NOON + timedelta(seconds=seconds))
            with pytest.raises(KISError, match="OPSQ2001"):
                client.ask(DAILY_CHART, {}, dict)
            assert client.clock.now() == NOON + timedelta(seconds=seconds)
