"""Secrets that this process knows, and text without them. A server may echo what it was sent."""

from __future__ import annotations

HIDDEN = "[hidden]"
_SHORTEST = 8
"""Characters of a secret; what is shorter may be a word, and hiding it would hide too much."""
_known: set[str] = set()


def remember(*secrets: str) -> None:
    """Keep these out of every error from now on; each of several in one setting by itself."""
    for secret in secrets:
        _known.update(word for word in map(str.strip, secret.split(",")) if len(word) >= _SHORTEST)


def redact(text: str) -> str:
    """The text without any known secret."""
    found = [secret for secret in tuple(_known) if secret in text]
    # The longest first: one may be a part of another.
    for secret in sorted(found, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def redact_bytes(content: bytes) -> bytes:
    """The same of what came over the wire."""
    for secret in tuple(_known):
        if (raw := secret.encode()) in content:
            content = content.replace(raw, HIDDEN.encode())
    return content
