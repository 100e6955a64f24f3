"""A watch list over a real connection: every trade of the market once, and gaps to the share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import SecretStr

from kis_assets.errors import InvalidRequest, ServiceUnavailable
from kis_assets.exchange import calendar
from kis_assets.lake.lake import Lake, LakeError
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.tables import ORDER_BOOK_TICKS, STREAM_GAPS, TRADES, Table
from kis_assets.ticks import compaction
from kis_assets.ticks.following import Following
from kis_assets.ticks.journal import Journal
from kis_assets_tests.conftest import APP_KEY, APP_SECRET

TEN = datetime(2026, 3, 17, 10, 0, tzinfo=calendar.SEOUL)
DAY = TEN.date()
CODES = ["005930", "000660", "000270"]
TWO_KEYS = {
    "kis_app_key": SecretStr(f"{APP_KEY},{APP_KEY[::-1]}"),
    "kis_app_secret": SecretStr(f"{APP_SECRET},{APP_SECRET[::-1]}"),
}


class Place:
    """A server whose market goes on at a speed, and the lake where it is recorded."""

    def __init__(self, settings: Settings, folder: Path, speed: float, **options: Any) -> None:
        self.speed, self._began = speed, time.monotonic()
        self.market = ModelMarket(0, self.now)
        self.simulator = Simulator(
            self.market, rate_limit=0, token_window=0.0, clock=calendar.now, **options
        )
        self.settings = settings
        self.lake = Lake(folder / "kis", source="kis")

    def now(self) -> datetime:
        return TEN + timedelta(seconds=(time.monotonic() - self._began) * self.speed)

    def follow(self, codes: list[str] = CODES, **more: Any) -> Following:
        return Following(self.settings, self.lake, codes, clock=self.now, **more)

    def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so."""
        end = time.monotonic() + 60
        while not is_so():
            assert time.monotonic() < end, "it never came"
            time.sleep(0.02)

    def recorded(self, table: Table = TRADES) -> pl.DataFrame:
        found = [rows for _, rows in Journal(self.lake.folder, DAY).frames(table, "kis")]
        return pl.concat([table.empty(), *found]).sort("sequence")

    def holds(self, codes: list[str] = CODES) -> None:
        """Every trade of the market is recorded once, or lies in a gap that counts its shares."""
        gaps, rows = self.recorded(STREAM_GAPS), self.recorded()
        for code in codes:
            mine = rows.filter(stock_code=code)
            had = [(it["volume"], it["quantity"], it["price"]) for it in mine.iter_rows(named=True)]
            assert len(set(had)) == len(had), f"{code}: a trade is there twice"
            last = mine["traded_at"].max()
            truth = [
                (it.volume, it.quantity, it.price)
                for it in self.market.trades(code, DAY)
                if it.at <= last
            ]
            assert set(had) <= set(truth), f"{code}: a trade that never was"
            assert [it for it in truth if it in set(had)] == had, f"{code}: another order"
            lost = sum(quantity for volume, quantity, price in truth
                       if (volume, quantity, price) not in set(had))  # fmt: skip
            told = gaps.filter(stock_code=code)["missing_volume"].sum()
            assert lost == told, f"{code}: {lost} shares are missing, {told} are told"


@contextmanager
def place(settings: Settings, folder: Path, speed: float, **options: Any) -> Iterator[Place]:
    made = Place(settings, folder, speed, **options)
    with serve(made.simulator, tick=0.01) as url:
        ws = url.replace("http", "ws")
        made.settings = settings.model_copy(
            update={"kis_api_base_url_real": url, "kis_ws_url_real": ws, "kis_data_dir": folder}
        )
        yield made


@pytest.fixture
def fast(settings: Settings, tmp_path: Path) -> Iterator[Place]:
    """A market that goes on twenty minutes in a second."""
    with place(settings, tmp_path, 1_200) as made:
        yield made


def test_every_trade_is_recorded_once(fast: Place) -> None:
    with fast.follow() as following:
        fast.until(lambda: following.stored["trades"] > 200)
    fast.holds()
    reasons = set(fast.recorded(STREAM_GAPS)["reason"])
    assert reasons == {"late_start"}
    assert following.recorder.duplicates == following.recorder.strays == 0
    assert fast.recorded(ORDER_BOOK_TICKS).height > 20


def test_breaks_are_gaps_to_the_share(fast: Place) -> None:
    fast.simulator.faults.stream_repeat = True
    with fast.follow(with_books=False) as following:
        for breaks in range(1, 3):
            before = following.stored["trades"]
            fast.until(lambda before=before: following.stored["trades"] > before + 20)
            fast.simulator.faults.stream_drop = When(calls=1)
            fast.until(lambda breaks=breaks: following.feed.reconnects >= breaks)
        before = following.stored["trades"]
        fast.until(lambda: following.stored["trades"] > before + 50)
    fast.holds()
    gaps = fast.recorded(STREAM_GAPS).filter(reason="disconnected")
    assert sorted(gaps["stock_code"]) == sorted(CODES * 2)
    assert gaps["missing_volume"].min() > 0
    assert (gaps["since"] < gaps["until"]).all()
    assert following.recorder.duplicates > 0


def test_the_list_changes_and_what_stays_loses_nothing(fast: Place) -> None:
    with fast.follow(CODES[:2]) as following:
        fast.until(lambda: set(following.last) == set(CODES[:2]))
        following.change(CODES[1:])
        fast.until(lambda: CODES[2] in following.last)
        before = following.records[CODES[1]]
        fast.until(lambda: following.records[CODES[1]] > before + 20)
        assert following.codes == CODES[1:]
    fast.holds()
    reasons = fast.recorded(STREAM_GAPS).select("stock_code", "reason").rows()
    assert sorted(reasons) == sorted((code, "late_start") for code in CODES)
    # Of the one that left nothing is known from then on, and that is told.
    compaction.store(fast.lake, STREAM_GAPS, DAY, compaction.gaps)
    rows = fast.lake.scan(STREAM_GAPS).filter(reason="left_out").collect()
    assert rows.select("stock_code", "until", "missing_volume").rows() == [(CODES[0], None, None)]


def test_two_keys_share_the_stocks(fast: Place) -> None:
    fast.settings = fast.settings.model_copy(update=TWO_KEYS)
    codes = [it.code for it in fast.market.stocks(DAY)[:50]]
    with fast.follow(codes, with_books=False) as following:
        assert following.feed.capacity == 82
        fast.until(lambda: len(fast.simulator.realtime._holders) == 2)
        fast.until(lambda: len(following.last) > 30)
        before = {code: n for n, share in enumerate(following.feed._shares) for code in share}
        following.change([*codes[11:], "005380"])
        after = {code: n for n, share in enumerate(following.feed._shares) for code in share}
        assert set(after) == {*codes[11:], "005380"}
        assert all(before[code] == after[code] for code in set(before) & set(after))
    fast.holds([code for code in codes if code in following.last])


def test_more_stocks_than_the_keys_take_are_refused_at_once(fast: Place) -> None:
    codes = [f"{number:06d}" for number in range(0, 420, 10)]
    with pytest.raises(InvalidRequest, match="42 stocks are more than the 41 that 1 app key can"):
        fast.follow(codes, with_books=False)
    with pytest.raises(InvalidRequest, match="21 stocks are more than the 20"):
        fast.follow(codes[:21])


def test_a_day_is_recorded_by_one_process(fast: Place) -> None:
    with fast.follow(), pytest.raises(LakeError, match="another process records 2026-03-17 in"):
        fast.follow()
    with fast.follow():
        pass


def test_nothing_is_recorded_on_a_day_off(fast: Place) -> None:
    sunday = TEN.replace(day=15)
    with pytest.raises(InvalidRequest, match="2026-03-15 is not a trading day"):
        Following(fast.settings, fast.lake, CODES, clock=lambda: sunday)


KILLED = """
import sys, time
from datetime import datetime, timedelta
from pathlib import Path
from kis_assets.lake.lake import Lake
from kis_assets.settings import Settings
from kis_assets.ticks.following import Following
began, speed, folder = datetime.fromisoformat(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
started = float(sys.argv[4])
now = lambda: began + timedelta(seconds=(time.monotonic() - started) * speed)
following = Following(Settings.load(), Lake(folder / "kis", source="kis"), sys.argv[5:], clock=now)
following.wait()
"""


def test_a_process_that_is_killed_loses_a_second_at_most_and_the_next_one_notes_it(
    settings: Settings, tmp_path: Path
) -> None:
    with place(settings, tmp_path, 60) as slow:
        environment = os.environ | {
            "DATA_SOURCE_TYPE": "kis", "KIS_APP_KEY": APP_KEY, "KIS_APP_SECRET": APP_SECRET,
            "KIS_USE_VIRTUAL_SERVER": "false", "KIS_DATA_DIR": str(tmp_path),
            "KIS_API_BASE_URL_REAL": slow.settings.kis_api_base_url_real,
            "KIS_WS_URL_REAL": slow.settings.kis_ws_url_real,
        }  # fmt: skip
        words = [TEN.isoformat(), "60", str(tmp_path), str(slow._began), *CODES]
        with subprocess.Popen([sys.executable, "-c", KILLED, *words], env=environment) as killed:
            journal = Journal(slow.lake.folder, DAY)
            try:
                slow.until(lambda: journal.path.exists() and slow.recorded().height > 20)
            finally:
                killed.send_signal(signal.SIGKILL)
            at = slow.now()
        newest = slow.recorded()["traded_at"].max()
        assert isinstance(newest, datetime)
        # A second, and what the simulator and this test take beside it, 60 times as fast.
        assert (at - newest) / timedelta(seconds=60) < 3
        with slow.follow() as following:
            slow.until(lambda: len(following.last) == len(CODES))
        slow.holds()
        gaps = slow.recorded(STREAM_GAPS).filter(reason="stopped")
        assert sorted(gaps["stock_code"]) == sorted(CODES)


@pytest.mark.slow
@pytest.mark.parametrize("breaks", [0, 5])
def test_twenty_stocks_for_ten_minutes_at_sixty_times_speed(
    settings: Settings, tmp_path: Path, breaks: int
) -> None:
    with place(settings, tmp_path, 60) as made:
        codes = [it.code for it in made.market.stocks(DAY)[:20]]
        with made.follow(codes) as following:
            [session] = following.feed._streams
            assert session is not None
            for number in range(breaks):
                made.until(lambda: session._ever_open and not session._pending)
                made.until(lambda n=number: made.now() > TEN + timedelta(minutes=1 + 2 * n))
                made.simulator.faults.stream_drop = When(calls=1)
                made.until(lambda n=number: following.feed.reconnects > n)
            until = made.now() + timedelta(minutes=5 if breaks else 10)
            made.until(lambda: made.now() > until)
        seen = [code for code in codes if code in following.last]
        made.holds(seen)
        gaps = made.recorded(STREAM_GAPS).filter(reason="disconnected")
        assert len(seen) > 15
        assert bool(gaps.height) == bool(breaks)


def test_a_list_that_cannot_be_followed_changes_nothing(fast: Place) -> None:
    with fast.follow() as following:
        fast.until(lambda: len(following.last) == 3)
        with pytest.raises(InvalidRequest, match="'nothing' is no stock code"):
            following.change([*CODES, "nothing"])
        with pytest.raises(InvalidRequest, match="21 stocks are more than the 20"):
            following.change([f"{number:06d}" for number in range(0, 210, 10)])
        assert following.codes == CODES
        before = following.stored["trades"]
        fast.until(lambda: following.stored["trades"] > before + 10)
    fast.holds()
    assert set(fast.recorded(STREAM_GAPS)["reason"]) == {"late_start"}
    compaction.store(fast.lake, STREAM_GAPS, DAY, compaction.gaps)
    assert set(fast.lake.scan(STREAM_GAPS).collect()["stock_code"]) <= set(CODES)


def test_a_stock_that_comes_back_is_followed_again(fast: Place) -> None:
    with fast.follow(CODES[:2], with_books=False) as following:
        fast.until(lambda: set(following.last) == set(CODES[:2]))
        following.change(CODES[:1])
        following.change(CODES[:2])
        before = following.records[CODES[1]]
        fast.until(lambda: following.records[CODES[1]] > before + 5)


def test_a_key_that_cannot_be_asked_changes_nothing(
    fast: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fast.follow(CODES[:2], with_books=False) as following:
        fast.until(lambda: len(following.last) == 2)
        [session] = following.feed._streams
        assert session is not None
        with monkeypatch.context() as broken:

            def failing() -> None:
                raise ServiceUnavailable("the key cannot be had")

            broken.setattr(session._key, "get", failing)
            with pytest.raises(ServiceUnavailable):
                following.change(CODES)
        assert following.codes == CODES[:2]
        following.change(CODES)
        fast.until(lambda: CODES[2] in following.last)


def test_a_key_that_fails_stops_no_other_and_is_tried_again(fast: Place) -> None:
    fast.settings = fast.settings.model_copy(update=TWO_KEYS)
    other = object()
    fast.simulator.realtime._holders[APP_KEY[::-1]] = other  # type: ignore[assignment]
    with fast.follow(CODES[:2], with_books=False) as following:
        fast.until(lambda: bool(following.feed.failed))
        before = following.records[CODES[0]]
        fast.until(lambda: following.records[CODES[0]] > before + 5)
        assert not following.wait(0.01)
        assert CODES[1] not in following.last
        del fast.simulator.realtime._holders[APP_KEY[::-1]]
        following.feed.retry()
        fast.until(lambda: CODES[1] in following.last)
    fast.holds(CODES[:2])


def test_a_feed_that_cannot_be_opened_leaves_no_empty_day(
    fast: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise ServiceUnavailable("no session can be opened")

    monkeypatch.setattr("kis_assets.ticks.following.Feed", failing)
    with pytest.raises(ServiceUnavailable):
        fast.follow()
    compaction.store(fast.lake, STREAM_GAPS, DAY, compaction.gaps)
    rows = fast.lake.scan(STREAM_GAPS).collect()
    assert sorted(rows["stock_code"]) == sorted(CODES)
    assert rows["missing_volume"].null_count() == rows.height


def test_a_key_without_stocks_sends_nothing_twice(fast: Place) -> None:
    fast.settings = fast.settings.model_copy(update=TWO_KEYS)
    with fast.follow(CODES[:2], with_books=False) as following:
        fast.until(lambda: len(following.last) == 2)
        following.change(CODES[:1])
        assert len([it for it in following.feed._streams if it]) == 1
        fast.until(lambda: len(fast.simulator.realtime._holders) == 1)
        following.change(CODES[:2])
        before = following.records[CODES[1]]
        fast.until(lambda: following.records[CODES[1]] > before + 5)
        assert not following.wait(0.01)
    fast.holds(CODES[:2])
