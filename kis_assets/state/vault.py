"""The shared store of one app key's token: in a file, or on Redis (see `redis`).

Callers hold the lock while they read and write. They encrypt the content themselves.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from filelock import FileLock

from kis_assets.errors import ServiceUnavailable
from kis_assets.security.ownership import (
    explained,
    private_file,
    private_folder,
    put,
    remove_leftover,
)

_LONGEST = 100 * 86_400.0
"""Seconds; longer than the lifetime of any token."""


class Vault(Protocol):
    """The store of one app key's token, for all processes. Raises ServiceUnavailable."""

    def locked(self, timeout: float) -> AbstractContextManager[None]:
        """Hold the lock; give up after `timeout` seconds."""
        ...

    def read(self) -> bytes:
        """The content that was written last; empty if there is none."""
        ...

    def write(self, content: bytes, lasts: float) -> None:
        """Store `content` for at least `lasts` seconds."""
        ...


class FileVault:
    """A file of mode 0600 in a folder of mode 0700, with a lock beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def locked(self, timeout: float) -> Generator[None]:
        """See `Vault.locked`."""
        lock = self._path.with_suffix(".lock")
        try:
            private_folder(self._path.parent)
            for path in (self._path, lock):
                private_file(path)
            with FileLock(lock, timeout=timeout, mode=0o600):
                self._sweep()
                yield
        except TimeoutError:
            raise ServiceUnavailable(
                "another process has been renewing the token for too long"
            ) from None
        except OSError as error:
            raise self._unusable(error) from None

    def read(self) -> bytes:
        """See `Vault.read`."""
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise self._unusable(error) from None

    def write(self, content: bytes, lasts: float) -> None:
        """See `Vault.write`; a file lasts until it is overwritten, or for a hundred days."""
        del lasts
        put(self._path, content, 0o600)

    def _unusable(self, error: OSError) -> ServiceUnavailable:
        why = explained(error, self._path.parent)
        return ServiceUnavailable(f"the token file {self._path} cannot be used: {why}")

    def _sweep(self) -> None:
        """Remove the unencrypted tokens of earlier versions, and tokens that expired long ago."""
        for path in self._path.parent.glob("token-*"):
            if path.suffix == ".json":
                path.unlink(missing_ok=True)
            elif path.suffix[1:].isdecimal():
                remove_leftover(path)
            elif path.suffix == ".sealed":
                remove_leftover(path, _LONGEST)
