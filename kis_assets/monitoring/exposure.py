"""Secrets and data that others can read, on this machine or on the network to Redis."""

from __future__ import annotations

import logging
import re
import stat
from contextlib import suppress
from functools import cache
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from kis_assets.security.hosts import is_loopback
from kis_assets.security.ownership import HAS_OWNERS
from kis_assets.security.text_input import start_folder
from kis_assets.settings import Settings, SettingsError
from kis_assets.state.redis_address import hosts

log = logging.getLogger(__name__)

_READ = stat.S_IRGRP | stat.S_IROTH
_ENTER = stat.S_IXGRP | stat.S_IXOTH
_TRUSTING = re.compile(r"ssl_cert_reqs=(cert_)?none|ssl_check_hostname=[fn0]", re.IGNORECASE)


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
    url = settings.redis_url or SecretStr("")
    parts = urlsplit(url.get_secret_value())
    far = [host for host, _ in hosts(url) if not is_loopback(host)]
    if far and parts.scheme in ("redis", "redis+sentinel"):
        found.append(
            f"REDIS_URL is {parts.scheme}:// to {far[0]}: on the way there anybody can read its "
            "password and what is cached, though no token; use "
            f"{parts.scheme.replace('redis', 'rediss', 1)}://"
        )
    if _TRUSTING.search(unquote(parts.query)):
        found.append(
            "REDIS_URL trusts whoever answers: without ssl_cert_reqs and ssl_check_hostname in it "
            "the server's certificate is checked"
        )
    return found


def warn(settings: Settings) -> None:
    """Log what `exposed` finds, each sentence once per process. Commands have printed it before."""
    for sentence in exposed(settings):
        _warn(sentence)


@cache
def _warn(sentence: str) -> None:
    log.warning("%s", sentence)
