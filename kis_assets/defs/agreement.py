"""Checks that a host runs with the settings of the code location: else it would store other rows.

Dagster stores each run with its job as the code location defined it, including the configuration of
resources. That holds for runs of schedules, sensors, backfills, the UI, and retries. So that
configuration contains the settings, and the host that makes the run compares them with its own.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Collection, Mapping
from contextlib import suppress
from hashlib import sha256

import dagster as dg
from dagster._core.launcher import DefaultRunLauncher

from kis_assets.lake.identity import identity
from kis_assets.settings import Settings

_SOURCE, _FOLDER = "source", "KIS_DATA_DIR"
_UNSET = "unset"
_MANY = 5
"""The maximum number of codes in a message; more are shown as their number and a hash."""


def agreed(settings: Settings, *, make: bool = False) -> dict[str, str]:
    """The settings that decide which rows a run stores and where, without secrets and local values.

    Args:
        settings: the settings of this host.
        make: create the id of the data folder if it has none.
    """
    groups, most_traded = settings.universe
    universe = (*groups, *([f"top{most_traded}"] if most_traded else ()))
    codes = settings.kis_stock_codes or ()
    replay_at, first_day = settings.kis_replay_at, settings.kis_first_day
    name = ""
    if settings.redis_url is not None:
        with suppress(OSError):
            name = identity(settings.kis_data_dir, make=make)
    return {
        _SOURCE: settings.source_name,
        "KIS_USE_REAL_SERVER": str(settings.environment == "real").lower(),
        "KIS_UNIVERSE": ",".join(universe),
        "KIS_STOCK_CODES": _listed(codes),
        "KIS_INDICES": ",".join(map(str, settings.kis_indices or ())) or _UNSET,
        "KIS_REPLAY_AT": replay_at.isoformat() if replay_at else _UNSET,
        "KIS_FIRST_DAY": first_day.isoformat() if first_day else _UNSET,
        "KIS_API_RATE_LIMIT": f"{settings.rate_limit:g}",
        "KIS_LAKE_KEEP_DAYS": str(settings.kis_lake_keep_days),
        "KIS_LAKE_URL": str(settings.kis_lake_url or _UNSET),
        _FOLDER: name,
    }


def _listed(codes: Collection[str]) -> str:
    if len(codes) > _MANY:
        return f"{len(codes)} codes ({sha256(','.join(sorted(codes)).encode()).hexdigest()[:8]})"
    return ",".join(codes) or _UNSET


def is_made_elsewhere(instance: dg.DagsterInstance) -> bool:
    """Whether runs may be made on a different host than the one that requests them.

    The default launcher starts a run on the host of the definitions, with the same environment.
    """
    return not instance.is_ephemeral and not isinstance(instance.run_launcher, DefaultRunLauncher)


def refusal(instance: dg.DagsterInstance, run: dg.DagsterRun, settings: Settings) -> str:
    """The reason why this host must not make the run, in one sentence; empty if it may.

    A run of an earlier version has no settings to compare and may be made anywhere.
    """
    if not is_made_elsewhere(instance) or not (asked := _asked(instance, run)):
        return ""
    host = socket.gethostname()
    if settings.redis_url is None:
        return (
            f"REDIS_URL is not set on {host}: by it hosts share the token and the rate, and see "
            "that a run is alive"
        )
    if not asked.get(_FOLDER, _UNSET):
        return (
            "the code location could not read its KIS_DATA_DIR when it asked for the run, or has "
            "no REDIS_URL: set that right there and reload it"
        )
    own = agreed(settings)
    # A data folder without an id never matches.
    other = [it for it in own if it in asked and (own[it] != asked[it] or not own[it])]
    # With another source many settings differ, so only the source is named.
    found = [
        _difference(it, own[it], asked[it], settings) for it in other if it == other[0] == _SOURCE
    ]
    found = found or [_difference(it, own[it], asked[it], settings) for it in other]
    return (
        f"{host} would store other rows than the run was asked for: {', '.join(found)}; give every "
        "host the settings of the code location"
        if found
        else ""
    )


def _asked(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Mapping[str, str]:
    """The settings in the configuration of the job's resource `kis`."""
    if run.job_snapshot_id is None:
        return {}
    job = instance.get_job_snapshot(run.job_snapshot_id)
    for resource in (it for mode in job.mode_def_snaps for it in mode.resource_def_snaps):
        field = resource.config_field_snap
        if resource.name == "kis" and field and field.default_value_as_json_str:
            return json.loads(field.default_value_as_json_str).get("agreed") or {}
    return {}


def _difference(name: str, own: str, asked: str, settings: Settings) -> str:
    if name == _FOLDER:
        return f"KIS_DATA_DIR={settings.kis_data_dir} is not the folder that was asked for"
    if name == _SOURCE:
        return f"the source is {own} ({settings.source_reason}) and not {asked}"
    return f"{name} is {own} and not {asked}"
