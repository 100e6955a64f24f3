"""Corporate actions, and the adjustment factors made from them."""

from __future__ import annotations

from kis_assets.tables.columns import KRW, ORIGIN, SHARES, STOCK_CODE, day, integer, real, text
from kis_assets.tables.table import Preview, Table

CORPORATE_ACTIONS = Table(
    name="corporate_actions",
    description=(
        "Actions that changed a stock's number of shares or its base price, by the day on which "
        "they took effect. Most are announcements of the Korea Securities Depository. The rest "
        "are signs in the daily chart that no announcement explains: marks, and base prices more "
        "than one tick away from the final close of the session before. Announced days may move; "
        "a later run of the month corrects them."
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
        text("stock_name", "Name in Korean, if KIS gives it (종목명)", nullable=True),
        text(
            "kind",
            "split, reverse_split, bonus_issue, rights_issue, stock_dividend, cash_dividend, "
            "capital_reduction, merger, spin_off or other; a base price that moved without a mark "
            "counts as other",
        ),
        text("origin", "The list of KIS that contains it, or daily_chart"),
        integer("sequence", "0, or a number if several rows would have the same key"),
        text(
            "effective_from",
            "Source of the effective day: ex_on, listed_on (first day after a halt), record_on (if "
            "nothing better is known), computed (ex-dividend day from the record day), chart",
        ),
        real(
            "ratio",
            "Shares after the action for each share before: 10 for a split by ten, 1.5 for a "
            "bonus of one for two, 0.3 for a reduction that leaves three of ten; null if unknown. "
            "For a rights issue it is computed from the numbers of shares, or else from the rate; "
            "for a bonus issue from the rate. For a capital reduction it is the announced one, "
            "unless the day's base price contradicts it. Then it is the announced rate, read as "
            "the factor, divisor or percentage that fits the base price, or else null",
            nullable=True,
        ),
        day("record_on", "Record date (기준일)", nullable=True),
        day("listed_on", "Day on which the new shares are listed (상장일)", nullable=True),
        text("kind_of_share", "Kind of share as KIS writes it (주식종류)", nullable=True),
        real("face_value_before", "Face value before (변경전액면가)", KRW, nullable=True),
        real("face_value_after", "Face value after (변경후액면가)", KRW, nullable=True),
        real(
            "rate",
            "Announced rate: percent for an allotment or a dividend, a factor for a reduction",
            nullable=True,
        ),
        text(
            "announced_ratio",
            "Announced ratio of a merger; for a reduction its rate and whether it multiplies "
            "(곱하기) or divides (나누기)",
            nullable=True,
        ),
        real("amount", "Issue price, or cash dividend per share", KRW, nullable=True),
        integer("shares_before", "Issued shares as announced", SHARES, nullable=True, minimum=None),
        integer("new_shares", "Shares to be issued", SHARES, nullable=True, minimum=None),
        text("stop_period", "Trading halt as announced (매매거래정지기간)", nullable=True),
        text("subscription_period", "Subscription as announced (청약기간)", nullable=True),
        day("paid_on", "Day on which a dividend is paid", nullable=True),
        text("reason", "Reason or kind as KIS writes it", nullable=True),
        text("counterparty", "The company that is merged or split off", nullable=True),
        text("ex_flag", "Ex-event from the daily chart (락구분)", nullable=True),
        real(
            "base_ratio",
            "Base price divided by previous close, from the daily chart",
            nullable=True,
        ),
        text("revaluation", "Reason for a new base price, from the daily chart", nullable=True),
        *ORIGIN,
    ),
)

ADJUSTMENT_FACTORS = Table(
    name="adjustment_factors",
    description=(
        "The factor by which a day changed all earlier prices of a stock; a day without a change "
        "has no row. It comes from the ratio of a recorded split, reverse split, bonus issue or "
        "capital reduction. Otherwise it is the base price divided by the previous close if they "
        "differ by more than one tick (rights issues, mergers, spin-offs). Cash dividends change "
        "nothing. Factors are computed again when candles or actions change."
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
        real("factor", "All prices before the day are multiplied by this: 0.1 for a split by ten"),
        text(
            "reason",
            "The kind of the action, as in corporate_actions; several are joined by +; unknown if "
            "only the base price shows it",
        ),
        text(
            "evidence",
            "Source of the factor: ratio (as announced), base_price (divided by the previous "
            "close) or daily_chart (its split ratio)",
        ),
        integer("base_price", "Base price of the day (기준가)", KRW),
        integer("previous_close", "The stock's close of the day before", KRW, nullable=True),
        *ORIGIN,
    ),
)
