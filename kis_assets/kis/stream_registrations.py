"""The registrations of a real-time session, and the messages about them.

`stream` has the connection, `stream_records` reads its records.
"""

from __future__ import annotations

import json
import logging
import re
from typing import NamedTuple

from kis_assets.errors import InvalidRequest, KISError, NotSupported, UnexpectedAnswer
from kis_assets.exchange import stocks
from kis_assets.exchange.venues import Venue
from kis_assets.kis import master_files
from kis_assets.kis.client import Client
from kis_assets.kis.fields import plain, refusal
from kis_assets.kis.stream_records import KINDS, TR_IDS, Kind
from kis_assets.settings import Settings

log = logging.getLogger(__name__)

REGISTRATIONS = 41
"""Most registrations of a session, over all feeds; the 42nd was refused in 2026."""
PING = "PINGPONG"
_INDEX_CODE = re.compile(r"[0-9]{4}")
_LONGEST_PING = 1_000
"""Most characters of a message that is sent back."""


def registrations(
    settings: Settings, codes: tuple[str, ...], kinds: tuple[Kind, ...]
) -> list[tuple[str, str]]:
    """The registrations of these stocks and indices, as pairs of feed and code.

    Raises:
        InvalidRequest: a code suits none of the kinds, a kind has no code, no code is given, or
            they are more than a session takes.
        NotSupported: the virtual server has only KRX's trades and books.
    """
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise InvalidRequest(f"{unknown[0]!r} is no kind of record: {', '.join(KINDS)}")
    if not codes or not kinds:
        raise InvalidRequest("no stock or kind is given")
    pairs: list[tuple[Kind, str]]
    pairs = [(kind, code) for code in codes for kind in kinds if _suits(kind, code)]
    if wrong := [code for code in codes if code not in {code for _, code in pairs}]:
        raise InvalidRequest(
            f"{wrong[0]!r} is no {'index' if kinds == ('index',) else 'stock'} code"
        )
    if idle := set(kinds) - {kind for kind, _ in pairs}:
        raise InvalidRequest(f"no code is given for the kind {min(idle)}")
    if settings.environment == "virtual":
        if settings.kis_venue is not Venue.KRX:
            raise NotSupported("the virtual server has only the feed of KRX (KIS_VENUE=krx)")
        if beyond := [kind for kind in kinds if kind not in ("trade", "book")]:
            raise NotSupported(f"the virtual server has only trades and books, not {beyond[0]}")
    wanted = [(TR_IDS[kind, settings.kis_venue], code) for kind, code in pairs]
    if len(wanted) > REGISTRATIONS:
        raise InvalidRequest(
            f"{len(codes)} codes with {' and '.join(kinds)} are {len(wanted)} registrations, and "
            f"KIS takes {REGISTRATIONS} a session"
        )
    return wanted


def _suits(kind: Kind, code: object) -> bool:
    if kind == "index":
        return isinstance(code, str) and _INDEX_CODE.fullmatch(code) is not None
    return stocks.is_stock_code(code)


def refuse_what_nxt_lacks(client: Client, codes: tuple[str, ...]) -> None:
    """Refuse stocks that NXT does not trade: the feeds accept them but send nothing.

    Its list of stocks changes daily. If the list is not available, a warning says so.
    """
    try:
        traded = master_files.nxt_codes(client)
    except KISError as error:
        log.warning(
            "the list of NXT's stocks is not available, and other stocks get no records: %s", error
        )
        return
    if missing := [code for code in codes if code not in traded]:
        raise InvalidRequest(
            f"NXT does not trade {', '.join(missing)}, and KIS would send nothing: leave them out, "
            "or follow KRX (KIS_VENUE=krx)"
        )


class Acknowledgement(NamedTuple):
    """KIS's answer to a registration; a ping has only `tr_id`."""

    tr_id: str
    stock_code: str = ""
    msg_cd: str = ""
    text: str = ""
    is_encrypted: bool = False


def acknowledgement(message: str) -> Acknowledgement:
    """Reads a message that is not a frame.

    Raises:
        UnexpectedAnswer: it has no form that KIS uses.
    """
    try:
        content = json.loads(message)
        header, body = content["header"], content.get("body")
        tr_id = plain(header["tr_id"])
        if tr_id == PING and len(message) <= _LONGEST_PING:
            return Acknowledgement(PING)
        (msg_cd, sentence), code = refusal(body), plain(header.get("tr_key"))[:20]
        told = Acknowledgement(tr_id, code, msg_cd, sentence, header.get("encrypt") == "Y")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        told = None
    if told is None or not told.msg_cd or told.tr_id == PING:
        raise UnexpectedAnswer("a message of another shape")
    return told


def subscription(approval_key: str, tr_id: str, stock_code: str, *, ends: bool = False) -> str:
    """The message that registers a stock for a feed, or ends the registration."""
    header = {
        "approval_key": approval_key,
        "custtype": "P",
        "tr_type": "2" if ends else "1",
        "content-type": "utf-8",
    }
    return json.dumps({"header": header, "body": {"input": {"tr_id": tr_id, "tr_key": stock_code}}})
