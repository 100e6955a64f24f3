"""What keeps a token from all who have not the app secret it was issued for.

The key of the seal comes from the secret, with the app key and the address that issued the token as
context: nobody else opens it, and nobody takes it to another address.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kis_assets.settings import Credential

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

_PORTS = {"http": 80, "https": 443}


class Seal:
    """Seals and opens what is of one app key, its secret and one address."""

    def __init__(self, credential: Credential, address: str) -> None:
        parts = urlsplit(address)
        port = parts.port or _PORTS.get(parts.scheme)
        app_key = credential.app_key.get_secret_value()
        self._context = f"{parts.scheme}://{parts.hostname}:{port}\n{app_key}".encode()
        self._secret = credential.app_secret.get_secret_value().encode()

    @property
    def name(self) -> str:
        """Twelve hexadecimal digits that tell what it seals from what it cannot open."""
        named = b"kis_assets name of a token\n" + self._context
        return hmac.new(self._secret, named, hashlib.sha256).hexdigest()[:12]

    def close(self, content: bytes) -> bytes:
        """What may lie where others can read it."""
        return self._fernet.encrypt(content)

    def open(self, sealed: bytes) -> bytes:
        """What was sealed; empty where another seal made it, or none."""
        if not sealed:
            return b""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            return b""

    @cached_property
    def _fernet(self) -> Fernet:
        # Loaded when there is something to seal: it takes a tenth of a command that asks nobody.
        from cryptography.fernet import Fernet
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        key = HKDF(SHA256(), 32, None, b"kis_assets token\n" + self._context).derive(self._secret)
        return Fernet(urlsafe_b64encode(key))
