"""KRX as a source for assets: the exchange's own daily figures, as rows of tables."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

import polars as pl

from kis_assets.errors import NotSupported
from kis_assets.krx import client, publication
from kis_assets.krx.markets import Markets, markets_on
from kis_assets.settings import Settings
from kis_assets.sources.batch import several
from kis_assets.sources.tables import Fetched, TableSource
from kis_assets.tables import DAILY_CANDLES, KRX_DAILY, STOCK_INFO, STOCK_MASTER
from kis_assets.transport.fan_out import Progress


class KRXTables(TableSource):
    """Rows of KRX's Open API, which has no data of the current day."""

    name = "krx"

    def __init__(self, settings: Settings, markets: Markets) -> None:
        self._settings = settings
        self.name = settings.named("krx")
        self._markets = markets

    def lacks(self, what: str) -> NotSupported:
        """See `TableSource.lacks`."""
        return publication.only_past_days(what)

    def whole_market(self, day: date) -> pl.DataFrame:
        """Rows of `krx_daily`: every stock of KOSPI, KOSDAQ and KONEX on a published trading day.

        Takes three requests; two before KONEX opened in July 2013.

        Raises:
            InvalidRequest: the day is not a trading day, lies before KRX's history, or is
                not published yet.
            ServiceUnavailable: the day is due since this morning but missing.
            UnexpectedAnswer: the answer has no rows, or impossible values.
        """
        return self._markets.whole(client.DAILY, day)

    def daily_candles(
        self,
        stock_codes: Collection[str],
        first: date,
        last: date,
        progress: Progress | None = None,
    ) -> Fetched:
        """Rows of `daily_candles`: two requests per day, three if the universe includes KONEX.

        KRX states neither ex-events nor split ratios: they are null. Without a stated change, a
        stock has no base price and no row on that day.

        Raises:
            InvalidRequest: none of the days is in KRX's history.
            KISError: one market of one day is not available: a month must be complete.
        """
        days = publication.days(first, last, self._settings.now())
        asked = [
            (client.DAILY[market], day)
            for day in days
            for market in markets_on(day)
            if market != "KONEX" or self._wants_konex()
        ]
        codes = sorted(several(stock_codes))

        def done(requests: int) -> None:
            if progress is not None and codes:
                progress(requests * len(codes) // len(asked), len(codes), codes[-1])

        self._markets.fetch(asked, done)
        # Day by day: the kept answers may be fewer than a month of all markets.
        wanted = pl.col("stock_code").is_in(codes) & pl.col("change").is_not_null()
        rows = pl.concat(
            [KRX_DAILY.empty(), *(self._markets.answer(one).filter(wanted) for one in asked)]
        ).with_columns(
            base_price=pl.col("close") - pl.col("change"),
            has_traded=pl.col("volume") > 0,
            is_final=pl.lit(value=True),  # KRX publishes only final figures
        )
        absent = dict.fromkeys(
            sorted(set(codes) - set(rows["stock_code"])), "KRX has no row of it in these days"
        )
        return Fetched(_conformed(rows, DAILY_CANDLES.schema), absent=absent)

    def _wants_konex(self) -> bool:
        settings = self._settings
        return settings.kis_stock_codes is not None or bool(
            {"konex", "all"} & set(settings.universe.groups)
        )

    def history_is_stored(self, first: date, last: date) -> None:
        """Drop the kept answers of these days, so that the next run gets KRX's corrections."""
        self._markets.forget(first, last)

    def stock_master(self, trading_day: date) -> pl.DataFrame:
        """Every share listed on a published day; flags that KRX does not state are null.

        Whether a stock is under administration is known only if it has a department: not on KOSPI.
        """
        whole = pl.col("face_value").floor() == pl.col("face_value")
        rows = self._markets.whole(client.ISSUES, trading_day).with_columns(
            trading_day=pl.lit(trading_day), face_value=pl.when(whole).then("face_value")
        )
        return _conformed(rows, STOCK_MASTER.schema)

    def stock_info(
        self, stocks: pl.DataFrame, month: date, progress: Progress | None = None
    ) -> Fetched:
        """Rows of `stock_info` as of the newest published day: three requests for all stocks."""
        issues = self._markets.whole(client.ISSUES, publication.newest(self._settings.now()))
        rows = issues.filter(pl.col("stock_code").is_in(stocks["stock_code"].to_list()))
        is_share = pl.col("security_group").is_in(["ST", "KN", "FS"])
        rows = rows.with_columns(
            pl.when(pl.col("market") == market).then("listed_on").alias(f"listed_on_{name}")
            for market, name in (("KOSPI", "kospi"), ("KOSDAQ", "kosdaq"), ("KONEX", "konex"))
        ).with_columns(
            info_month=pl.lit(month.replace(day=1)),
            known_from=pl.lit(self.name),
            kind_of_share=pl.when(is_share).then(
                pl.when(pl.col("preferred_class") == "0")
                .then(pl.lit("common"))
                .otherwise(pl.lit("preferred"))
            ),
        )
        missing = sorted(set(stocks["stock_code"]) - set(rows["stock_code"]))
        return Fetched(
            _conformed(rows, STOCK_INFO.schema),
            absent=dict.fromkeys(missing, "KRX has no such stock"),
        )


def _conformed(rows: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The columns of a table in its types; missing ones are null."""
    return rows.select(
        pl.col(name).cast(dtype) if name in rows.columns else pl.lit(None, dtype).alias(name)
        for name, dtype in schema.items()
    )
