"""The key that opens a real-time session: one for all sessions of this process."""

from __future__ import annotations

import threading
import time

from pydantic import SecretStr

from kis_assets.kis.client import Client
from kis_assets.settings import Settings

LASTS = 12 * 3600.0
"""Seconds for which a key is used; KIS's keys are valid for a day."""
_keys: dict[tuple[str, str], tuple[SecretStr, float]] = {}
_asking = threading.Lock()


class ApprovalKey:
    """The key of the first app key, for the server in use."""

    def __init__(self, settings: Settings, client: Client) -> None:
        self._owner = settings.base_url, settings.credentials[0].id
        self._client = client
        self._is_new = True

    def get(self) -> SecretStr:
        """The key of this process; a new one is requested if there is none or it is old.

        Raises:
            KISError: no key was issued; see `Accounts.approval_key`.
        """
        with _asking:
            key, asked = _keys.get(self._owner, (SecretStr(""), 0.0))
            self._is_new = not key.get_secret_value() or time.monotonic() - asked > LASTS
            if self._is_new:
                key = self._client.accounts.approval_key()
                _keys[self._owner] = key, time.monotonic()
            return key

    def forget(self) -> bool:
        """Forget a refused key; return whether a new key may help."""
        with _asking:
            _keys.pop(self._owner, None)
        return not self._is_new
