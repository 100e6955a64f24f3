"""The checks: no day breaks one that is an error; each sees what it is for and no other."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kis_assets.defs.assets.market_days import computed_days
from kis_assets.defs.checks import cross_source
from kis_assets.defs.checks.check import NotComparable, Window
from kis_assets.defs.checks.registry import LISTED
from kis_assets.errors import NotSupported
from kis_assets.exchange import calendar
from kis_assets.lake.lake import Lake, Scope
from kis_assets.lake.quality import account, record
from kis_assets.lake.scope import rows_by_day
from kis_assets.settings import Settings
from kis_assets.simulator.market.replay import ReplayMarket
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.base import DataSource
from kis_assets.sources.tables import TableSource
from kis_assets.tables import (
    ADJUSTMENT_FACTORS,
    CORPORATE_ACTIONS,
    DAILY_CANDLES,
    KRX_DAILY,
    MARKET_DAYS,
    MINUTE_CANDLES,
    ORDER_BOOKS,
    PRICE_SNAPSHOTS,
    STOCK_INFO,
    STOCK_MASTER,
    TABLES,
    Table,
)
from kis_assets_tests.conftest import APP_KEY, APP_SECRET, EVENING, open_source

pytestmark = pytest.mark.usefixtures("published_when_read")

DAY, DAY_BEFORE = date(2026, 3, 17), date(2026, 3, 16)
NOON = datetime(2026, 3, 17, 12, 40, tzinfo=calendar.SEOUL)
CHECKS = {table.name: checks for table, checks in LISTED.items()}
REPLAYED = (
    *(MARKET_DAYS, STOCK_MASTER, STOCK_INFO, PRICE_SNAPSHOTS, ORDER_BOOKS),
    *(DAILY_CANDLES, MINUTE_CANDLES, CORPORATE_ACTIONS, ADJUSTMENT_FACTORS),
)
"""The tables of which the replayed days have rows; `test_figure_checks` has the others."""
WARNINGS = {c.name for checks in CHECKS.values() for c in checks if c.severity.value == "WARN"}

# Two rights issues, a blank-cheque company's rounded base, a first listing day, a liquidation.
ODD = ("006800", "000640", "0068Y0", "0082N0", "204630")


def open_replay(days_folder: Path, moment: datetime, folder: Path) -> DataSource:
    simulator = Simulator(
        ReplayMarket(days_folder, clock=lambda: moment), rate_limit=0, clock=lambda: moment
    )
    settings = Settings.load(
        data_source_type="kis",
        kis_app_key=APP_KEY,
        kis_app_secret=APP_SECRET,
        kis_use_virtual_server=False,
        kis_data_dir=folder,
        kis_api_base_url_real="http://kis.test",
        kis_master_base_url="http://kis.test",
        kis_replay_at=moment,
        kis_api_rate_limit=1000,
    )
    return open_source(simulator, settings)


@pytest.fixture(scope="module")
def fetched_days(
    days_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Lake, DataSource]]:
    """A hundred and some stocks in a lake, and the server they came from."""
    folder = tmp_path_factory.mktemp("days")
    lake = Lake(folder / "lake", source="kis")
    with (
        open_replay(days_folder, NOON, folder / "noon") as noon,
        open_replay(days_folder, EVENING, folder / "evening") as evening,
    ):
        master = evening.tables.stock_master(DAY)
        each = master.height // 120
        listed = pl.col("stock_code").is_in(ODD) | (pl.int_range(pl.len()) % each == 0)
        chosen = master.filter(listed)
        codes = chosen["stock_code"].to_list()
        lake.replace(MARKET_DAYS, Scope.year(2026), computed_days(2026, "kis", calendar.now()))
        lake.replace(STOCK_MASTER, Scope.day(DAY), chosen)
        for table, fetched in (
            (ORDER_BOOKS, noon.tables.order_books(chosen, DAY, NOON)),
            (PRICE_SNAPSHOTS, evening.tables.price_snapshots(chosen, DAY, EVENING)),
        ):
            moment = fetched.rows["captured_at"][0]
            lake.replace(table, Scope.capture(DAY, moment), fetched.rows)
            record(
                lake, table, [account({DAY: fetched.rows.height}, fetched.absent, fetched.failed)]
            )
        fetched = evening.tables.daily_candles(codes, date(2026, 3, 1), DAY)
        lake.replace(DAILY_CANDLES, Scope.month(DAY), fetched.rows)
        fetched = evening.tables.minute_candles(codes[:20], DAY)
        lake.replace(MINUTE_CANDLES, Scope.day(DAY), fetched.rows)
        absent = {**fetched.absent, **dict.fromkeys(codes[20:], "not asked")}
        record(lake, MINUTE_CANDLES, [account({DAY: fetched.rows.height}, absent, {})])
        info = evening.tables.stock_info(chosen.head(10), DAY)
        lake.replace(STOCK_INFO, Scope.month(DAY), info.rows)
        lake.replace(CORPORATE_ACTIONS, Scope.month(DAY), an_action(DAY, codes[1]))
        yield lake, evening


def an_action(day: date, code: str, **values: Any) -> pl.DataFrame:
    row = dict.fromkeys(CORPORATE_ACTIONS.schema) | {
        "effective_on": day,
        "stock_code": code,
        "kind": "cash_dividend",
        "origin": "dividend",
        "sequence": 0,
        "effective_from": "ex_on",
        "source": "kis",
        "fetched_at": EVENING,
    }
    return pl.DataFrame([row | values], CORPORATE_ACTIONS.schema)


@pytest.fixture
def lake(
    fetched_days: tuple[Lake, DataSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Lake:
    """A copy that a test may spoil."""
    codes = fetched_days[0].scan(STOCK_MASTER).collect()["stock_code"]
    monkeypatch.setenv("KIS_STOCK_CODES", ",".join(codes))
    shutil.copytree(fetched_days[0].folder, tmp_path / "lake")
    return Lake(tmp_path / "lake", source="kis")


def span_of(
    lake: Lake,
    table: Table,
    source: TableSource | None = None,
    beside: Lake | None = None,
) -> Window:
    """The partition of a table that holds the day; without a source only what is stored counts."""

    def opened() -> TableSource:
        if source is None:
            raise NotSupported("there is no second source")
        return source

    scope = {"day": Scope.day, "month": Scope.month, "year": Scope.year}[table.partition](DAY)
    return Window(lake, table, scope.first, scope.last, EVENING, opened, beside)


def broken(
    lake: Lake,
    table: Table,
    source: TableSource | None = None,
    beside: Lake | None = None,
) -> set[str]:
    """The checks of a table that fail."""
    span = span_of(lake, table, source, beside)
    rows = rows_by_day(table, span.rows())
    found: set[str] = set()
    for check in CHECKS[table.name]:
        try:
            finding, _ = check.find(span, rows)
        except NotComparable:
            continue
        if not finding.holds:
            found.add(check.name)
    return found


@pytest.mark.parametrize("name", [table.name for table in REPLAYED])
def test_no_check_that_is_an_error_fails(
    lake: Lake, fetched_days: tuple[Lake, DataSource], name: str
) -> None:
    assert broken(lake, TABLES[name], fetched_days[1].tables) <= WARNINGS


def test_warnings_name_true_oddities(lake: Lake) -> None:
    found = {table.name: broken(lake, table) for table in REPLAYED}
    assert found.pop("daily_candles") == {"prices_lie_within_the_limits"}
    assert set().union(*found.values()) == set()
    span = span_of(lake, DAILY_CANDLES)
    limits = next(c for c in CHECKS["daily_candles"] if c.name == "prices_lie_within_the_limits")
    _, failing = limits.find(span, {})
    # Liquidation trading, of which the folder does not say that it is.
    assert set(failing["stock_code"]) == {"204630"}


Spoil = Callable[[pl.DataFrame], pl.DataFrame]


def at(
    code_or_row: str | int, on: date = DAY, **changes: pl.Expr | int | float | str | date | None
) -> Spoil:
    """Change columns of one row: the stock's on the day, or that many rows into it."""

    def spoil(rows: pl.DataFrame) -> pl.DataFrame:
        chosen = pl.int_range(pl.len()) == code_or_row
        if isinstance(code_or_row, str):
            chosen = (pl.col("stock_code") == code_or_row) & (pl.col(_day(rows)) == on)
        return rows.with_columns(
            pl.when(chosen)
            .then(new if isinstance(new, pl.Expr) else pl.lit(new, rows.schema[name]))
            .otherwise(pl.col(name))
            .alias(name)
            for name, new in changes.items()
        )

    return spoil


def _day(rows: pl.DataFrame) -> str:
    return next(n for n in ("trading_day", "effective_on", "info_month") if n in rows.columns)


def doubled(rows: pl.DataFrame) -> pl.DataFrame:
    row = 7 % rows.height
    return pl.concat([rows, rows[row : row + 1]])


def without_a_tenth(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter((pl.int_range(pl.len()) % 10 != 0) | (pl.col(_day(rows)) != DAY))


def on_a_sunday(rows: pl.DataFrame) -> pl.DataFrame:
    friday = rows.filter(pl.col("stock_code") == PLAIN, pl.col("trading_day") == date(2026, 3, 13))
    stray = friday.with_columns(
        trading_day=pl.lit(date(2026, 3, 15)),
        volume=pl.col("volume") + 1,
        change=pl.lit(0, pl.Int64),
        base_price="close",
    )
    return pl.concat([rows, stray])


def without_a_tenth_of_the_stocks(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("stock_code").rank("dense") % 10 != 0)


def yesterday_again(rows: pl.DataFrame) -> pl.DataFrame:
    before = rows.filter(pl.col("trading_day") == DAY_BEFORE)
    today = before.with_columns(
        trading_day=pl.lit(DAY), base_price="close", change=0 * pl.col("change")
    )
    # Its base is then the close before, as it should be, and its change none.
    today = today.with_columns(change=pl.col("close") - pl.col("base_price"))
    return pl.concat([rows.filter(pl.col("trading_day") != DAY), today])


def times(factor: int, *names: str) -> dict[str, pl.Expr]:
    return {name: pl.col(name) * factor for name in names}


PLAIN = "000020"
"""A stock of no oddity; the first of the market."""

OHLC = ("open", "high", "low")
SPOILT: list[tuple[str, Table, Spoil]] = [
    ("key_is_unique", MARKET_DAYS, doubled),
    ("kis_agrees_with_calendar", MARKET_DAYS, at(75, known_from="kis", is_open=False)),
    ("key_is_unique", STOCK_MASTER, doubled),
    ("codes_are_stock_codes", STOCK_MASTER, at(PLAIN, stock_code="00-020")),
    ("key_is_unique", STOCK_INFO, doubled),
    (
        "listed_shares_are_those_of_the_master",
        STOCK_INFO,
        at(0, listed_shares=pl.col("listed_shares") * 2),
    ),
    ("key_is_unique", PRICE_SNAPSHOTS, doubled),
    (
        "high_covers_all_prices",
        PRICE_SNAPSHOTS,
        at(PLAIN, high=pl.col("low"), low=pl.col("high")),
    ),
    ("change_is_price_minus_base", PRICE_SNAPSHOTS, at(PLAIN, change=pl.col("change") + 10)),
    (
        "prices_are_possible",
        PRICE_SNAPSHOTS,
        at(
            PLAIN,
            price=pl.col("price") * 10,
            change=pl.col("price") * 10 - pl.col("base_price"),
            **times(10, *OHLC),
        ),
    ),
    (
        "prices_lie_within_the_limits",
        PRICE_SNAPSHOTS,
        at(
            PLAIN,
            price=pl.col("price") * 2,
            change=pl.col("price") * 2 - pl.col("base_price"),
            **times(2, *OHLC),
        ),
    ),
    ("universe_is_covered", PRICE_SNAPSHOTS, without_a_tenth),
    (
        "captures_are_of_their_session",
        PRICE_SNAPSHOTS,
        lambda rows: rows.with_columns(captured_at=pl.col("captured_at") + timedelta(hours=8)),
    ),
    ("key_is_unique", ADJUSTMENT_FACTORS, doubled),
    ("factors_are_possible", ADJUSTMENT_FACTORS, at(0, factor=0.0001)),
    (
        "factors_are_of_the_stored_candles",
        ADJUSTMENT_FACTORS,
        at(0, base_price=pl.col("base_price") * 10),
    ),
    ("moved_bases_have_a_factor", ADJUSTMENT_FACTORS, lambda rows: rows[1:]),
    ("key_is_unique", ORDER_BOOKS, doubled),
    ("universe_is_covered", ORDER_BOOKS, without_a_tenth),
    (
        "captures_are_of_their_session",
        ORDER_BOOKS,
        lambda rows: rows.with_columns(captured_at=pl.col("captured_at") - timedelta(days=1)),
    ),
    (
        "asks_rise_and_bids_fall",
        ORDER_BOOKS,
        at(PLAIN, ask_price_3=pl.col("ask_price_5"), ask_price_5=pl.col("ask_price_3")),
    ),
    (
        "best_bid_is_below_best_ask",
        ORDER_BOOKS,
        at(PLAIN, bid_price_1=pl.col("ask_price_1")),
    ),
    ("totals_cover_levels", ORDER_BOOKS, at(PLAIN, total_ask_volume=0)),
    ("levels_have_shares", ORDER_BOOKS, at(PLAIN, bid_volume_2=0)),
    ("key_is_unique", DAILY_CANDLES, doubled),
    ("high_covers_all_prices", DAILY_CANDLES, at(PLAIN, on=DAY_BEFORE, open=pl.col("high") + 1000)),
    ("change_is_price_minus_base", DAILY_CANDLES, at(PLAIN, change=pl.col("change") + 10)),
    (
        "every_session_is_present",
        DAILY_CANDLES,
        lambda rows: rows.filter(pl.col("trading_day") != date(2026, 3, 12)),
    ),
    (
        "no_session_is_skipped",
        DAILY_CANDLES,
        lambda rows: rows.filter(
            (pl.col("stock_code") != PLAIN) | (pl.col("trading_day") != date(2026, 3, 12))
        ),
    ),
    (
        "days_are_sessions",
        DAILY_CANDLES,
        on_a_sunday,
    ),
    ("universe_is_covered", DAILY_CANDLES, without_a_tenth_of_the_stocks),
    ("key_is_unique", MINUTE_CANDLES, doubled),
    (
        "universe_is_covered",
        MINUTE_CANDLES,
        lambda rows: rows.filter(pl.col("stock_code") != PLAIN),
    ),
    (
        "minutes_lie_in_the_session",
        MINUTE_CANDLES,
        at(7, started_at=pl.col("started_at") - timedelta(days=1)),
    ),
    ("high_and_low_cover_open_and_close", MINUTE_CANDLES, at(7, close=pl.col("high") + 1)),
    (
        "opening_price_is_within_its_minute",
        MINUTE_CANDLES,
        lambda rows: rows.with_columns(
            open=pl.when(pl.col("started_at").dt.hour() == 0, pl.col("started_at").dt.minute() == 0)
            .then(pl.col("high") + 5)
            .otherwise("open")
        ),
    ),
    ("minutes_do_not_exceed_the_day", MINUTE_CANDLES, at(7, volume=10**9)),
    (
        "minutes_hold_most_of_the_day",
        MINUTE_CANDLES,
        lambda rows: rows.with_columns(volume=pl.col("volume") // 2),
    ),
    ("key_is_unique", CORPORATE_ACTIONS, doubled),
    ("ratios_are_positive", CORPORATE_ACTIONS, at(0, ratio=-1.0)),
    (
        "actions_take_effect_on_sessions",
        CORPORATE_ACTIONS,
        at(0, effective_on=date(2026, 3, 15)),
    ),
]


def spoil(lake: Lake, table: Table, change: Spoil) -> None:
    """Change the stored file itself: the lake's door would refuse most of it."""
    (path,) = [
        path
        for path in (lake.folder / "versions" / table.name).rglob("*.parquet")
        if "2026-03" in str(path) or "year=2026" in str(path)
    ]
    rows = pl.read_parquet(path)
    path.unlink()
    change(rows).write_parquet(path)


@pytest.mark.parametrize(
    ("check", "table", "change"),
    SPOILT,
    ids=[f"{table.name}-{check}" for check, table, _ in SPOILT],
)
def test_a_check_sees_what_it_is_for_and_no_other_does(
    lake: Lake, check: str, table: Table, change: Spoil
) -> None:
    before = broken(lake, table)
    spoil(lake, table, change)
    assert broken(lake, table) ^ before == {check}


def without_quotes(lake: Lake, *codes: str) -> None:
    spoil(lake, PRICE_SNAPSHOTS, lambda rows: rows.filter(~pl.col("stock_code").is_in(codes)))


def test_codes_of_funds_and_etns_are_stock_codes(lake: Lake) -> None:
    for code in ("F90011224", "Q900110"):
        spoil(lake, STOCK_MASTER, at(PLAIN, stock_code=code, security_group="PF"))
        assert "codes_are_stock_codes" not in broken(lake, STOCK_MASTER)
        spoil(lake, STOCK_MASTER, at(code, stock_code=PLAIN))
    spoil(lake, STOCK_MASTER, at(PLAIN, stock_code="F9001122"))
    assert "codes_are_stock_codes" in broken(lake, STOCK_MASTER)


def test_bars_of_the_day_before_are_seen(lake: Lake) -> None:
    spoil(lake, PRICE_SNAPSHOTS, lambda rows: rows.head(0))
    before = broken(lake, DAILY_CANDLES)
    spoil(lake, DAILY_CANDLES, yesterday_again)
    assert broken(lake, DAILY_CANDLES) ^ before == {"bars_differ_from_the_day_before"}


def test_a_split_that_is_not_flagged_is_seen(lake: Lake) -> None:
    spoil(lake, DAILY_CANDLES, lambda rows: rows.filter(pl.col("ex_flag") == "00"))
    without_quotes(lake, PLAIN)
    before = broken(lake, DAILY_CANDLES)
    tenth = {n: pl.col(n) // 10 for n in (*OHLC, "close", "base_price")}
    change = pl.col("close") // 10 - pl.col("base_price") // 10
    spoil(lake, DAILY_CANDLES, at(PLAIN, change=change, **tenth))
    assert broken(lake, DAILY_CANDLES) ^ before == {"moved_bases_have_an_action"}
    # What an action explains is no oddity.
    lake.replace(CORPORATE_ACTIONS, Scope.month(DAY), an_action(DAY, PLAIN, kind="split"))
    assert broken(lake, DAILY_CANDLES) == before


@pytest.mark.parametrize(
    ("check", "changes"),
    [
        ("prices_are_possible", 10),
        ("prices_lie_within_the_limits", 2),
    ],
)
def test_a_candle_at_a_multiple_is_seen(lake: Lake, check: str, changes: int) -> None:
    spoil(lake, DAILY_CANDLES, lambda rows: rows.filter(~pl.col("stock_code").is_in(ODD)))
    without_quotes(lake, PLAIN)
    before = broken(lake, DAILY_CANDLES)
    close = pl.col("close") * changes
    multiple = times(changes, *OHLC, "close")
    spoil(lake, DAILY_CANDLES, at(PLAIN, change=close - pl.col("base_price"), **multiple))
    assert broken(lake, DAILY_CANDLES) ^ before == {check}


def test_a_candle_of_a_stock_that_is_not_listed_is_seen(lake: Lake) -> None:
    before = broken(lake, DAILY_CANDLES)
    last = lake.scan(DAILY_CANDLES).filter(pl.col("trading_day") == DAY).collect().tail(1)
    stray = last.with_columns(stock_code=pl.lit("999990"))
    spoil(lake, DAILY_CANDLES, lambda rows: pl.concat([rows, stray]))
    assert broken(lake, DAILY_CANDLES) ^ before == {"codes_are_listed"}


def test_a_quote_after_the_close_that_is_not_the_candle_is_seen(lake: Lake) -> None:
    before = broken(lake, DAILY_CANDLES)
    spoil(lake, PRICE_SNAPSHOTS, at(PLAIN, volume=pl.col("volume") * 2))
    assert broken(lake, DAILY_CANDLES) ^ before == {"snapshot_after_close_equals_candle"}


def test_prices_off_the_tick_are_seen_when_they_are_many(lake: Lake) -> None:
    low = pl.col("low") - 1

    def off(share: float) -> Spoil:
        return lambda rows: rows.with_columns(
            low=pl.when((pl.col("low") > 20_000) & (pl.int_range(pl.len()) % int(1 / share) == 0))
            .then(low)
            .otherwise("low")
        )

    for table in (DAILY_CANDLES, PRICE_SNAPSHOTS):
        before = broken(lake, table) - {"snapshot_after_close_equals_candle"}
        spoil(lake, table, off(0.5))
        after = broken(lake, table) - {"snapshot_after_close_equals_candle"}
        assert after ^ before == {"prices_lie_on_the_tick"}


def test_a_closing_minute_that_is_not_the_close_is_seen(lake: Lake) -> None:
    before = broken(lake, MINUTE_CANDLES)
    closing = pl.col("started_at").dt.convert_time_zone("Asia/Seoul").dt.hour() == 15
    closing &= pl.col("started_at").dt.minute() == 30
    other = (
        pl.when(pl.col("low") < pl.col("high").max().over("stock_code"))
        .then(pl.col("high").max().over("stock_code"))
        .otherwise(pl.col("low") - 1)
    )

    def moved(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(
            pl.when(closing).then(other).otherwise(pl.col(name)).alias(name)
            for name in ("open", "high", "low", "close")
        )

    spoil(lake, MINUTE_CANDLES, moved)
    assert broken(lake, MINUTE_CANDLES) ^ before == {"closing_auction_is_the_close"}


@pytest.mark.parametrize("table", [STOCK_MASTER, PRICE_SNAPSHOTS, ORDER_BOOKS, MINUTE_CANDLES])
def test_a_day_of_fewer_rows_than_usual_is_seen(lake: Lake, table: Table) -> None:
    before = broken(lake, table)
    rows = lake.scan(table).collect().height
    record(lake, table, [account({DAY_BEFORE: rows}, {}, {})])
    assert broken(lake, table) == before
    record(lake, table, [account({DAY_BEFORE: rows * 5 // 4}, {}, {})])
    (check,) = [c.name for c in CHECKS[table.name] if c.name.endswith("in_the_last_sessions")]
    assert broken(lake, table) ^ before == {check}


def test_candles_fewer_than_usual_are_seen(lake: Lake) -> None:
    spoil(lake, STOCK_MASTER, lambda rows: rows.head(0))
    spoil(lake, PRICE_SNAPSHOTS, lambda rows: rows.head(0))
    before = broken(lake, DAILY_CANDLES)
    spoil(lake, DAILY_CANDLES, without_a_tenth)
    assert broken(lake, DAILY_CANDLES) ^ before == {"as_many_rows_as_in_the_last_sessions"}


def test_history_that_changed_is_shown_with_both_values(lake: Lake) -> None:
    before = broken(lake, DAILY_CANDLES)
    stored = lake.scan(DAILY_CANDLES).collect()
    settled = stored.with_columns(
        fetched_at=pl.lit(EVENING.astimezone(UTC), stored.schema["fetched_at"])
    )
    changed = pl.col("stock_code").eq(PLAIN) & pl.col("trading_day").eq(date(2026, 3, 10))

    def more(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(volume=pl.col("volume") + changed.cast(pl.Int64))

    spoil(lake, DAILY_CANDLES, lambda _: settled.select(stored.columns))
    lake.replace(DAILY_CANDLES, Scope.month(DAY), more(settled))
    assert broken(lake, DAILY_CANDLES) ^ before == {"settled_days_are_unchanged"}
    (check,) = [c for c in CHECKS["daily_candles"] if c.name == "settled_days_are_unchanged"]
    _, failing = check.find(span_of(lake, DAILY_CANDLES), {})
    old = stored.filter(changed)["volume"].item()
    assert failing.rows() == [
        ("altered", date(2026, 3, 10), PLAIN, "volume", str(old), str(old + 1))
    ]


def test_days_from_before_the_calendar_begins_are_settled_too(lake: Lake) -> None:
    march = date(1998, 3, 1)
    stored = lake.scan(DAILY_CANDLES, first=DAY, last=DAY).collect().head(3)
    old = stored.with_columns(trading_day=pl.lit(date(1998, 3, 17)))
    for rows in (old, old.with_columns(volume=pl.col("volume") + 1)):
        lake.replace(DAILY_CANDLES, Scope.month(march), rows)
    scope = Scope.month(march)
    span = dataclasses.replace(span_of(lake, DAILY_CANDLES), first=scope.first, last=scope.last)
    (check,) = [c for c in CHECKS["daily_candles"] if c.name == "settled_days_are_unchanged"]
    _, failing = check.find(span, {})
    assert set(failing["column"]) == {"volume"}
    assert failing.height == 3
    for check in CHECKS["daily_candles"]:
        with contextlib.suppress(NotComparable):
            check.find(span, {})


def test_a_day_that_grew_until_the_evening_did_not_change(lake: Lake) -> None:
    stored = lake.scan(DAILY_CANDLES).collect()
    before = broken(lake, DAILY_CANDLES)
    spoil(lake, DAILY_CANDLES, lambda rows: rows.with_columns(is_final=pl.lit(value=False)))
    grown = stored.with_columns(trading_value=pl.col("trading_value") + 1)
    lake.replace(DAILY_CANDLES, Scope.month(DAY), grown)
    assert broken(lake, DAILY_CANDLES) == before


SPOT_CHECK = "a_hundred_stocks_agree_with_a_second_source"


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "change", "volume"])
def test_one_altered_value_of_the_hundred_stocks_is_seen(
    lake: Lake, fetched_days: tuple[Lake, DataSource], name: str
) -> None:
    span = span_of(lake, DAILY_CANDLES, fetched_days[1].tables)
    (check,) = [c for c in CHECKS["daily_candles"] if c.name == SPOT_CHECK]
    code = cross_source.sample(span.rows())[42]
    before = (
        lake.scan(DAILY_CANDLES)
        .filter(pl.col("stock_code") == code, pl.col("trading_day") == DAY)
        .collect()[name]
        .item()
    )
    spoil(lake, DAILY_CANDLES, at(code, **{name: pl.col(name) + 5}))
    _, failing = check.find(span, {})
    assert failing.rows() == [(DAY, code, name, before + 5, before)]


def test_a_hundred_stocks_are_drawn_alike_from_each_tenth_and_the_same_each_time() -> None:
    def market(day: date, first: int = 0) -> pl.LazyFrame:
        rows = [(day, f"{n:06}", n) for n in range(first, 2500)]
        return pl.LazyFrame(rows, ["trading_day", "stock_code", "trading_value"], orient="row")

    found = cross_source.sample(market(DAY))
    assert found == cross_source.sample(market(DAY)) != cross_source.sample(market(DAY_BEFORE))
    assert found == cross_source.sample(pl.concat([market(DAY_BEFORE), market(DAY)]))
    assert len(set(found)) == 100
    tenths = pl.Series([int(code) // 250 for code in found]).value_counts()["count"]
    assert tenths.to_list() == [10] * 10
    # Five stocks that are gone move the borders of all tenths.
    assert len(set(found) & set(cross_source.sample(market(DAY, first=5)))) > 90


def test_all_tables_of_a_day_ask_the_second_source_once_when_the_day_is_over(
    lake: Lake, days_folder: Path, tmp_path: Path
) -> None:
    tables = (PRICE_SNAPSHOTS, DAILY_CANDLES)
    for moment, asked in ((EVENING, 1), (EVENING.replace(hour=19), 2)):
        with open_replay(days_folder, moment, tmp_path / f"{asked}") as source:
            for table in tables:
                span = dataclasses.replace(span_of(lake, table, source.tables), now=moment)
                (check,) = [c for c in CHECKS[table.name] if c.name == SPOT_CHECK]
                check.find(span, {})
            (key_id,) = [credential.id for credential in source._settings.credentials]
            assert source.tally.outcomes == {("inquire-daily-price", "ok", key_id): 100 * asked}


def test_quotes_are_held_against_the_second_source_too(
    lake: Lake, fetched_days: tuple[Lake, DataSource]
) -> None:
    assert SPOT_CHECK not in broken(lake, PRICE_SNAPSHOTS, fetched_days[1].tables)
    spoil(lake, PRICE_SNAPSHOTS, lambda rows: rows.with_columns(volume=pl.col("volume") + 1))
    assert SPOT_CHECK in broken(lake, PRICE_SNAPSHOTS, fetched_days[1].tables)


# KRX's own figures beside those of KIS


@pytest.fixture
def krx_lake(days_folder: Path, tmp_path: Path) -> Lake:
    """The days as KRX publishes them."""
    days = pl.read_parquet(days_folder / "daily.parquet")
    rows = days.rename({"date": "trading_day", "code": "stock_code", "name": "stock_name"})
    rows = rows.with_columns(source=pl.lit("krx"), fetched_at=pl.lit(EVENING))
    found = Lake(tmp_path / "krx", source="krx")
    found.replace(
        KRX_DAILY,
        Scope.month(DAY),
        rows.select(pl.col(n).cast(t) for n, t in KRX_DAILY.schema.items()),
    )
    return found


def test_of_krx_no_check_fails(lake: Lake, krx_lake: Lake) -> None:
    assert broken(krx_lake, KRX_DAILY, beside=lake) == set()


@pytest.mark.parametrize(
    ("check", "change"),
    [
        ("key_is_unique", lambda rows: pl.concat([rows, rows.tail(1)])),
        ("high_covers_all_prices", at("000040", high=1)),
        ("market_cap_is_price_times_shares", at("000040", market_cap=1)),
        (
            "candles_are_those_of_krx",
            at(PLAIN, close=pl.col("close") + 10, change=pl.col("change")),
        ),
    ],
)
def test_a_check_of_krx_sees_what_it_is_for(
    lake: Lake, krx_lake: Lake, check: str, change: Spoil
) -> None:
    spoil(krx_lake, KRX_DAILY, change)
    assert check in broken(krx_lake, KRX_DAILY, beside=lake)


def test_any_altered_candle_of_the_whole_market_is_seen_beside_krx(
    lake: Lake, krx_lake: Lake
) -> None:
    spoil(lake, DAILY_CANDLES, at(PLAIN, volume=pl.col("volume") + 1))
    assert broken(krx_lake, KRX_DAILY, beside=lake) == {"candles_are_those_of_krx"}


def test_the_second_source_of_candles_is_krx_where_it_is_stored(lake: Lake, krx_lake: Lake) -> None:
    assert SPOT_CHECK not in broken(lake, DAILY_CANDLES, beside=krx_lake)
    code = cross_source.sample(span_of(lake, DAILY_CANDLES).rows())[7]
    spoil(krx_lake, KRX_DAILY, at(code, volume=pl.col("volume") + 1))
    assert SPOT_CHECK in broken(lake, DAILY_CANDLES, beside=krx_lake)
