"""KIS's market data, one method a question: which parameters, and how many pages. No storage."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

from kis_assets.errors import InvalidRequest, KISError, NotSupported, UnexpectedAnswer
from kis_assets.exchange import calendar, finality
from kis_assets.exchange.venues import Venue
from kis_assets.kis import answers, endpoints, minute_candles, order_books
from kis_assets.kis.client import Client
from kis_assets.kis.endpoints import Endpoint
from kis_assets.kis.reference import Reference
from kis_assets.transport.fan_out import Progress, counted, each

log = logging.getLogger(__name__)


class Quotations(Reference):
    """What can be asked of KIS. Every method raises the branches of `KISError`.

    `patience` is how many seconds a request stands in the quota's queue at most;
    `KIS_API_QUEUE_TIMEOUT` where it is None. `venue` is the market that is asked about;
    that of the constructor where it is None.
    """

    def __init__(self, client: Client, venue: Venue = Venue.KRX) -> None:
        super().__init__(client)
        self._venue = venue

    def _market(self, venue: Venue | None) -> str:
        return endpoints.MARKET_CODES[venue or self._venue]

    def price(
        self, code: str, patience: float | None = None, venue: Venue | None = None
    ) -> dict[str, Any]:
        """The quote of one stock; see `answers.price`."""
        return self._client.ask(
            endpoints.PRICE,
            {"FID_COND_MRKT_DIV_CODE": self._market(venue), "FID_INPUT_ISCD": code},
            lambda body: answers.price(body, code),
            about=code,
            live=True,
            patience=patience,
        )

    def prices(
        self, codes: tuple[str, ...], patience: float | None = None, venue: Venue | None = None
    ) -> Mapping[str, dict[str, Any] | UnexpectedAnswer]:
        """The quotes of up to 30 stocks; see `answers.many_prices`."""
        parameters: dict[str, str] = {}
        for slot, code in enumerate(codes, 1):
            parameters[f"FID_COND_MRKT_DIV_CODE_{slot}"] = self._market(venue)
            parameters[f"FID_INPUT_ISCD_{slot}"] = code
        return self._client.ask(
            endpoints.MANY_PRICES,
            parameters,
            lambda body: answers.many_prices(body, codes),
            about=codes[0] if len(codes) == 1 else f"{codes[0]} to {codes[-1]}",
            live=True,
            patience=patience,
        )

    def each_price(
        self,
        codes: list[str],
        take: Callable[[str, dict[str, Any]], None],
        *,
        workers: int,
        patience: float | None = None,
        progress: Progress | None = None,
    ) -> dict[str, KISError]:
        """Hand the quote of each stock to `take`; return what failed, unknown codes among it.

        Thirty a request from the real server, one by one from the virtual one.
        """
        failed: dict[str, KISError] = {}
        taken: set[str] = set()

        def receive(asked: tuple[str, ...], found: Mapping[str, dict[str, Any] | KISError]) -> None:
            for code in asked:
                quote = found.get(code)
                if isinstance(quote, KISError):
                    failed[code] = quote
                elif quote is not None:
                    try:
                        take(code, quote)
                    except UnexpectedAnswer as error:
                        failed[code] = error
                        continue
                    failed.pop(code, None)
                    taken.add(code)

        if self._client.environment == "real":
            size = endpoints.CODES_A_REQUEST
            total = len(codes)
            refused = each(
                [tuple(codes[start : start + size]) for start in range(0, total, size)],
                lambda asked: self.prices(asked, patience),
                receive,
                workers=workers,
                rest=self._client.wait_for_breaker,
                progress=progress
                and (lambda done, asked: progress(min(total, done * size), total, asked[-1])),
            )
            failed |= {code: error for asked, error in refused.items() for code in asked}
        # KIS leaves out codes now and then, and tells an unknown one only when asked for it alone;
        # and one wrong row of thirty, of a capture that cannot be had later, is not to cost thirty.
        left = [
            code
            for code in codes
            if code not in taken and isinstance(failed.get(code), UnexpectedAnswer | None)
        ]
        return failed | each(
            left,
            lambda code: {code: self.price(code, patience)},
            lambda code, found: receive((code,), found),
            workers=workers,
            rest=self._client.wait_for_breaker,
            progress=counted(progress, len(codes), before=len(codes) - len(left)),
        )

    def daily_page(
        self,
        code: str,
        first: date,
        last: date,
        *,
        live: bool = False,
        patience: float | None = None,
        venue: Venue | None = None,
        adjusted: bool = False,
    ) -> list[dict[str, Any]]:
        """The newest 100 daily bars of a span, newest first; see `answers.daily_candles`.

        Each says `is_final`, as far as the moment of asking tells. None at all is asked for twice:
        it is what a stock has that was not listed, and what KIS says in a lapse.
        """
        parameters = {
            "FID_COND_MRKT_DIV_CODE": self._market(venue),
            "FID_INPUT_ISCD": code,
            "FID_INPUT_DATE_1": f"{first:%Y%m%d}",
            "FID_INPUT_DATE_2": f"{last:%Y%m%d}",
            "FID_PERIOD_DIV_CODE": "D",
            "FID_ORG_ADJ_PRC": "0" if adjusted else "1",
        }
        # What NXT shows of a stock that it has suspended is not known.
        is_nxt = (venue or self._venue) is Venue.NXT
        now = self._client.now()
        closed = None if is_nxt else calendar.closed_session(now).day
        final = finality.newest_final_day(now)

        def ask() -> list[dict[str, Any]]:
            return self._client.ask(
                endpoints.DAILY_CHART,
                parameters,
                lambda body: answers.daily_candles(body, code, first, last, closed),
                about=code,
                live=live,
                patience=patience,
            )

        # Which close KIS states beside the bars of another venue is not known.
        doubted = finality.doubted_day(now) if (venue or self._venue) is Venue.KRX else None
        proven = doubted is not None and now >= finality.refetched_by(doubted)
        return [
            bar
            | {
                "is_final": bar["trading_day"] <= final
                and (
                    proven
                    or bar["trading_day"] != doubted
                    or bar["stated_close"] in (None, 0, bar["close"])
                )
            }
            for bar in ask() or ask()
        ]

    def recent_days(self, code: str, patience: float | None = None) -> list[dict[str, Any]]:
        """The last thirty raw daily bars, newest first; see `answers.recent_days`."""
        return self._client.ask(
            endpoints.RECENT_DAYS,
            {
                "FID_COND_MRKT_DIV_CODE": self._market(None),
                "FID_INPUT_ISCD": code,
                "FID_PERIOD_DIV_CODE": "D",
                "FID_ORG_ADJ_PRC": "0",  # raw here, and the other way round in the daily chart
            },
            answers.recent_days,
            about=code,
            patience=patience,
        )

    def daily_candles(
        self,
        code: str,
        first: date,
        last: date,
        patience: float | None = None,
        count: int | None = None,
        venue: Venue | None = None,
    ) -> list[dict[str, Any]]:
        """The raw daily bars of a span, newest first, page by page; `count` of them are enough.

        A page that fails fails the whole: it is never the end of history.
        """
        return list(islice(self.each_daily(code, first, last, patience, venue), count))

    def each_daily(
        self,
        code: str,
        first: date,
        last: date,
        patience: float | None = None,
        venue: Venue | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The raw daily bars of a span, newest first; a page is asked for when it is needed.

        A short page is the end when it reaches the span's first session or nothing lies before it:
        one that lost rows on its way looks the same.
        """
        is_first = True
        while calendar.possible_trading_days(first, last):
            try:
                page = self.daily_page(code, first, last, patience=patience, venue=venue)
            except InvalidRequest:
                if is_first:
                    raise
                return  # of a delisted stock KIS knows neither a price nor, back here, a bar
            yield from page
            if not page:
                return
            is_first = False
            last = page[-1]["trading_day"] - timedelta(days=1)

    def order_book(
        self,
        code: str,
        trading_day: date,
        now: datetime,
        patience: float | None = None,
        venue: Venue | None = None,
    ) -> dict[str, Any]:
        """The order book of one stock; see `books.order_book`."""
        return self._client.ask(
            endpoints.ORDER_BOOK,
            {"FID_COND_MRKT_DIV_CODE": self._market(venue), "FID_INPUT_ISCD": code},
            lambda body: order_books.order_book(body, code, trading_day, now),
            about=code,
            live=True,
            patience=patience,
        )

    def minutes(
        self,
        code: str,
        day: date,
        patience: float | None = None,
        venue: Venue | None = None,
        *,
        regular_only: bool = False,
    ) -> list[dict[str, Any]]:
        """The traded minutes of a day, oldest first, from the chart that has them.

        Of other venues than KRX those of the regular session.
        """
        regular_only |= (venue or self._venue) is not Venue.KRX
        now = self._client.settings.now()
        at_kis = self._client.at_kis(now)
        session = minute_candles.kept_session(day, at_kis)
        is_virtual = self._client.environment == "virtual"
        if at_kis > session.closes_at + minute_candles.EXTENSION and not is_virtual:
            return self.past_minutes(code, session, now, patience, venue, regular_only=regular_only)
        live = calendar.live_session(at_kis)
        if live is None or live.day != day:
            raise NotSupported(
                f"the virtual server has no minutes of past days, such as {day}; the real one has "
                "(KIS_USE_VIRTUAL_SERVER=false)"
            )
        return self.todays_minutes(code, session, now, patience, venue, regular_only=regular_only)

    def each_minute(self, code: str, venue: Venue | None = None) -> Iterator[dict[str, Any]]:
        """Minutes, newest first, session by session as far back as this server has them."""
        now = self._client.now()
        latest = calendar.latest_session(now).day
        if self._client.environment == "virtual":
            yield from reversed(self.minutes(code, latest, venue=venue))
            log.info("%s: the virtual server has the minutes of %s only", code, latest)
            return
        # The days say on which of them there is something to ask for.
        oldest = minute_candles.oldest_kept(now)
        for day in self.each_daily(code, oldest, latest, venue=venue):
            if day["has_traded"]:
                yield from reversed(self.minutes(code, day["trading_day"], venue=venue))

    def past_minutes(
        self,
        code: str,
        session: calendar.Session,
        now: datetime,
        patience: float | None = None,
        venue: Venue | None = None,
        *,
        regular_only: bool = False,
    ) -> list[dict[str, Any]]:
        """The traded minutes of a day that are over, oldest first; none on a day without any.

        `now` is the moment of asking by the clock of this machine. By KIS's own, no minute is given
        that is not over. `regular_only` leaves out the after-market.

        Raises:
            UnexpectedAnswer: none of a day with trades, or not from its beginning.
        """
        most = endpoints.PAST_MINUTES_A_PAGE

        def ask(upto: datetime, latest: datetime) -> minute_candles.Page:
            return self._client.ask(
                endpoints.PAST_MINUTES,
                {
                    "FID_COND_MRKT_DIV_CODE": self._market(venue),
                    "FID_INPUT_ISCD": code,
                    "FID_INPUT_DATE_1": f"{session.day:%Y%m%d}",
                    "FID_INPUT_HOUR_1": f"{upto:%H%M}00",
                    "FID_PW_DATA_INCU_YN": "Y",
                    "FID_FAKE_TICK_INCU_YN": "",  # refused without it, undocumented with a value
                },
                lambda body: minute_candles.page(body, code, session.day, latest, most),
                about=code,
                patience=patience,
            )

        with _about(endpoints.PAST_MINUTES, code):
            found = self._gathered(ask, session, now, regular_only)
            if not found.bars:
                self._confirm_none(code, session.day, found.others, patience, venue)
            return minute_candles.past(found, session, self._client.at_kis(now))

    def _confirm_none(
        self,
        code: str,
        day: date,
        others: frozenset[date],
        patience: float | None,
        venue: Venue | None,
    ) -> None:
        """KIS says nothing of a day either when nobody traded on it or when it errs: ask which."""
        for bar in self.daily_page(code, day, day, patience=patience, venue=venue):
            if bar["has_traded"] and bar["open"] and bar["volume"]:
                raise UnexpectedAnswer(
                    f"the answer holds minutes of {max(others, default='no day')}, asked was {day}"
                )

    def todays_minutes(
        self,
        code: str,
        session: calendar.Session,
        now: datetime,
        patience: float | None = None,
        venue: Venue | None = None,
        *,
        regular_only: bool = False,
    ) -> list[dict[str, Any]]:
        """The traded minutes of the latest day that are over, oldest first.

        `now` and `regular_only` are as for `past_minutes`.

        Raises:
            UnexpectedAnswer: minutes of other days alone, or not from the day's beginning.
        """
        most = endpoints.TODAYS_MINUTES_A_PAGE

        def ask(upto: datetime, latest: datetime) -> minute_candles.Page:
            return self._client.ask(
                endpoints.TODAYS_MINUTES,
                {
                    "FID_COND_MRKT_DIV_CODE": self._market(venue),
                    "FID_INPUT_ISCD": code,
                    "FID_INPUT_HOUR_1": f"{upto:%H%M}00",
                    "FID_PW_DATA_INCU_YN": "N",
                    "FID_ETC_CLS_CODE": "",
                },
                lambda body: minute_candles.page(body, code, session.day, latest, most),
                about=code,
                patience=patience,
            )

        with _about(endpoints.TODAYS_MINUTES, code):
            found = self._gathered(ask, session, now, regular_only)
            if found.others and not found.bars:
                raise UnexpectedAnswer(
                    f"the answer holds minutes of {max(found.others)}, asked was {session.day}"
                )
            return minute_candles.todays(found, session, self._client.at_kis(now))

    def _gathered(
        self, ask: minute_candles.Ask, session: calendar.Session, now: datetime, regular_only: bool
    ) -> minute_candles.Page:
        """A day's minutes as far as they have come; once more where our clock proves to be slow."""
        last = minute_candles.last_minute(session, regular_only=regular_only)

        def until() -> datetime:
            return min(self._client.at_kis(now), last)

        asked = until()
        found = minute_candles.gather(ask, session, asked)
        late = until() - asked >= minute_candles.MINUTE
        return minute_candles.gather(ask, session, until()) if late else found


@contextmanager
def _about(endpoint: Endpoint, code: str) -> Generator[None]:
    """Say of what is wrong with several answers together which stock it is about."""
    try:
        yield
    except UnexpectedAnswer as error:
        error.endpoint = error.endpoint or endpoint.name
        error.stock_code = error.stock_code or code
        raise
