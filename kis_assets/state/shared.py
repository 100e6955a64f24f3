"""What the processes of an account share: in files of this machine, or on a Redis server.

Which of the two is decided here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kis_assets.exchange.venues import is_invented
from kis_assets.settings import Settings
from kis_assets.state.cache import SqliteStore, Store
from kis_assets.state.redis import Redis, RedisState, RedisVault
from kis_assets.state.redis_cache import RedisStore
from kis_assets.state.sqlite import SharedState, State
from kis_assets.state.vault import FileVault, Vault


@dataclass(frozen=True)
class Shared:
    """Where it lies, and how each part of it is opened. Files are made at first use."""

    where: str
    is_new: bool
    """Whether nothing can be there yet."""
    state: State
    store: Callable[[str], Store]
    """The cache, by its namespace."""
    vault: Callable[[str, str], Vault]
    """Where the token of an app key lies, by the key's name and that of its seal."""
    now: Callable[[], float] | None
    """Seconds since 1970 by a clock that all processes share; None: each machine has its own."""


def open_state(settings: Settings, folder: Path | None = None) -> Shared:
    """What these settings share; files lie in `folder`, the settings' own unless given."""
    if settings.redis_url is None:
        there = folder or settings.state_dir
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
