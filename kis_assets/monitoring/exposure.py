"""Secrets and data that others can read, on this machine or on the network to Redis."""

from __future__ import annotations

import logging
import stat
from contextlib import suppress
from functools import cache
from urllib.parse import urlsplit

from kis_assets.security.hosts import is_loopback
from kis_assets.security.ownership import HAS_OWNERS
from kis_assets.security.text_input import start_folder
from kis_assets.settings import Settings, SettingsError

log = logging.getLogger(__name__)

_READ = stat.S_IRGRP | stat.S_IROTH
_ENTER = stat.S_IXGRP | stat.S_IXOTH


def exposed(settings: Settings) -> list[str]:
    """A sentence for each thing that others can read, with the remedy. Checks only file modes."""
    found: list[str] = []
    kept = [(start_folder() / ".env", _READ, "600"), (settings.state_dir, _READ | _ENTER, "700")]
    with suppress(SettingsError):
        kept.append((settings.dagster_home, _READ | _ENTER, "700"))
    for path, others, right in kept if HAS_OWNERS else ():
        with suppress(OSError):
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & others:
                found.append(f"others can read {path} (mode {mode:04o}): chmod {right} {path}")
    if host := _unencrypted_redis_host(settings):
        found.append(
            f"REDIS_URL is redis:// to {host}: on the way there anybody can read its password and "
            "what is cached, though no token; use rediss://"
        )
    return found


def warn(settings: Settings) -> None:
    """Log what `exposed` finds, each sentence once per process. Commands have printed it before."""
    for sentence in exposed(settings):
        _warn(sentence)


@cache
def _warn(sentence: str) -> None:
    log.warning("%s", sentence)


def _unencrypted_redis_host(settings: Settings) -> str:
    """The host of Redis if the connection leaves this machine without encryption, else empty."""
    parts = urlsplit(settings.redis_url.get_secret_value() if settings.redis_url else "")
    host = parts.hostname or ""
    return "" if parts.scheme != "redis" or not host or is_loopback(host) else host
