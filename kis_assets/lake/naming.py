"""Which stock is meant by a code, a name, a part of one, in Korean or in English.

One place for `Market` and the commands. What a code may look like says `exchange.stocks.code_of`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from kis_assets.exchange import stocks
from kis_assets.lake.queries import Query, Rows
from kis_assets.lake.reader import NotStored
from kis_assets.security.text_input import composed

Ask = Callable[..., Rows]
"""What answers a query with its parameters: `Market.rows`."""

NO_MASTER = "no stock_master is stored yet; run: kis-assets run --table stock_master"

_SHOWN = 5
_FAR = 2
_SIMILAR = 0.7
"""Where no name is as like a text as this, by Jaro and Winkler, none is what was meant."""
_LISTED = (
    "stock_code, stock_name, english_name, market, security_type, listed_shares, base_price, "
    "is_halted, is_administrative, listed_on, trading_day"
)
_FORM = r"(coltd|colimited|ltd|limited|inc|corp|corporation)$"
_KEY = r"regexp_replace(lower(nfc_normalize({})), '[^\p{{L}}\p{{N}}]', '', 'g')"
_NAMED = f"""
    SELECT
        *,
        nfc_normalize(stock_name) AS name,
        {_KEY.format("stock_name")} AS key,
        {_KEY.format("coalesce(english_name, '')")} AS english,
        regexp_replace(english, '{_FORM}', '') AS english_alone,
        -- What the user asks for goes first; nobody means a warrant or a note by half a name.
        CASE
            WHEN stock_code IN (
                SELECT stock_code FROM recent_price_snapshots()
                UNION ALL SELECT stock_code FROM recent_daily_candles()
            ) THEN 0
            WHEN security_type IN ('elw', 'etn', 'warrant', 'right') THEN {_FAR}
            ELSE 1
        END AS far
    FROM stocks
"""  # noqa: S608
_MATCHES = f"""
    WITH named AS ({_NAMED})
    SELECT *, name = $1 OR ($2 <> '' AND (key = $2 OR english_alone = $3)) AS is_exact
    FROM named
    WHERE
        contains(lower(name), lower($1))
        OR ($2 <> '' AND (contains(key, $2) OR contains(english, $2)))
        OR starts_with(stock_code, upper($1))
        OR stock_code = $4
    ORDER BY name <> $1, is_exact DESC, far = {_FAR}, length(stock_name), stock_code
"""  # noqa: S608
_FINDING = f"SELECT {_LISTED} FROM ({_MATCHES})"  # noqa: S608
_MEANING = f"SELECT stock_code, stock_name, is_exact, far FROM ({_MATCHES})"  # noqa: S608
_NEAREST = f"""
    WITH named AS ({_NAMED})
    SELECT stock_name, stock_code
    FROM (
        SELECT *, greatest(
            jaro_winkler_similarity(key, $1),
            jaro_winkler_similarity(english_alone, $1),
            jaro_winkler_similarity(lower(stock_code), $1)
        ) AS similarity
        FROM named
    )
    QUALIFY max(similarity) OVER () >= {_SIMILAR}
    ORDER BY far, similarity DESC, stock_code
    LIMIT 3
"""  # noqa: S608


def finding(text: object) -> Query:
    """The query for stocks by a part of a name or the beginning of the code; the closest first."""
    return _FINDING, _words(text)


def code_of(ask: Ask, stock: object) -> str:
    """The code of a stock that is named by its code, its name or a part only it has.

    A code is not looked up: what is stored of it shows whether it exists. A warrant or a note is
    meant only by a name that no other stock fits.

    Raises:
        NotStored: nothing fits, or several do; it names the nearest.
        TypeError: it is neither a text nor a whole number.
    """
    if (code := stocks.code_of(stock)) is not None:
        return code
    name = composed(stock)
    _, found = ask(_MEANING, *_words(name))
    candidates = [row for row in found if row[2]] or found
    for only in (candidates, [row for row in candidates if row[3] < _FAR]):
        if len(only) == 1:
            return str(only[0][0])
    if found:
        shown = ", ".join(f"{row[1]} ({row[0]})" for row in candidates[:_SHOWN])
        rest = len(candidates) - _SHOWN
        more = f" and {rest} more" if rest > 0 else ""
        raise NotStored(f"{name!r} fits several stocks: {shown}{more}; give the code")
    raise NotStored(f"no stock is called {name!r}{nearest_to(ask, name)}")


def nearest_to(ask: Ask, text: str) -> str:
    """The stocks that are nearest to a name or a code, for a sentence about one there is not."""
    _, rows = ask(_NEAREST, _key(text))
    nearest = ", ".join(f"{name} ({code})" for name, code in rows)
    if rows:
        return f"; nearest: {nearest}"
    _, ((is_there,),) = ask("SELECT count(*) > 0 FROM stock_master")
    return "" if is_there else f"; {NO_MASTER}"


def _words(text: object) -> tuple[str, str, str, str]:
    """A text as it is looked for: as it is, as a key, as one without its legal form, as a code."""
    code = stocks.code_of(text) or ""
    word = code if code and not isinstance(text, str) else composed(text)
    key = _key(word)
    return word, key, re.sub(_FORM, "", key), code


def _key(name: str) -> str:
    """A name as names are compared: without case, blanks and signs; as `_KEY` does in SQL."""
    return re.sub(r"[\W_]+", "", name.lower())
