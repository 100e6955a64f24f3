"""`doctor`: checks whether this machine and these settings work, and says what to do if not."""

from __future__ import annotations

import logging
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kis_assets.cli.answer import Answer, reading_command
from kis_assets.cli.common import app, settings_of
from kis_assets.cli.doctor_services import Finding, call, clock, rate, redis

if TYPE_CHECKING:
    from kis_assets.settings import Settings

PORTS = {3000: "kis-assets ui", 9188: "kis-assets metrics"}
_GB = 10**9


@app.command()
@reading_command
def doctor(
    answer: Answer,
    volume: Annotated[
        Path | None,
        typer.Option(help="Test only this folder, for a lake that several machines mount."),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(min=0, help="Seconds to wait for another machine that tests the folder."),
    ] = 30,
) -> None:
    """Check settings, clock, disk, ports and Redis, and send the source one request.

    With --volume, check only whether a folder can hold a lake that several machines share. Run it
    on two of them at the same time.

    Ends with status 1 if a check fails; a warning is not a failure.
    """
    if volume is not None:
        _examine_volume(answer, volume, wait)
        return
    settings = settings_of()
    # A request that fails in the end is a line of the output.
    for name in ("dagster", "kis_assets.transport.retry"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    found = list(examine(settings))
    answer.rows(Finding._fields, found)
    if any(line.state == "fail" for line in found):
        raise typer.Exit(1)


def _examine_volume(answer: Answer, volume: Path, wait: float) -> None:
    from kis_assets.lake import volume as volumes
    from kis_assets.security.ownership import explained

    if not volume.is_dir():
        raise typer.BadParameter(f"{volume} is not a folder", param_hint="--volume")
    try:
        found = [Finding(*seen) for seen in volumes.examine(volume, wait)]
    except OSError as error:
        found = [Finding("folder", "fail", explained(error, volume))]
    answer.rows(Finding._fields, found)
    if any(line.state == "fail" for line in found):
        raise typer.Exit(1)


def examine(settings: Settings) -> Iterator[Finding]:
    """The findings, one after the other. `rate` comes last because the call may change it."""
    yield Finding("settings", "ok", f"source {settings.source_name}: {settings.source_reason}")
    yield _credentials(settings)
    yield _files(settings)
    yield _disk(settings.source_dir)
    yield _dagster(settings)
    if (settings.source_dir / "versions").exists():
        yield _rows(settings)
        yield _candles(settings)
    yield from (_port(port, user) for port, user in PORTS.items())
    if settings.redis_url is not None:
        yield redis(settings)
    yield clock(settings)
    yield call(settings)
    if settings.source_type == "kis":
        yield rate(settings)


def _credentials(settings: Settings) -> Finding:
    known = settings.credentials
    if known:
        keys = ", ".join(credential.id for credential in known)
        return Finding(
            "credentials",
            "ok",
            f"{len(known)} for the {settings.environment} server (shown as a hash: {keys})",
        )
    return Finding(
        "credentials",
        "warn",
        "none: the invented market is used; set KIS_APP_KEY and KIS_APP_SECRET for KIS",
    )


def _files(settings: Settings) -> Finding:
    """Whether other users can read secrets."""
    from kis_assets.monitoring.exposure import exposed

    if found := exposed(settings):
        return Finding("files", "warn", "; ".join(found))
    return Finding("files", "ok", "nobody else can read .env, tokens and Dagster's history")


def _disk(folder: Path, setting: str = "KIS_DATA_DIR") -> Finding:
    from kis_assets.security.ownership import whose

    there = folder
    while not os.path.lexists(there):
        there = there.parent
    if not os.access(there, os.W_OK):
        return Finding("disk", "fail", f"{whose(folder)}; or set {setting} to another folder")
    free = shutil.disk_usage(there).free
    seen = f"{free / _GB:.1f} GB free at {folder}"
    if free < _GB:
        return Finding(
            "disk", "fail", f"{seen}: free some space, or set {setting} to another folder"
        )
    if free < 10 * _GB:
        return Finding(
            "disk", "warn", f"{seen}: minute candles of the whole market use more every day"
        )
    return Finding("disk", "ok", seen)


def _dagster(settings: Settings) -> Finding:
    """Whether Dagster can use its databases. Creates nothing if there are none yet."""
    from kis_assets.execution.dagster_home import HomeFailed, check_readable
    from kis_assets.settings import SettingsError

    try:
        folder = settings.dagster_home
        is_there = check_readable(settings)
    except (HomeFailed, SettingsError) as error:
        return Finding("dagster", "fail", str(error))
    if (disk := _disk(folder, "DAGSTER_HOME")).state == "fail":
        return Finding("dagster", "fail", disk.seen)
    seen = f"its history in {folder} is readable" if is_there else f"the first run creates {folder}"
    return Finding("dagster", "ok", seen)


def _rows(settings: Settings) -> Finding:
    """Whether all stored files are readable, and no other files are there."""
    from kis_assets.exchange import calendar
    from kis_assets.lake.damaged_files import odd
    from kis_assets.lake.versions import Versions
    from kis_assets.security.ownership import explained

    try:
        found = odd(Versions(settings.source_dir, calendar.now))
    except OSError as error:
        return Finding("rows", "fail", explained(error, settings.source_dir))
    if found:
        return Finding("rows", "fail", "; ".join(found))
    return Finding("rows", "ok", f"every file in {settings.source_dir} is complete")


def _candles(settings: Settings) -> Finding:
    """Whether stored candles are provisional though final ones are available by now."""
    import duckdb

    from kis_assets.cli.common import market_of
    from kis_assets.exchange import calendar, finality
    from kis_assets.security.ownership import explained

    now = settings.now()
    day = finality.newest_final_day(now)
    if now < finality.refetched_by(day):  # the morning's schedules are still fetching it
        day = calendar.previous_trading_day(day)
    from kis_assets.lake.reader import NotStored

    query = "FROM daily_candles WHERE NOT is_final AND trading_day <= ?"
    with market_of(settings) as market:
        try:
            counted = market.rows(f"SELECT count(*), count(DISTINCT trading_day) {query}", day)
        except duckdb.BinderException:
            return Finding(
                "candles", "warn", "stored by an older version: run kis-assets repair, then again"
            )
        except (NotStored, OSError, duckdb.Error) as error:
            return Finding("candles", "warn", explained(error, settings.source_dir))
    rows, days = counted[1][0]
    if not rows:
        return Finding("candles", "ok", f"no candle of a final day is provisional (until {day})")
    return Finding(
        "candles",
        "warn",
        f"{rows:,} rows of {days} days were stored before they were final: run kis-assets repair",
    )


def _port(port: int, user: str) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return Finding(
                f"port {port}", "warn", f"in use, maybe by {user}; if not, start that with --port"
            )
    return Finding(f"port {port}", "ok", f"free for {user}")
