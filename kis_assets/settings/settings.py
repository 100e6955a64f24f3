"""The class of all settings, with one field each, and values derived from them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from kis_assets.exchange import calendar, venues
from kis_assets.security.hosts import Untrusted, may_be_here
from kis_assets.security.redaction import remember
from kis_assets.security.text_input import expanded
from kis_assets.settings import kinds
from kis_assets.settings.agreement import check_agreement, check_trust
from kis_assets.settings.environment import dagster_home, dot_env, given
from kis_assets.settings.kinds import Credential, SourceType, Universe, between, words
from kis_assets.settings.mistakes import SettingsError, sentence

MOST_TRADED = 100
"""The default number of stocks on the virtual server, where the whole market takes 45 minutes per
table."""

_NONE = SecretStr("")


class Settings(BaseModel):
    """The settings of one process. Field names are the variables' names in lower case.

    Create it with `Settings.load()`, which raises a `SettingsError` for every wrong value.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    _read_from: Path | None = PrivateAttr(default=None)

    data_source_type: kinds.SourceWord | None = None
    enable_kis_api: bool = True
    kis_app_key: kinds.Key = Field(default=_NONE, repr=False)
    kis_app_secret: kinds.Key = Field(default=_NONE, repr=False)
    kis_account_number: SecretStr = Field(default=_NONE, repr=False)
    kis_use_virtual_server: bool | None = None
    kis_use_real_server: bool | None = None
    kis_api_base_url_real: kinds.HttpUrl = "https://openapi.koreainvestment.com:9443"
    kis_api_base_url_virtual: kinds.HttpUrl = "https://openapivts.koreainvestment.com:29443"
    kis_ws_url_real: kinds.WsUrl = "ws://ops.koreainvestment.com:21000"
    kis_ws_url_virtual: kinds.WsUrl = "ws://ops.koreainvestment.com:31000"
    kis_master_base_url: kinds.HttpUrl = "https://new.real.download.dws.co.kr"
    kis_api_rate_limit: float | None = Field(default=None, gt=0, le=1000)
    kis_api_queue_timeout: float = Field(default=30, gt=0)
    kis_api_timeout: float = Field(default=30, gt=0)
    kis_api_max_retries: int = Field(default=3, ge=0, le=10)
    kis_api_circuit_breaker_threshold: int = Field(default=5, ge=1)
    kis_api_circuit_breaker_timeout: float = Field(default=60, gt=0)
    kis_cache_ttl_price: float = Field(default=1800, ge=0)
    kis_cache_ttl_orderbook: float = Field(default=10, ge=0)
    kis_cache_ttl_chart: float = Field(default=3600, ge=0)
    kis_cache_ttl_stock_info: float = Field(default=86400, ge=0)
    redis_url: kinds.RedisUrl | None = Field(default=None, repr=False)
    krx_api_key: kinds.HeaderWord = Field(default=_NONE, repr=False)
    krx_api_base_url: kinds.HttpUrl = "https://data-dbg.krx.co.kr/svc/apis"
    kis_universe: kinds.Groups | None = None
    kis_stock_codes: kinds.Codes | None = None
    kis_indices: kinds.Indices | None = None
    kis_venue: kinds.Venue = venues.Venue.KRX
    kis_data_dir: kinds.Folder = Field(default=Path("data"), validate_default=True)
    kis_lake_keep_days: int = Field(default=30, ge=1, le=36_500)
    kis_lake_url: kinds.LakeUrl | None = None
    kis_trusted_hosts: kinds.Hosts = ()
    kis_replay_at: kinds.Moment | None = None
    kis_first_day: kinds.Day | None = None
    kis_schedules: bool = False
    # Limits of the times: the master files are new at 07:30, prices are reset before the open, and
    # the last trade is before 20:00, with two hours' reserve for a day that ends late. Closes are
    # corrected in the night. On the virtual server 2,500 candles take 42 minutes. KRX publishes at
    # 08:30.
    kis_schedule_morning: Annotated[time, between(time(7, 30), time(8, 50))] = time(8, 0)
    kis_schedule_candles: Annotated[time, between(time(6, 30), time(8, 20))] = time(7, 30)
    kis_schedule_warm: Annotated[time, between(time(7, 30), time(8, 50))] = time(8, 30)
    kis_schedule_evening: Annotated[time, between(time(20, 10), time(21, 59))] = time(20, 40)
    kis_schedule_capture_minutes: kinds.MinutesOfAnHour = 30
    kis_failure_webhook_url: kinds.WebhookUrl | None = Field(default=None, repr=False)
    kis_log_format: kinds.LogFormat = "text"

    @classmethod
    def load(cls, **overrides: object) -> Settings:
        """Read the environment and `.env`; keyword arguments override both.

        Raises:
            SettingsError: a value is wrong, or two values contradict each other.
        """
        file, written = dot_env()
        found: dict[str, Any] = {**given(written, cls.model_fields.keys())}
        found |= {name: value for name, value in overrides.items() if value is not None}
        return cls._checked(found, file, written)

    def with_source(self, source_type: str) -> Settings:
        """These settings with another source.

        Raises:
            SettingsError: the settings do not allow this source.
        """
        given = self.model_dump(exclude_unset=True) | {"data_source_type": source_type}
        return self._checked(given, *dot_env())

    @classmethod
    def _checked(cls, found: dict[str, Any], file: Path, written: Mapping[str, str]) -> Settings:
        try:
            settings = cls(**found)
            check_trust(settings, file, written)
        except ValidationError as error:
            raise SettingsError(sentence(error)) from None
        except Untrusted as error:
            raise SettingsError(str(error)) from None
        settings._read_from = file if written else None
        return settings

    @field_validator("*", mode="before")
    @classmethod
    def _without_blanks(cls, value: object) -> object:
        return value.strip() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _remember(self) -> Settings:
        """Register the secrets, so that no message or log shows them."""
        secrets = [self.kis_app_key, self.kis_app_secret, self.krx_api_key]
        secrets += [self.kis_failure_webhook_url]
        for secret in filter(None, secrets):
            remember(secret.get_secret_value())
        if self.redis_url is not None:
            remember(*kinds.passwords(self.redis_url))  # its hosts are told in errors
        return self

    @model_validator(mode="after")
    def _agree(self) -> Settings:
        check_agreement(self)
        return self

    @property
    def environment(self) -> Literal["real", "virtual"]:
        """The KIS server in use: the virtual one, unless the settings select the real one."""
        if self.kis_use_real_server or self.kis_use_virtual_server is False:
            return "real"
        return "virtual"

    @property
    def is_virtual(self) -> bool:
        """Whether the source is KIS's virtual server."""
        return self.source_type == "kis" and self.environment == "virtual"

    @property
    def base_url(self) -> str:
        """REST address of the server in use."""
        if self.source_type == "krx":
            return self.krx_api_base_url
        return (
            self.kis_api_base_url_real
            if self.environment == "real"
            else self.kis_api_base_url_virtual
        )

    @property
    def ws_url(self) -> str:
        """WebSocket address of the server in use."""
        return self.kis_ws_url_real if self.environment == "real" else self.kis_ws_url_virtual

    @property
    def rate_limit(self) -> float:
        """Requests per second and key: as set, or else KIS's limits since 2026-04-20."""
        return self.kis_api_rate_limit or (18.0 if self.environment == "real" else 1.0)

    @property
    def universe(self) -> Universe:
        """The stocks to fetch, unless `KIS_STOCK_CODES` names them.

        Without `KIS_UNIVERSE`, only the most traded stocks are fetched from the virtual server.
        """
        if self.kis_universe is None:
            return Universe(("common",), MOST_TRADED if self.is_virtual else None)
        return kinds.universe_of(self.kis_universe)

    @property
    def credentials(self) -> tuple[Credential, ...]:
        """The app keys with their secrets, in the given order."""
        pairs = zip(words(self.kis_app_key), words(self.kis_app_secret), strict=True)
        return tuple(Credential(SecretStr(key), SecretStr(secret)) for key, secret in pairs)

    @property
    def source_type(self) -> SourceType:
        """The source in use: as set, or else KIS if credentials are set, or else mock."""
        if self.data_source_type is not None:
            return self.data_source_type
        return "kis" if self.enable_kis_api and self.credentials else "mock"

    @property
    def source_reason(self) -> str:
        """Why this source is in use, for messages."""
        if self.data_source_type is not None:
            reason = f"DATA_SOURCE_TYPE={self.data_source_type}"
        elif not self.enable_kis_api:
            reason = "ENABLE_KIS_API=false"
        else:
            reason = "KIS_APP_KEY is set" if self.credentials else "no KIS_APP_KEY is set"
        return f"{reason}; {self._read_from} was read" if self._read_from else reason

    def named(self, source_type: SourceType) -> str:
        """The name of a source, such as `kis`; with the prefix `simulated_` if its server is local.

        No local server is KIS's or KRX's own. A remote host in `KIS_TRUSTED_HOSTS` counts as a
        gateway to it. The mock market uses no server.
        """
        asked = {
            "mock": (),
            "krx": (self.krx_api_base_url,),
            "kis": (self.base_url, self.ws_url, self.kis_master_base_url),
        }[source_type]
        is_here = any(may_be_here(urlsplit(url).hostname or "") for url in asked)
        return f"{venues.SIMULATED}{source_type}" if is_here else source_type

    @property
    def source_name(self) -> str:
        """The value of the column `source`: the source in use, and its venue unless that is KRX."""
        return self.kis_venue.named(self.named(self.source_type))

    @property
    def source_dir(self) -> Path:
        """The folder of the rows of this source and venue, as an absolute path."""
        return (self.kis_data_dir / self.source_name).absolute()

    @property
    def state_dir(self) -> Path:
        """The folder of shared state: token, quota and breaker, which all venues share."""
        return (self.kis_data_dir / self.named(self.source_type) / "state").absolute()

    @property
    def dagster_home(self) -> Path:
        """`DAGSTER_HOME`, or else a folder in the data folder, as an absolute path.

        Raises:
            SettingsError: `~user` in it names an unknown user.
        """
        named = dagster_home()
        try:
            return expanded(named or self.kis_data_dir / "dagster").absolute()
        except ValueError as error:
            raise SettingsError(f"DAGSTER_HOME={named}: {error}") from None

    @property
    def names_dagster_home(self) -> bool:
        """Whether `DAGSTER_HOME` is set: then its files belong to the user, not to this program."""
        return bool(dagster_home())

    def now(self) -> datetime:
        """The current time in Seoul: `KIS_REPLAY_AT` in a replay, or else the clock's.

        The mock market skips the hours before an open, which have nothing to capture: until the
        open it stays at the official closes of the session before.
        """
        if self.kis_replay_at is not None:
            return self.kis_replay_at.astimezone(calendar.SEOUL)
        now = calendar.now()
        if self.source_type == "mock" and calendar.live_session(now) is None:
            return calendar.latest_session(now).closes_at + calendar.AUCTION_OVER
        return now
