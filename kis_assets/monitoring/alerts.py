"""Reports of failures: a line in the log and a message to a webhook. No Dagster.

Nothing here raises: a report that cannot be sent must not become a second failure.
"""

from __future__ import annotations

import html
import logging
import re
import time

from pydantic import SecretStr

from kis_assets.errors import KISError
from kis_assets.security.redaction import HIDDEN, redact
from kis_assets.settings import Settings, SettingsError
from kis_assets.transport.http import Wire

log = logging.getLogger(__name__)

TIMEOUT = 10.0
LONGEST = 500

# Secrets: a token after `bearer` or `basic`, a JWT by its form, a password in an address.
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+")
_TOKEN = re.compile(r"\beyJ[\w-]{10,}(\.[\w-]+)*")
_PASSWORD = re.compile(r"(://)[^/\s@]+@")


def report_failure(settings: Settings, what: str, why: str, run_id: str) -> str:
    """Report a failure once: in the log, and to `KIS_FAILURE_WEBHOOK_URL` if that is set.

    Args:
        settings: they hold the webhook.
        what: the job and its partition.
        why: the error text, of any length.
        run_id: the run's id in Dagster's UI.

    Returns:
        The message, without secrets.
    """
    first = next(iter(without_secrets(why).strip().splitlines()), "no reason is known")
    if len(first) > LONGEST:
        first = first[:LONGEST] + "..."
    text = f"kis_assets: {what} failed: {first} (run {run_id[:8]})"
    log.error("%s", text)
    if settings.kis_failure_webhook_url is not None:
        _post(settings.kis_failure_webhook_url, text)
    return text


def without_secrets(text: str) -> str:
    """The text without anything that grants access, such as tokens and passwords."""
    # Functions, because a template such as \1 fails while Python ends: it imports.
    text = _BEARER.sub(lambda found: f"{found[1]} {HIDDEN}", redact(text))
    return _PASSWORD.sub(lambda found: f"{found[1]}{HIDDEN}@", _TOKEN.sub(HIDDEN, text))


def _post(url: SecretStr, text: str) -> None:
    try:
        wire = Wire(TIMEOUT, clock=time.monotonic)
    except SettingsError as error:
        log.warning("the webhook for failures could not be told: %s", error)
        return
    try:
        # Chat programs read <...> as a link or as a call to everybody.
        status, _, _ = wire.receive(
            "webhook", "POST", url.get_secret_value(), json={"text": html.escape(text, quote=False)}
        )
    except KISError as error:
        log.warning("the webhook for failures could not be told: %s", error.message)
    else:
        if not 200 <= status < 300:
            log.warning("the webhook for failures answered %d", status)
    finally:
        wire.close()
