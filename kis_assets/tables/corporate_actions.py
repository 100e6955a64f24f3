"""Corporate actions."""

from __future__ import annotations

from kis_assets.tables.columns import KRW, ORIGIN, SHARES, STOCK_CODE, day, integer, real, text
from kis_assets.tables.table import Preview, Table

CORPORATE_ACTIONS = Table(
    name="corporate_actions",
    description=(
        "What changed a stock's number of shares or its base price, by the day it took effect: "
        "announcements of the Korea Securities Depository, and what the daily chart shows and no "
        "announcement explains: marks, and base prices more than a tick from the final close of "
        "the session before. Announced days may move; a later run of the month corrects them."
    ),
    clock="effective_on",
    key=("effective_on", "stock_code", "kind", "origin", "sequence"),
    partition="month",
    unit="month",
    may_be_empty=True,
    preview=Preview("effective_on stock_code stock_name kind ratio amount", largest="effective_on"),
    columns=(
        day("effective_on", "First day of trading under the new terms"),
        STOCK_CODE,
        text("stock_name", "Name in Korean, where it is given (종목명)", nullable=True),
        text(
            "kind",
            "split, reverse_split, bonus_issue, rights_issue, stock_dividend, cash_dividend, "
            "capital_reduction, merger, spin_off or other; a base price that moved without a mark "
            "is other",
        ),
        text("origin", "The list of KIS that it stands in, or daily_chart"),
        integer("sequence", "0, or the number among rows that are otherwise of the same key"),
        text(
            "effective_from",
            "Where the effective day is known from: ex_on, listed_on (first day after a halt), "
            "record_on (for want of better), computed (ex-dividend day from the record day), chart",
        ),
        real(
            "ratio",
            "Shares after for each share before: 10 for a split by ten, 1.5 for a bonus of one for "
            "two, 0.3 for a reduction that leaves three of ten; null when unknown. Of a rights "
            "issue by its numbers of shares, else by its rate; of a bonus issue by its rate. Of a "
            "capital reduction as announced, unless "
            "the day's base price contradicts that: then as the rate that it supports has it, as "
            "factor, divisor or percentage taken away, else null",
            nullable=True,
        ),
        day("record_on", "Record date (기준일)", nullable=True),
        day("listed_on", "Day on which the new shares are listed (상장일)", nullable=True),
        text("kind_of_share", "Kind of share as KIS writes it (주식종류)", nullable=True),
        real("face_value_before", "Face value before (변경전액면가)", KRW, nullable=True),
        real("face_value_after", "Face value after (변경후액면가)", KRW, nullable=True),
        real(
            "rate",
            "Rate as announced: of an allotment or a dividend in percent, of a reduction a factor",
            nullable=True,
        ),
        text(
            "announced_ratio",
            "Ratio as announced: of a merger; of a reduction its rate and whether it multiplies "
            "(곱하기) or divides (나누기)",
            nullable=True,
        ),
        real("amount", "Issue price, or cash dividend a share", KRW, nullable=True),
        integer("shares_before", "Issued shares as announced", SHARES, nullable=True, minimum=None),
        integer("new_shares", "Shares to be issued", SHARES, nullable=True, minimum=None),
        text("stop_period", "Trading halt as announced (매매거래정지기간)", nullable=True),
        text("subscription_period", "Subscription as announced (청약기간)", nullable=True),
        day("paid_on", "Day of payment of a dividend", nullable=True),
        text("reason", "Reason or kind as KIS writes it", nullable=True),
        text("counterparty", "The company merged or split off", nullable=True),
        text("ex_flag", "Ex-event of the daily chart (락구분)", nullable=True),
        real("base_ratio", "Base price over previous close, of the daily chart", nullable=True),
        text("revaluation", "Reason of a re-based price, of the daily chart", nullable=True),
        *ORIGIN,
    ),
)

ADJUSTMENT_FACTORS = Table(
    name="adjustment_factors",
    description=(
        "What a day did to all prices of a stock before it: one row where that is not nothing. "
        "A recorded split, reverse split, bonus issue or capital reduction by its ratio, else the "
        "base price over the previous close where they differ by more than a tick (rights issues, "
        "mergers, spin-offs). Cash dividends do nothing. Made anew when candles or actions change."
    ),
    clock="effective_on",
    key=("effective_on", "stock_code"),
    partition="year",
    unit="year",
    may_be_empty=True,
    is_default=True,
    preview=Preview("effective_on stock_code factor reason evidence", largest="effective_on"),
    columns=(
        day("effective_on", "First day of trading on the new basis"),
        STOCK_CODE,
        real("factor", "What all prices before the day are multiplied by: 0.1 for a split by ten"),
        text(
            "reason",
            "The kind of the action, as in corporate_actions; several joined by +; unknown where "
            "only the base price tells",
        ),
        text(
            "evidence",
            "What the factor is taken from: ratio (as announced), base_price (over the previous "
            "close) or daily_chart (its split ratio)",
        ),
        integer("base_price", "Base price of the day (기준가)", KRW),
        integer("previous_close", "Close of the day before, of the stock", KRW, nullable=True),
        *ORIGIN,
    ),
)
