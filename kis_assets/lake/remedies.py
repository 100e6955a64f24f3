"""The commands that fetch rows which are not stored."""

from __future__ import annotations

from collections.abc import Iterable


def remedy(name: str, absent: list[tuple[str, str]]) -> str:
    """How to fetch missing rows of a table: for these spans, or any."""
    from kis_assets.tables import TABLES

    table = TABLES[name]
    if table.live == "stream":
        return "what was not recorded is gone; run: kis-assets stream --store"
    # Nobody quotes while it is closed, and prices are there all evening.
    when = "while the market is open: " if "ask_price_1" in table.schema else ""
    if table.live and absent:
        when = when or "the latest session's: "
        return f"captures are not available later; {when}run: kis-assets run --table {name}"
    if when:
        return f"{when}run: kis-assets run --table {name}"
    if not absent:
        # A run on the virtual server leaves out what is published on the next morning.
        # The list of stocks alone is there in seconds, and names need no more.
        is_made = table.is_default and table.final != "published" and table.live != "files"
        return "run: kis-assets run" + ("" if is_made else f" --table {name}")
    if not table.has_past:
        return f"it is not available for past days; today's: run: kis-assets run --table {name}"
    first, last = absent[0]
    return f"run: kis-assets backfill {name} {first} {last}"


def remedies(names: Iterable[str]) -> str:
    """What fetches several tables, or the first of them that needs another command."""
    from kis_assets.tables import TABLES

    known = [name for name in sorted(names) if name in TABLES]
    found = list(dict.fromkeys(remedy(name, []) for name in known))
    if len(found) > 1 and all("run: kis-assets run" in how for how in found):
        when = max((how.partition("run:")[0] for how in found), key=len)
        return f"{when}run: kis-assets run" + "".join(f" --table {name}" for name in known)
    return max(found, key=len, default="run: kis-assets run")
