"""The faults that damage successful answers, by a change of the request or the payload."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any, cast

from kis_assets.exchange import calendar
from kis_assets.simulator.market.market import Market
from kis_assets.simulator.server.faults import Faults, When
from kis_assets.simulator.wire.wire import Answer, parse_day, ymd

Payload = dict[str, Any]
Record = dict[str, str]

_OPTIONAL = frozenset(
    ("mang_issu_cls_code", "itewhol_loan_rmnd_ratem", "per", "pbr", "vi_cls_code", "short_over_yn")
)
_OFTEN_BLANK = frozenset(("per", "pbr", "eps", "bps", "hts_avls", "vol_tnrt", "hts_frgn_ehrt"))
_PRICES = ("stck_prpr", "inter2_prpr", "stck_clpr", "askp1", "TDD_CLSPRC")
_CODES = ("FID_INPUT_ISCD", "FID_INPUT_ISCD_1", "PDNO")
_DAYS = ("FID_INPUT_DATE_1", "FID_INPUT_DATE_2", "BASDD")
_LABELS = frozenset(
    (
        "stck_bsop_date", "stck_cntg_hour", "aspr_acpt_hour", "stck_shrn_iscd",
        "BAS_DD", "ISU_CD", "ISU_SRT_CD", "LIST_DD",
    )
)  # fmt: skip
_TODAYS_MINUTES, _PAST_MINUTES = "inquire-time-itemchartprice", "inquire-time-dailychartprice"
_DAILY = ("inquire-daily-itemchartprice", "inquire-daily-price")
_HOUR = "FID_INPUT_HOUR_1"
_LAST_MINUTE, _END = "195900", "200000"


def lies_of(faults: Faults, path: str, parameters: Mapping[str, str]) -> dict[str, When]:
    """The faults of this module that apply to a call, with their settings."""
    # A first page requests the newest minutes, at the close or later.
    follows = path.endswith(_PAST_MINUTES) and parameters.get(_HOUR, _END) < "153000"
    names = [name for name in LIES if name != "empty_minutes" or follows]
    struck = {name: faults.strikes(name, path) for name in names}
    return {name: when for name, when in struck.items() if when}


def damage_request(
    faults: Mapping[str, When], path: str, market: Market, parameters: dict[str, str]
) -> None:
    """Change the parameters of the client's request."""
    if "wrong_code_answer" in faults:
        for name in _CODES:
            if parameters.get(name):
                parameters[name] = "000660" if parameters[name] != "000660" else "005930"
    if "another_days_bars" in faults:
        for name in _DAYS:
            day = parse_day(parameters.get(name, ""))
            if day is not None:
                day = max(day - timedelta(days=60), calendar.FIRST_DAY + timedelta(days=7))
                while not market.is_trading_day(day):
                    day -= timedelta(days=1)
                parameters[name] = ymd(day)
    if "calendar_inclusive" in faults:
        day = parse_day(parameters.get("CTX_AREA_NK", "").strip())
        if day is not None:
            parameters["CTX_AREA_NK"] = ymd(day - timedelta(days=1))
    hour = parameters.get(_HOUR, "")
    if "minutes_ahead" in faults and path.endswith(_TODAYS_MINUTES):
        now = market.now()
        if hour == "000000" or hour >= f"{now:%H%M00}":
            later = now + timedelta(seconds=faults["minutes_ahead"].seconds)
            parameters[_HOUR] = max(hour, f"{later:%H%M%S}")
    if "minute_of_2000" in faults and _LAST_MINUTE <= hour < _END:
        parameters[_HOUR] = "195800"


def damage_answer(faults: Collection[str], path: str, answer: Answer) -> None:
    """Change an answer in place."""
    damage_payload(faults, path, answer.payload)
    if "cut_lists" in faults and "/ksdinfo/" in path:
        answer.tr_cont = ""
        answer.payload.pop("ctx_area_nk", None)


def damage_payload(faults: Collection[str], path: str, payload: Payload) -> None:
    """Change a payload in place; each fault decides where it applies."""
    if "short_multprice" in faults and path.endswith("intstock-multprice"):
        payload["output"] = [row for row in payload["output"] if row["inter2_prpr"] != "0"]
    if "doubled_closing_minute" in faults and path.endswith(_TODAYS_MINUTES):
        for row in payload["output2"]:
            if _is_closing(row):
                row["cntg_vol"] = str(2 * int(row["cntg_vol"]))
    if "minute_of_2000" in faults and path.endswith((_TODAYS_MINUTES, _PAST_MINUTES)):
        for row in payload["output2"]:
            if row["stck_cntg_hour"] == _LAST_MINUTE:
                row["stck_cntg_hour"] = _END
    if "empty_minutes" in faults:
        payload["output2"] = []
    if "untraded_as_close" in faults and path.endswith(_DAILY):
        for row in payload.get("output2") or payload.get("output", []):
            if row.get("acml_vol") == "0":
                row |= dict.fromkeys(("stck_oprc", "stck_hgpr", "stck_lwpr"), row["stck_clpr"])
    for name, change in _RECORD_DAMAGES.items():
        if name in faults:
            for record in _records(payload):
                change(record)
    if "bad_number" in faults:
        _first_price(payload, lambda record, name: record.__setitem__(name, "abc"))
    if "missing_required_field" in faults:
        _first_price(payload, lambda record, name: record.pop(name))
    if "no_rows" in faults:
        payload |= {name: [] for name, value in payload.items() if isinstance(value, list)}
    if "rows_out_of_order" in faults:
        for value in payload.values():
            if isinstance(value, list) and len(cast(list[Any], value)) > 2:
                rows = cast(list[Any], value)
                rows[0], rows[len(rows) // 2] = rows[len(rows) // 2], rows[0]


def _is_closing(row: Record) -> bool:
    """Whether a minute is the closing auction of its day."""
    day = parse_day(row["stck_bsop_date"])
    session = calendar.session(day) if day else None
    return session is not None and row["stck_cntg_hour"] == f"{session.closes_at:%H%M%S}"


def _records(payload: Payload) -> list[Record]:
    found: list[Record] = []
    for value in payload.values():
        if isinstance(value, dict):
            found.append(cast(Record, value))
        elif isinstance(value, list):
            found += cast(list[Record], value)
    return found


def _first_price(payload: Payload, change: Callable[[Record, str], object]) -> None:
    """Damage the first price, in the rows if there are any."""
    for value in sorted(payload.values(), key=lambda value: not isinstance(value, list)):
        rows: list[Record] = []
        if isinstance(value, list):
            rows = cast(list[Record], value)
        elif isinstance(value, dict):
            rows = [cast(Record, value)]
        for record in rows:
            for name in _PRICES:
                if name in record:
                    change(record, name)
                    return


def _drop_optional(record: Record) -> None:
    for name in _OPTIONAL & record.keys():
        del record[name]


def _blank(record: Record) -> None:
    for name in _OFTEN_BLANK & record.keys():
        record[name] = " "


def _add_fields(record: Record) -> None:
    if record:
        record["new_field_of_tomorrow"] = "1"
        record["stck_prpr_2"] = "0"


def _pad(record: Record) -> None:
    """Pad numbers with blanks, plus signs, zeros and commas, in turn."""
    turn = 0
    for name, text in record.items():
        if name in _LABELS or name.endswith(("_date", "_code", "_sign", "_hour", "iscd")):
            continue
        digits = text.removeprefix("-")
        if not digits.isdigit() or not digits:
            continue
        turn += 1
        if text.startswith("-"):
            record[name] = f"  {text} "
        else:
            number = int(text)
            record[name] = (f"  {text}", f"+{text}", f"00{text}", f"{number:,}")[turn % 4]


_RECORD_DAMAGES: dict[str, Callable[[Record], None]] = {
    "missing_optional_fields": _drop_optional,
    "blank_numbers": _blank,
    "extra_fields": _add_fields,
    "padded_numbers": _pad,
}
LIES = (
    "missing_optional_fields", "missing_required_field", "blank_numbers", "bad_number",
    "padded_numbers", "extra_fields", "short_multprice", "rows_out_of_order", "wrong_code_answer",
    "another_days_bars", "doubled_closing_minute", "no_rows", "minutes_ahead", "minute_of_2000",
    "empty_minutes", "untraded_as_close", "cut_lists", "calendar_inclusive",
)  # fmt: skip
"""The faults of this module."""
