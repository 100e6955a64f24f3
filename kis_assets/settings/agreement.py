"""Checks that settings do not contradict each other, and that keys go only to trusted hosts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kis_assets.exchange import calendar
from kis_assets.exchange.venues import Venue
from kis_assets.security import hosts
from kis_assets.security.text_input import start_folder
from kis_assets.settings.kinds import words

if TYPE_CHECKING:
    from kis_assets.settings.settings import Settings


def no_krx_key() -> str:
    """The message for a missing key of KRX."""
    return (
        f"DATA_SOURCE_TYPE=krx and the table krx_daily need KRX_API_KEY {_places()}; "
        "https://openapi.krx.co.kr gives keys"
    )


def _places() -> str:
    """The places in which settings are searched, as text."""
    file = start_folder() / ".env"
    there = "" if file.exists() else " (there is none, here or in a folder of this project above)"
    return f"in the environment or in {file}{there}"


def check_agreement(settings: Settings) -> None:
    """Refuse settings that contradict each other.

    Raises:
        ValueError: two settings contradict each other.
    """
    virtual, real = settings.kis_use_virtual_server, settings.kis_use_real_server
    if virtual is not None and virtual == real:
        raise ValueError(
            f"KIS_USE_VIRTUAL_SERVER={str(virtual).lower()} and KIS_USE_REAL_SERVER="
            f"{str(real).lower()} contradict each other: set one of the two"
        )
    keys, secrets = words(settings.kis_app_key), words(settings.kis_app_secret)
    if bool(keys) != bool(secrets):
        there, empty = ("KEY", "SECRET") if keys else ("SECRET", "KEY")
        raise ValueError(f"KIS_APP_{empty} is empty, and KIS_APP_{there} is set")
    if len(keys) != len(secrets):
        raise ValueError(
            f"KIS_APP_KEY holds {len(keys)} and KIS_APP_SECRET {len(secrets)} values: "
            "both need the same number"
        )
    if len(keys) != len(set(keys)):
        raise ValueError("KIS_APP_KEY holds one key twice: write each key once, with its secret")
    if settings.data_source_type == "kis":
        if not settings.enable_kis_api:
            raise ValueError("DATA_SOURCE_TYPE=kis and ENABLE_KIS_API=false contradict each other")
        if not keys:
            raise ValueError(
                f"DATA_SOURCE_TYPE=kis needs KIS_APP_KEY and KIS_APP_SECRET {_places()}; without "
                "them set DATA_SOURCE_TYPE=mock"
            )
    if settings.data_source_type == "krx":
        if not settings.krx_api_key.get_secret_value():
            raise ValueError(no_krx_key())
        if settings.kis_venue is not Venue.KRX:
            venue = settings.kis_venue.value
            raise ValueError(f"DATA_SOURCE_TYPE=krx and KIS_VENUE={venue} contradict each other")
    if settings.kis_replay_at is not None and settings.source_type == "kis":
        for name in (f"kis_api_base_url_{settings.environment}", "kis_master_base_url"):
            host = urlsplit(getattr(settings, name)).hostname or ""
            if hosts.is_of(host, hosts.KIS_DOMAINS):
                raise ValueError(
                    f"KIS_REPLAY_AT is for replays and refused with KIS's own host {host}: "
                    f"point {name.upper()} at a simulator or unset KIS_REPLAY_AT"
                )
    if settings.kis_first_day is not None:
        now = calendar.now()
        today = max(now, settings.kis_replay_at or now).astimezone(calendar.SEOUL).date()
        if settings.kis_first_day > today:
            raise ValueError(
                f"KIS_FIRST_DAY={settings.kis_first_day} lies in the future: it is {today} in Seoul"
            )


def check_trust(settings: Settings, file: Path, written: Mapping[str, str]) -> None:
    """Refuse to send credentials to unknown hosts, and to store rows of unknown hosts as KIS's.

    See `kis_assets.security.hosts`.

    Args:
        settings: the settings in use.
        file: the file `.env`.
        written: the variables in it.

    Raises:
        Untrusted: a setting names an unknown host.
    """
    trusted = settings.kis_trusted_hosts
    hosts.check_file(file, written, trusted)
    named = {name.lower() for name, value in written.items() if value.strip()}
    for name in ("redis_url", "kis_failure_webhook_url"):
        # Dagster may have loaded `.env`: then its variables are in the environment too.
        if name in named and (secret := getattr(settings, name)):
            hosts.check_host(f"{name.upper()} in {file}", secret.get_secret_value(), trusted)
    is_in_file = "kis_master_base_url" in named
    if is_in_file or settings.source_type == "kis":
        # No key is sent there, but its rows are taken for KIS's.
        what = "KIS_MASTER_BASE_URL" + f" in {file}" * is_in_file
        hosts.check_host(what, settings.kis_master_base_url, trusted, hosts.KIS_DOMAINS)
    if settings.kis_app_key.get_secret_value() and settings.source_type == "kis":
        for name in ("kis_api_base_url", "kis_ws_url"):
            variable = f"{name}_{settings.environment}"
            url = getattr(settings, variable)
            hosts.check_credentials(variable.upper(), url, hosts.KIS_DOMAINS, trusted)
    if settings.krx_api_key.get_secret_value():
        url = settings.krx_api_base_url
        hosts.check_credentials("KRX_API_BASE_URL", url, hosts.KRX_DOMAINS, trusted)
