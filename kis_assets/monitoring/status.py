"""The state of quota, token, breaker and cache, which processes share. No request goes to KIS."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kis_assets.errors import ServiceUnavailable
from kis_assets.exchange import calendar
from kis_assets.kis.token import open_tokens
from kis_assets.settings import Credential, Settings
from kis_assets.state.cache import Store
from kis_assets.state.shared import Shared, open_state
from kis_assets.transport.circuit_breaker import Breaker
from kis_assets.transport.rate_limiter import Quota

NEARLY = 0.95
"""A grant above this share of the setting counts as the whole: a refusal may be an accident."""


def snapshot(settings: Settings) -> dict[str, Any]:
    """The state that processes of these settings share now.

    Returns:
        `source` and `rows_in`, what rows are called and their folder, `shared_in` (where the rest
        lies), `accounts` (for each app key, named by its hash: `rate_limit`,
        `rate` and `granted` in requests a second, set, allowed now and found to be granted;
        `grant`, a sentence on it where less than is set is granted, else empty; `last_second`,
        requests sent in it;
        `token_asked_at` and `token_expires_at`, instants or None; `breaker`;
        `breaker_opens_for`, seconds), `cache`
        (hits, misses, hit_rate, entries, bytes) and `error`, empty unless none of it can be read.
    """
    shared = open_state(settings)
    store = shared.store("")
    result: dict[str, Any] = {
        "source": settings.source_name,
        "rows_in": str(settings.source_dir),
        "shared_in": shared.where,
        "environment": settings.environment,
        "accounts": {},
        "cache": {},
        "error": "",
    }
    try:
        if not shared.is_new:
            result["cache"] = _cache(store)
        for credential in settings.credentials:
            result["accounts"][credential.id] = _account(settings, credential, shared)
    except ServiceUnavailable as error:
        result["error"] = str(error)
    finally:
        shared.state.close()
        store.close()
    return result


def _account(settings: Settings, credential: Credential, shared: Shared) -> dict[str, Any]:
    name = f"{settings.environment}-{credential.id}"
    if shared.is_new:  # reading must create no files
        return {
            "rate_limit": settings.rate_limit,
            "rate": settings.rate_limit,
            "granted": settings.rate_limit,
            "grant": "",
            "last_second": 0,
            "token_asked_at": None,
            "token_expires_at": None,
            "breaker": "CLOSED",
            "breaker_opens_for": 0.0,
        }
    breaker = Breaker(shared.state, name, timeout=settings.kis_api_circuit_breaker_timeout)
    tokens = open_tokens(settings, credential, shared)
    asked_at, expires_at = (
        datetime.fromtimestamp(moment, UTC) if moment else None
        for moment in tokens.lifetime() or (0.0, 0.0)
    )
    found = Quota(shared.state, name, settings.rate_limit).status()
    return {
        "rate_limit": settings.rate_limit,
        **{name: found[name] for name in ("rate", "granted")},
        "grant": _grant_sentence(found, settings.rate_limit),
        "last_second": found["last_second"],
        "token_asked_at": asked_at,
        "token_expires_at": expires_at,
        "breaker": breaker.state(),
        "breaker_opens_for": round(breaker.remaining(), 1),
    }


def grants(settings: Settings) -> list[str]:
    """A sentence for each app key to which KIS grants less than `KIS_API_RATE_LIMIT`."""
    return [facts["grant"] for facts in snapshot(settings)["accounts"].values() if facts["grant"]]


def granted(settings: Settings) -> float:
    """The requests a second that KIS is known to grant to all app keys together."""
    accounts = snapshot(settings)["accounts"].values()
    keys = max(1, len(settings.credentials))
    return sum(facts["granted"] for facts in accounts) or settings.rate_limit * keys


def _grant_sentence(found: Mapping[str, float], limit: float) -> str:
    granted = found["granted"]
    if granted > NEARLY * limit:
        return ""
    found_at = datetime.fromtimestamp(found["found_at"], calendar.SEOUL)
    return (
        f"KIS grants {granted:.3g} requests a second, not {limit:g}: it refused "
        f"{found['tried']:.3g} at {found_at:%Y-%m-%d %H:%M} (Seoul). A new customer has 3 for "
        "three days, and another program that uses the key takes some. More is tried from time to "
        f"time; KIS_API_RATE_LIMIT={max(1, int(granted))} would stop that"
    )


def _cache(store: Store) -> dict[str, Any]:
    found = store.statistics()
    asked = found.hits + found.misses
    return {**found._asdict(), "hit_rate": round(found.hits / asked, 4) if asked else None}
