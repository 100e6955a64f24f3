"""Encryption of tokens: only programs with the app secret can read them.

The encryption key is derived from the secret, with the app key and the issuing address as context.
So a token cannot be opened without the secret, nor used for another address.
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
    """Encrypts and decrypts for one app key, its secret and one address."""

    def __init__(self, credential: Credential, address: str) -> None:
        parts = urlsplit(address)
        port = parts.port or _PORTS.get(parts.scheme)
        app_key = credential.app_key.get_secret_value()
        self._context = f"{parts.scheme}://{parts.hostname}:{port}\n{app_key}".encode()
        self._secret = credential.app_secret.get_secret_value().encode()

    @property
    def name(self) -> str:
        """Twelve hexadecimal digits that name this seal: other seals have other names."""
        named = b"kis_assets name of a token\n" + self._context
        return hmac.new(self._secret, named, hashlib.sha256).hexdigest()[:12]

    def close(self, content: bytes) -> bytes:
        """Encrypt the content."""
        return self._fernet.encrypt(content)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt the content; empty if it was not made by this seal."""
        if not sealed:
            return b""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            return b""

    @cached_property
    def _fernet(self) -> Fernet:
        # Imported only when needed: it takes a tenth of the time of a command without requests.
        from cryptography.fernet import Fernet
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        key = HKDF(SHA256(), 32, None, b"kis_assets token\n" + self._context).derive(self._secret)
        return Fernet(urlsafe_b64encode(key))
