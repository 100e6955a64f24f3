"""docs/trust.md: how data is judged, and every check, with what must be true."""

from __future__ import annotations

from kis_assets.defs.checks.registry import LISTED

_PAGE = """\
# Data one can trust

Made from the code by `kis-assets docs checks > docs/trust.md`.

Every partition is checked when it is written. What a check finds is kept in the table
`quality`, for each trading day, with the first failing rows. Rows that can never be right (a
wrong type, a doubled key, a negative price, a row of another day or source) do not even get
that far: the lake refuses them.

`dataset_condition` says of each table and trading day what that comes to:

| condition | means |
| --- | --- |
| available | stored, and no check that is an error fails; a warning is told as the reason |
| degraded | stored, and an error stands in it, or a stock that was asked for failed |
| pending | the day is not over, or a row of it is not final: since 2026-09-14 a candle that was \
fetched before 06:00 of the next session may have the after-market's close, high and low |
| missing | nothing is stored; the reason says whether it can still be had |

```sql
SELECT * FROM dataset_condition WHERE condition <> 'available' ORDER BY trading_day DESC
```

A stock without a row is no failure when it is known why (halted, not yet listed, delisted, no
trade): the codes stand by reason in `quality`, check `every_stock_is_accounted_for`. What a
later run changed in stored rows is shown by `kis-assets diff TABLE PARTITION`;
`Market(...).daily_candles(..., as_of=...)` reads what was known at an earlier moment.

The thresholds are those of real days of March 2026; a check's words say which. *Blocks* means
that it can never be right, and that what is downstream does not run.

| table | check | severity | what must be true |
| --- | --- | --- | --- |
"""


def page() -> str:
    """The whole page; the same text for the same checks."""
    lines = [
        f"| {table.name} | {check.name} | {check.severity.value}"
        f"{', blocks' if check.blocks else ''} | {check.words} |\n"
        for table, checks in LISTED.items()
        for check in checks
    ]
    return _PAGE + "".join(lines)
