"""Secrets that this process knows, and text without them. A server may echo what it was sent."""

from __future__ import annotations

from urllib.parse import quote

HIDDEN = "[hidden]"
_SHORTEST = 8
"""Characters of a secret; what is shorter may be a word, and hiding it would hide too much."""
_PART = 12
"""Characters of a secret that are hidden as well: a server, or a limit of length, may cut it."""
_known: set[str] = set()


def remember(*secrets: str) -> None:
    """Keep these out of every error from now on; each of several in one setting by itself."""
    for word in map(str.strip, ",".join(secrets).split(",")):
        if len(word) >= _SHORTEST:  # also as an address spells it
            _known.update((word, *(quote(word, safe, errors="replace") for safe in ("", "/"))))


def redact(text: str) -> str:
    """The text without any known secret, or a part of one."""
    # The longest first: one may be a part of another.
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    cut = [secret for secret in _known if len(secret) > _PART and _may_hold_a_part(text, secret)]
    return _without_parts(text, cut) if cut else text


def _may_hold_a_part(text: str, secret: str) -> bool:
    # A part of that length holds one of these whole.
    pieces = range(0, len(secret) - _PART // 2, _PART // 2)
    return any(secret[at : at + _PART // 2] in text for at in pieces)


def _without_parts(text: str, secrets: list[str]) -> str:
    found, at = "", 0
    while at < len(text):
        length = max(_length_of_a_part(text, at, secret) for secret in secrets)
        found += HIDDEN if length else text[at]
        at += length or 1
    return found


def _length_of_a_part(text: str, at: int, secret: str) -> int:
    length = _PART
    if text[at : at + length] not in secret or at + length > len(text):
        return 0
    while at + length < len(text) and text[at : at + length + 1] in secret:
        length += 1
    return length


def redact_answer(body: object, *secrets: str) -> object:
    """What a server answered, decoded, without the secrets that it was sent."""
    if isinstance(body, str):
        for secret in secrets:
            body = body.replace(secret, HIDDEN) if len(secret) >= _SHORTEST else body
        return body
    if isinstance(body, dict):
        return {redact_answer(k, *secrets): redact_answer(v, *secrets) for k, v in body.items()}
    if isinstance(body, list):
        return [redact_answer(item, *secrets) for item in body]
    return body


def is_echoed(content: bytes, *secrets: str) -> bool:
    """Whether what came over the wire may hold one of them, plainly or in escapes."""
    return b"\\" in content or any(
        len(secret) >= _SHORTEST and secret.encode() in content for secret in secrets
    )
