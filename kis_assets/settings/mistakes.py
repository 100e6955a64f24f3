"""Messages about wrong settings: one sentence that says what to do."""

from __future__ import annotations

import re

from pydantic import ValidationError

_HARMLESS = re.compile(r"(\w+://)?[\w.-]+(:\d+)?(/[\w./-]*)?")
"""An address with only a scheme, a host, a port and a path."""
_PLAINLY = {
    "bool_parsing": "must be true or false",
    "float_parsing": "must be a number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "time_parsing": "must be hours and minutes in Seoul, such as 08:00",
    "datetime_from_date_parsing": "must be a moment such as 2026-03-17T15:40+09:00",
}
"""What is allowed, by pydantic's type of error: its own messages describe its parsing instead."""


class SettingsError(ValueError):
    """A setting is wrong; the message is one sentence that says what to do."""


def sentence(error: ValidationError) -> str:
    """The message for the first error. Values of secret variables are never shown."""
    first = error.errors(include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    if plain := _PLAINLY.get(first["type"]):
        message = plain.format(**first.get("ctx", {}))
    if not first["loc"]:
        return message
    name = str(first["loc"][0])
    is_secret = any(word in name for word in ("key", "secret", "account", "redis", "webhook"))
    if name.endswith("_url") or "_url_" in name:  # it may contain a password or a signature
        is_secret = is_secret or not _HARMLESS.fullmatch(str(first["input"]))
    shown = "" if is_secret else f"={first['input']}"
    return f"{name.upper()}{shown}: {message[0].lower()}{message[1:]}"
