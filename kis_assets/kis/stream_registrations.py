"""What a real-time session is asked for: which registrations, and what is said about them.

The connection is in `stream`, what comes of it in `stream_records`.
"""

from __future__ import annotations

import json
import logging
from typing import NamedTuple

from kis_assets.errors import InvalidRequest, KISError, NotSupported, UnexpectedAnswer
from kis_assets.exchange import stocks
from kis_assets.exchange.venues import Venue
from kis_assets.kis import master_files
from kis_assets.kis.client import Client
from kis_assets.kis.fields import plain, refusal
from kis_assets.kis.stream_records import TR_IDS, Kind
from kis_assets.settings import Settings

log = logging.getLogger(__name__)

REGISTRATIONS = 41
"""What a session takes of all feeds together; the 42nd was refused in 2026."""
PING = "PINGPONG"
_LONGEST_PING = 1_000
"""Characters of a message that is sent back."""


def registrations(
    settings: Settings, codes: tuple[str, ...], kinds: tuple[Kind, ...]
) -> list[tuple[str, str]]:
    """The registrations of these stocks, each a feed and a code.

    Raises:
        InvalidRequest: a code is none, none is given, or they are more than a session takes.
        NotSupported: the virtual server has KRX's feed alone.
    """
    wrong = [code for code in codes if not stocks.is_stock_code(code)]
    if wrong or not codes or not kinds:
        raise InvalidRequest(
            f"{wrong[0]!r} is no stock code" if wrong else "no stock or kind is given"
        )
    if settings.kis_venue is not Venue.KRX and settings.environment == "virtual":
        raise NotSupported("the virtual server has the feed of KRX alone (KIS_VENUE=krx)")
    wanted = [(TR_IDS[kind, settings.kis_venue], code) for code in codes for kind in kinds]
    if len(wanted) > REGISTRATIONS:
        raise InvalidRequest(
            f"{len(codes)} stocks with {' and '.join(kinds)} are {len(wanted)} registrations, and "
            f"KIS takes {REGISTRATIONS} a session"
        )
    return wanted


def refuse_what_nxt_lacks(client: Client, codes: tuple[str, ...]) -> None:
    """Refuse stocks that NXT does not trade: its feed and the unified one accept them, silently.

    What it trades changes from day to day. Where that cannot be known, a warning says so.
    """
    try:
        traded = master_files.nxt_codes(client)
    except KISError as error:
        log.warning("not known which stocks NXT trades, and of others no frame comes: %s", error)
        return
    if missing := [code for code in codes if code not in traded]:
        raise InvalidRequest(
            f"NXT does not trade {', '.join(missing)}, of which KIS would send nothing: leave out "
            "what it lacks, or follow KRX (KIS_VENUE=krx)"
        )


class Acknowledgement(NamedTuple):
    """What KIS says to a registration; a ping says nothing but `tr_id`."""

    tr_id: str
    stock_code: str = ""
    msg_cd: str = ""
    text: str = ""
    is_encrypted: bool = False


def acknowledgement(message: str) -> Acknowledgement:
    """A message that is no frame.

    Raises:
        UnexpectedAnswer: it is none of KIS's.
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


def subscription(approval_key: str, tr_id: str, stock_code: str) -> str:
    """The message that registers a stock for a feed."""
    header = {
        "approval_key": approval_key,
        "custtype": "P",
        "tr_type": "1",
        "content-type": "utf-8",
    }
    return json.dumps({"header": header, "body": {"input": {"tr_id": tr_id, "tr_key": stock_code}}})
