"""What `doctor` asks of others: Redis, the clock of the server, one request, the rate granted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from kis_assets.settings import Settings

STOCK = "005930"


class Finding(NamedTuple):
    """One line of the output: what was checked, its state, what was seen and what to do."""

    what: str
    state: Literal["ok", "warn", "fail"]
    seen: str


def redis(settings: Settings) -> Finding:
    """Whether the Redis of REDIS_URL answers."""
    from kis_assets.errors import ServiceUnavailable
    from kis_assets.settings import SettingsError
    from kis_assets.state.redis import Redis

    assert settings.redis_url is not None  # noqa: S101  called only if it is set
    try:
        service = Redis(settings.redis_url)
        service.read("")
        service.close()
    except (ServiceUnavailable, SettingsError) as error:
        return Finding("redis", "fail", f"{error}: start Redis, or correct or unset REDIS_URL")
    return Finding("redis", "ok", f"answers at {service.where}")


def clock(settings: Settings) -> Finding:
    """Compares this machine's clock with the server's, which states its time to the second."""
    if settings.source_type == "mock":
        return Finding("clock", "ok", "not compared: the invented market uses this machine's clock")
    from kis_assets.errors import KISError
    from kis_assets.settings import SettingsError
    from kis_assets.transport.http import Wire, stated_at

    try:
        wire = Wire(settings.kis_api_timeout, clock=time.monotonic)
    except SettingsError as error:
        return Finding("clock", "fail", str(error))
    try:
        sent = time.time()
        _, _, headers = wire.receive("", "GET", settings.base_url)
        received = time.time()
    except KISError as error:
        return Finding("clock", "fail", f"{error}; check the network and the firewall")
    finally:
        wire.close()
    stated = stated_at(headers)
    if stated is None:
        return Finding(
            "clock", "warn", f"{settings.base_url} states no time, so nothing is compared"
        )
    server_time = stated.timestamp()
    # The header omits the fraction of a second: on average half a second.
    off = (sent + received) / 2 - (server_time + 0.5)
    slack = 0.5 + (received - sent) / 2
    seen = f"{off:+.1f} s off the server's, known to {slack:.1f} s"
    if abs(off) - slack > 30:
        return Finding("clock", "fail", f"{seen}: set it (timedatectl set-ntp true)")
    if abs(off) - slack > 1:
        return Finding("clock", "warn", f"{seen}: set it (timedatectl set-ntp true)")
    return Finding("clock", "ok", seen)


def call(settings: Settings) -> Finding:
    """Whether the source answers one request."""
    from kis_assets.errors import AuthenticationFailed, KISError
    from kis_assets.security.ownership import disk_trouble, explained
    from kis_assets.settings import SettingsError
    from kis_assets.sources.cached import CachedDataSource
    from kis_assets.sources.factory import create_data_source

    started = time.monotonic()
    try:
        with create_data_source(settings=settings) as source:
            # Without the cache, whose answer would say nothing about the server.
            asked = source.source if isinstance(source, CachedDataSource) else source
            price = asked.get_current_price(STOCK)
    except AuthenticationFailed as error:
        return Finding(
            "call",
            "fail",
            str(error),
        )
    except (KISError, SettingsError, OSError) as error:
        why = explained(error) if isinstance(error, OSError) else error
        if disk_trouble(settings.source_dir):  # a retry does not help before that is fixed
            return Finding("call", "fail", str(why))
        return Finding("call", "fail", f"{why}: try again, then see kis-assets status")
    milliseconds = 1000 * (time.monotonic() - started)
    seen = f"{STOCK} costs {price.current_price:,.0f} KRW, answered in {milliseconds:.0f} ms"
    return Finding("call", "ok", seen)


def rate(settings: Settings) -> Finding:
    """Compares the rate that KIS grants with the setting."""
    from kis_assets.monitoring.status import grants

    if less := grants(settings):
        return Finding("rate", "warn", "; ".join(dict.fromkeys(less)))
    return Finding(
        "rate", "ok", f"{settings.rate_limit:g} requests per second and key, none refused"
    )
