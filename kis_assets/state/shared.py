"""The shared state of the processes of an account: in local files, or on a Redis server.

Only this module decides which of the two is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kis_assets.exchange.venues import is_invented
from kis_assets.security.mounts import is_network, kind_of
from kis_assets.settings import Settings, SettingsError
from kis_assets.state.cache import SqliteStore, Store
from kis_assets.state.redis import Redis, RedisState, RedisVault
from kis_assets.state.redis_cache import RedisStore
from kis_assets.state.sqlite import SharedState, State
from kis_assets.state.vault import FileVault, Vault


@dataclass(frozen=True)
class Shared:
    """The place of the shared state, and its parts. Files are created at first use."""

    where: str
    is_new: bool
    """Whether nothing can be stored yet."""
    state: State
    store: Callable[[str], Store]
    """Opens the cache of a namespace."""
    vault: Callable[[str, str], Vault]
    """Opens the token store of an app key, by the names of the key and of its seal."""
    now: Callable[[], float] | None
    """Seconds since 1970 by a clock that all processes share; None: each machine uses its own."""


def open_state(settings: Settings, folder: Path | None = None) -> Shared:
    """The shared state of these settings; its files lie in `folder` or in the settings' folder.

    Raises:
        SettingsError: the folder is of a network file system, where SQLite's locks do not hold.
    """
    if settings.redis_url is None:
        there = folder or settings.state_dir
        if is_network(kind := kind_of(there)):
            raise SettingsError(
                f"{there} is on a network file system ({kind}), where processes of several "
                "machines cannot share one rate and one token by files: set REDIS_URL"
            )
        return Shared(
            where=str(there),
            is_new=not there.exists(),
            state=SharedState(there),
            store=lambda namespace: SqliteStore(there / "cache.sqlite", namespace),
            vault=lambda name, seal: FileVault(there / f"token-{name}-{seal}.sealed"),
            now=None,
        )
    redis = Redis(settings.redis_url)
    origin = settings.named(settings.source_type)
    return Shared(
        where=redis.where,
        is_new=False,
        state=RedisState(redis, f"{origin}:" if is_invented(origin) else ""),
        store=lambda namespace: RedisStore(redis, namespace),
        vault=lambda name, seal: RedisVault(redis, f"{name}-{seal}", bare=name),
        now=redis.now,
    )
