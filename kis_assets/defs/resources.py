"""Thin Dagster resources around the source and the lake, which have modules of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr

from kis_assets.defs import agreement, leases, orphans
from kis_assets.errors import KISError
from kis_assets.exchange import calendar, venues
from kis_assets.krx import publication
from kis_assets.lake import requests
from kis_assets.lake.lake import Lake, LakeError
from kis_assets.monitoring import json_log
from kis_assets.settings import Settings, SettingsError
from kis_assets.sources.base import DataSource
from kis_assets.sources.factory import create_data_source
from kis_assets.sources.tables import TableSource
from kis_assets.transport.fan_out import Progress

_SECRET: Any = {"dagster__is_secret": True}


class KISResource(dg.ConfigurableResource[Any]):
    """Access to market data: one token, one rate limiter and one breaker for all runs.

    Empty fields are taken from the environment and `.env`; see `kis_assets.settings`. The source is
    opened at first use and closed with the run.
    """

    app_key: str = Field(default="", repr=False, json_schema_extra=_SECRET)
    app_secret: str = Field(default="", repr=False, json_schema_extra=_SECRET)
    krx_api_key: str = Field(default="", repr=False, json_schema_extra=_SECRET)
    source_type: str = Field(default="", description="kis, krx or mock; default: DATA_SOURCE_TYPE")
    agreed: dict[str, str] = Field(
        default_factory=dict, description="settings on which the host of a run must agree"
    )

    _settings: Settings | None = PrivateAttr(default=None)
    _refusal: str = PrivateAttr(default="")
    _listener: Progress | None = PrivateAttr(default=None)
    _source: DataSource | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, settings: Settings, listener: Progress | None = None) -> KISResource:
        """A resource with these settings; it reads no environment."""
        made = cls()
        made._settings, made._listener = settings, listener
        return made

    @property
    def settings(self) -> Settings:
        """The settings of this run."""
        if self._settings is None:
            with plain_failures():
                if self._refusal:
                    raise SettingsError(self._refusal)
                self._settings = _settings_of(
                    self.source_type,
                    kis_app_key=self.app_key or None,
                    kis_app_secret=self.app_secret or None,
                    krx_api_key=self.krx_api_key or None,
                )
        return self._settings

    @property
    def listener(self) -> Progress | None:
        """The progress bar of a command, which also gets the progress of fetches."""
        return self._listener

    @property
    def source(self) -> DataSource:
        """The source in use, for cached records."""
        if self._source is None:
            with plain_failures():
                self._source = create_data_source(settings=self.settings)
        return self._source

    @property
    def tables(self) -> TableSource:
        """The source in use, for rows of tables, which never come from the cache."""
        return self.source.tables

    def now(self) -> datetime:
        """The current time in Seoul, or the replayed one."""
        return self.settings.now()

    def newest_day(self) -> date:
        """The newest trading day that the source has. KRX publishes a day on the next morning."""
        if self.settings.source_type == "krx":
            return publication.newest(self.now())
        return calendar.latest_session(self.now()).day

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Tag the run so that others can see whether this process is alive."""
        self._refusal = _begin(context, self._settings, self.source_type)
        json_log.of_run(context.run.run_id if context.run else "")

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Record the requests of the run, and close the source."""
        json_log.of_run("")
        if self._source is not None:
            run_id = context.run.run_id if context.run else ""
            lake = open_lake(self.settings, _fence(context))
            requests.record(self._source.tally, lake, self.settings, run_id)
            self.close()
        _end(context)

    def close(self) -> None:
        """Close the source, if it was opened."""
        if self._source is not None:
            self._source.close()
            self._source = None


class LakeResource(dg.ConfigurableResource[Any]):
    """The lake: the rows in `data/<source>` of the source in use."""

    source_type: str = Field(default="", description="kis, krx or mock; default: DATA_SOURCE_TYPE")

    _settings: Settings | None = PrivateAttr(default=None)
    _refusal: str = PrivateAttr(default="")
    _may_write: Callable[[], None] | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, settings: Settings) -> LakeResource:
        """A resource with these settings; it reads no environment."""
        made = cls()
        made._settings = settings
        return made

    @property
    def lake(self) -> Lake:
        """The lake of the source in use."""
        with plain_failures():
            if self._refusal:
                raise SettingsError(self._refusal)
            settings = self._settings or _settings_of(self.source_type)
            return open_lake(settings, self._may_write)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Let others see for how long this process lives, and write only as long as they do."""
        self._refusal = _begin(context, self._settings, self.source_type)
        self._may_write = _fence(context)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """The run comes to its end."""
        _end(context)


def resources_of(
    settings: Settings, listener: Progress | None = None
) -> dict[str, dg.ResourceDefinition]:
    """`kis` and `lake` for runs in this process, with its settings and its progress bar.

    Dagster creates a run's resources from configuration only, which cannot contain a progress bar.
    """

    @dg.resource
    def kis(context: dg.InitResourceContext) -> Iterator[KISResource]:
        with KISResource.of(settings, listener).yield_for_execution(context) as made:
            yield made

    @dg.resource
    def lake(context: dg.InitResourceContext) -> Iterator[LakeResource]:
        with LakeResource.of(settings).yield_for_execution(context) as made:
            yield made

    return {"kis": kis, "lake": lake}


def _begin(context: dg.InitResourceContext, given: Settings | None, source_type: str) -> str:
    """Tag the run with this process; returns the reason if this host must not make the run.

    The step reports that reason, in one sentence.
    """
    if context.run is None or context.instance is None:
        return ""
    settings, refusal = given, ""
    try:
        settings = given or Settings.load()
        # A typed run was not requested by another host.
        refusal = "" if given else agreement.refusal(context.instance, context.run, settings)
    except SettingsError as error:
        refusal = str(error) if agreement.is_made_elsewhere(context.instance) else ""
    # A run may use KRX in addition to its source, so only the main resource names the source.
    source = settings.source_name if settings and not source_type else ""
    redis_url = settings.redis_url if settings else None
    orphans.mark(context.instance, context.run.run_id, source, redis_url)
    return refusal


def _fence(context: dg.InitResourceContext) -> Callable[[], None] | None:
    if context.run is None or context.instance is None:
        return None
    return leases.fence(context.instance, context.run.run_id)


def _end(context: dg.InitResourceContext) -> None:
    if context.run is not None:
        leases.unwatch(context.run.run_id)


def _settings_of(source_type: str, **given: object) -> Settings:
    """The settings with this source; KRX does not use KIS's venues."""
    venue = "krx" if source_type == "krx" else None
    return Settings.load(data_source_type=source_type or None, kis_venue=venue, **given)


def open_lake(settings: Settings, may_write: Callable[[], None] | None = None) -> Lake:
    """The lake that belongs to these settings; `may_write` is asked before each write."""
    return Lake(
        settings.source_dir,
        source=settings.source_name,
        keep_days=settings.kis_lake_keep_days,
        replay_at=settings.kis_replay_at,
        may_write=may_write,
    )


def lakes_beside(own: Lake) -> list[Lake]:
    """A lake, and that of KRX's own figures beside it, where there is one."""
    name = venues.krx_beside(own.source)
    beside = Lake(
        own.folder.with_name(name),
        source=name,
        keep_days=own.keep_days,
        replay_at=own.replay_at,
        may_write=own.may_write,
    )
    return [own, beside] if beside.folder != own.folder and beside.folder.is_dir() else [own]


@contextmanager
def plain_failures() -> Generator[None]:
    """Turn expected errors into a Dagster failure of one sentence, without a traceback.

    A traceback would show code of this project, which does not help, and possibly the request.
    """
    try:
        yield
    except (KISError, LakeError, SettingsError) as error:
        raise dg.Failure(
            description=str(error), metadata={"error": type(error).__name__}, allow_retries=False
        ) from None


def credential(name: str) -> Any:
    """A reference to the variable if it is set, so that the UI never contains its value."""
    return dg.EnvVar(name) if os.environ.get(name) else ""
