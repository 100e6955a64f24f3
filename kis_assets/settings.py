"""Every setting: its variable, default and meaning. Read once, from the environment and `.env`.

Nothing here acts on a setting; a wrong value stops the start with one sentence that names the
variable, the value and what is allowed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from kis_assets.exchange import calendar, stocks
from kis_assets.exchange.venues import Venue
from kis_assets.security import hosts
from kis_assets.security.redaction import remember
from kis_assets.security.text_input import (
    expanded,
    plain_folder,
    start_folder,
    text_of,
    variables_of,
)

SourceType = Literal["kis", "krx", "mock"]
Environment = Literal["real", "virtual"]

UNIVERSE_GROUPS = ("common", "preferred", "konex", "etf", "etn", "spac", "reit", "all")
MOST_TRADED = 100
"""Stocks to begin with on the virtual server, where the whole market takes three quarters of an
hour a table."""
NO_KRX_KEY = (
    "DATA_SOURCE_TYPE=krx and the table krx_daily need KRX_API_KEY in the environment or in .env; "
    "https://openapi.krx.co.kr gives keys"
)


class SettingsError(ValueError):
    """A setting that cannot be right; the message is one sentence a person can act on."""


class Universe(NamedTuple):
    """Which stocks are asked for: those of the groups, or only so many of them, the most traded."""

    groups: tuple[str, ...]
    most_traded: int | None = None


class Credential(NamedTuple):
    """One app key with its secret. `id` is a hash that may be shown and used in file names."""

    app_key: SecretStr
    app_secret: SecretStr

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that stand for the key without giving it away."""
        return hashlib.sha256(self.app_key.get_secret_value().encode()).hexdigest()[:12]


def _http_url(url: str) -> str:
    return _address(url, ("http", "https"), "https://host:port")


def _ws_url(url: str) -> str:
    return _address(url, ("ws", "wss"), "ws://host:port")


def _address(url: str, schemes: tuple[str, ...], example: str) -> str:
    parts = _parts(url, example)
    if parts.scheme not in schemes or not _HOST.fullmatch(parts.hostname or ""):
        raise ValueError(f"must be an address such as {example}")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(f"must be an address without credentials, such as {example}")
    return url.rstrip("/")


def _parts(url: str, example: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # its text holds a part of the address
        raise ValueError(f"must be an address such as {example}") from None
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"must be an address such as {example}")
    return parts


def _redis_url(secret: SecretStr) -> SecretStr:
    example = "redis://:password@host:6379/0"
    parts = _parts(secret.get_secret_value(), example)
    has_place = parts.path if parts.scheme == "unix" else parts.hostname
    if parts.scheme not in ("redis", "rediss", "unix") or not has_place:
        raise ValueError(f"must be an address such as {example}")
    if parse_qs(parts.query, keep_blank_values=True).keys() & {"host", "port", "path"}:
        raise ValueError(f"must name its host before the path, such as {example}")
    return secret


def _credential(secret: SecretStr) -> SecretStr:
    for letter in secret.get_secret_value():
        if not letter.isascii() or not letter.isprintable() or letter in "\"'`":
            raise ValueError(f"holds {letter!a}, which no key of KIS does: copy it anew")
    return secret


def _header_word(secret: SecretStr) -> SecretStr:
    word = secret.get_secret_value().strip()
    if not word.isascii() or not word.isprintable() or " " in word:
        raise ValueError("must be one word of letters and digits, as KRX gives it")
    return SecretStr(word)


def _lake_url(url: str) -> str:
    parts = urlsplit(url)
    if "://" in url and parts.scheme not in ("s3", "gs", "az", "file"):
        raise ValueError("must be s3://..., gs://..., az://..., file://... or a path")
    if parts.username or parts.password or parts.query:
        raise ValueError("must hold no credentials: give those as AWS_... and the like")
    return url if "://" in url else str(expanded(url))


def _webhook_url(secret: SecretStr) -> SecretStr:
    _http_url(secret.get_secret_value())
    return secret


def _between(first: time, last: time) -> AfterValidator:
    """A time of the day in Seoul within these, to the minute."""

    def check(at: time) -> time:
        if at.second or at.microsecond or at.tzinfo is not None:
            raise ValueError("must be hours and minutes in Seoul, such as 08:00")
        if not first <= at <= last:
            raise ValueError(f"must be from {first:%H:%M} to {last:%H:%M}")
        return at

    return AfterValidator(check)


def _of_an_hour(minutes: int) -> int:
    if minutes not in _INTERVALS:
        raise ValueError(f"must be one of {', '.join(map(str, _INTERVALS))}")
    return minutes


_HARMLESS = re.compile(r"(\w+://)?[\w.-]+(:\d+)?(/[\w./-]*)?")
"""An address that holds nothing but a scheme, a host, a port and a path."""
_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_INTERVALS = (5, 10, 15, 20, 30, 60)
_TOP = re.compile(r"top([1-9][0-9]{0,3})")

# Within the calendar: whoever looks at a day looks at the month before it and the year after it.
_REPLAYED = (
    datetime.combine(calendar.FIRST_DAY, time(), calendar.SEOUL) + timedelta(days=31),
    datetime.combine(calendar.LAST_DAY.replace(month=1, day=1), time(), calendar.SEOUL),
)

HttpUrl = Annotated[str, AfterValidator(_http_url)]
WsUrl = Annotated[str, AfterValidator(_ws_url)]


class Settings(BaseModel):
    """The settings of one process. Field names are the variables' names in lower case.

    Build it with `Settings.load()`, which turns every mistake into a `SettingsError`.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    _read_from: Path | None = PrivateAttr(default=None)

    data_source_type: SourceType | None = None
    enable_kis_api: bool = True
    kis_app_key: Annotated[SecretStr, AfterValidator(_credential)] = Field(
        default=SecretStr(""), repr=False
    )
    kis_app_secret: Annotated[SecretStr, AfterValidator(_credential)] = Field(
        default=SecretStr(""), repr=False
    )
    kis_account_number: SecretStr = Field(default=SecretStr(""), repr=False)
    kis_use_virtual_server: bool | None = None
    kis_use_real_server: bool | None = None
    kis_api_base_url_real: HttpUrl = "https://openapi.koreainvestment.com:9443"
    kis_api_base_url_virtual: HttpUrl = "https://openapivts.koreainvestment.com:29443"
    kis_ws_url_real: WsUrl = "ws://ops.koreainvestment.com:21000"
    kis_ws_url_virtual: WsUrl = "ws://ops.koreainvestment.com:31000"
    kis_master_base_url: HttpUrl = "https://new.real.download.dws.co.kr"
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
    redis_url: Annotated[SecretStr, AfterValidator(_redis_url)] | None = Field(
        default=None, repr=False
    )
    krx_api_key: Annotated[SecretStr, AfterValidator(_header_word)] = Field(
        default=SecretStr(""), repr=False
    )
    krx_api_base_url: HttpUrl = "https://data-dbg.krx.co.kr/svc/apis"
    kis_universe: tuple[str, ...] | None = None
    kis_stock_codes: tuple[str, ...] | None = None
    kis_venue: Venue = Venue.KRX
    kis_data_dir: Annotated[Path, AfterValidator(plain_folder)] = Field(
        default=Path("data"), validate_default=True
    )
    kis_lake_keep_days: int = Field(default=30, ge=0)
    kis_lake_url: Annotated[str, AfterValidator(_lake_url)] | None = None
    kis_trusted_hosts: tuple[str, ...] = ()
    kis_replay_at: datetime | None = None
    kis_schedules: bool = False
    # The master files are new at 07:30, prices are reset before the open, and the last trade of a
    # day is before 20:00; two hours are left for a day that ends late. Closes are put right in the
    # night; 2,500 candles take 42 minutes on the virtual server, and KRX publishes at 08:30.
    kis_schedule_morning: Annotated[time, _between(time(7, 30), time(8, 50))] = time(8, 0)
    kis_schedule_candles: Annotated[time, _between(time(6, 30), time(8, 20))] = time(7, 30)
    kis_schedule_warm: Annotated[time, _between(time(7, 30), time(8, 50))] = time(8, 30)
    kis_schedule_evening: Annotated[time, _between(time(20, 10), time(21, 59))] = time(20, 40)
    kis_schedule_capture_minutes: Annotated[int, AfterValidator(_of_an_hour)] = 30
    kis_failure_webhook_url: Annotated[SecretStr, AfterValidator(_webhook_url)] | None = Field(
        default=None, repr=False
    )

    @classmethod
    def load(cls, **overrides: object) -> Settings:
        """Read the environment and `.env`; keyword arguments go before both.

        Raises:
            SettingsError: a value is wrong or two contradict each other.
        """
        # By hand: pydantic-settings takes a fifth of the time of a command that asks nobody.
        given: dict[str, Any] = {}
        file = start_folder() / ".env"
        try:
            written = variables_of(file)
        except ValueError as error:
            raise SettingsError(str(error)) from None
        for found in (written, os.environ):
            # What is empty is not set, and what is no setting is somebody else's.
            known = {name.lower(): value for name, value in found.items() if value.strip()}
            given |= {name: known[name] for name in cls.model_fields.keys() & known.keys()}
        given |= _from_files(given)
        given |= {name: value for name, value in overrides.items() if value is not None}
        try:
            settings = cls(**given)
        except ValidationError as error:
            raise SettingsError(_sentence(error)) from None
        try:
            settings._check_trust(file, written)
        except hosts.Untrusted as error:
            raise SettingsError(str(error)) from None
        settings._read_from = file if written else None
        return settings

    def _check_trust(self, file: Path, written: Mapping[str, str]) -> None:
        """Refuse to send credentials to strangers; see `kis_assets.security.hosts`.

        Raises:
            Untrusted: they would be sent there.
        """
        trusted = self.kis_trusted_hosts
        hosts.check_file(file, written, trusted)
        named = {name.lower() for name, value in written.items() if value.strip()}
        for name in ("redis_url", "kis_failure_webhook_url"):
            # Dagster may have given `.env` to this process: then it stands in the environment too.
            if name in named and (secret := getattr(self, name)):
                url = secret.get_secret_value()
                hosts.check_host(f"{name.upper()} in {file}", url, trusted)
        if self.kis_app_key.get_secret_value() and self.source_type == "kis":
            for name in ("kis_api_base_url", "kis_ws_url"):
                url = getattr(self, f"{name}_{self.environment}")
                what = f"{name}_{self.environment}".upper()
                hosts.check_credentials(what, url, hosts.KIS_DOMAINS, trusted)
        if self.krx_api_key.get_secret_value():
            url = self.krx_api_base_url
            hosts.check_credentials("KRX_API_BASE_URL", url, hosts.KRX_DOMAINS, trusted)

    @field_validator("kis_trusted_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        if isinstance(value, str):
            value = tuple(word.strip().lower() for word in value.split(",") if word.strip())
        if isinstance(value, tuple) and any("/" in host or ":" in host for host in value):
            raise ValueError("must be names of hosts without port or path, comma-separated")
        return value

    @field_validator("kis_universe", mode="before")
    @classmethod
    def _split_universe(cls, value: object) -> object:
        if isinstance(value, str):
            value = tuple(word.strip().lower() for word in value.split(",") if word.strip())
        if isinstance(value, tuple):
            tops = [word for word in value if _TOP.fullmatch(word)]
            wrong = [word for word in value if word not in (*UNIVERSE_GROUPS, *tops)]
            if wrong or not value or len(tops) > 1:
                raise ValueError(
                    f"must be made of {', '.join(UNIVERSE_GROUPS)}, and may have one word such as "
                    "top100: only so many of them, the most traded"
                )
        return value

    @field_validator("kis_stock_codes", mode="before")
    @classmethod
    def _split_codes(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.startswith("@"):
            try:
                text = text_of(expanded(value[1:]))
            except ValueError as error:
                raise ValueError(f"the file {error}") from None
            words = [line.split("#")[0].strip().upper() for line in text.splitlines()]
        else:
            words = [word.strip().upper() for word in value.split(",")]
        for number, word in enumerate(words, start=1):
            if word and not stocks.is_stock_code(word):
                # The file may be another one than was meant, and hold a secret.
                which = f"line {number}" if value.startswith("@") else repr(word)
                raise ValueError(
                    f"must be stock codes of six characters such as 005930, and {which} is none"
                )
        codes = tuple(dict.fromkeys(word for word in words if word))
        if not codes:
            raise ValueError("holds no stock code")
        return codes

    @field_validator("data_source_type", "kis_venue", mode="before")
    @classmethod
    def _in_lower_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    # Stands last because pydantic runs these from the last to the first.
    @field_validator("*", mode="before")
    @classmethod
    def _without_blanks(cls, value: object) -> object:
        return value.strip() if isinstance(value, str) else value

    @field_validator("kis_replay_at")
    @classmethod
    def _zone(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("must carry its time zone, such as 2026-03-17T15:40+09:00")
        if value is not None and not _REPLAYED[0] <= value < _REPLAYED[1]:
            first, last = (f"{moment:%Y-%m-%d}" for moment in _REPLAYED)
            raise ValueError(f"must lie from {first} to {last}: the KRX calendar goes no further")
        return value

    @model_validator(mode="after")
    def _remember(self) -> Settings:
        """Keep the secrets out of what is ever told."""
        secrets = [self.kis_app_key, self.kis_app_secret, self.krx_api_key]
        secrets += [self.redis_url, self.kis_failure_webhook_url]
        for secret in filter(None, secrets):
            remember(secret.get_secret_value())
        if self.redis_url is not None:
            remember(urlsplit(self.redis_url.get_secret_value()).password or "")
        return self

    @model_validator(mode="after")
    def _agree(self) -> Settings:
        virtual, real = self.kis_use_virtual_server, self.kis_use_real_server
        if virtual is not None and virtual == real:
            raise ValueError(
                f"KIS_USE_VIRTUAL_SERVER={str(virtual).lower()} and KIS_USE_REAL_SERVER="
                f"{str(real).lower()} contradict each other: set one of the two"
            )
        keys, secrets = _words(self.kis_app_key), _words(self.kis_app_secret)
        if bool(keys) != bool(secrets):
            there, empty = ("KEY", "SECRET") if keys else ("SECRET", "KEY")
            raise ValueError(f"KIS_APP_{empty} is empty, and KIS_APP_{there} is set")
        if len(keys) != len(secrets):
            raise ValueError(
                f"KIS_APP_KEY holds {len(keys)} and KIS_APP_SECRET {len(secrets)} values: "
                "they must be as many"
            )
        if self.data_source_type == "kis":
            if not self.enable_kis_api:
                raise ValueError(
                    "DATA_SOURCE_TYPE=kis and ENABLE_KIS_API=false contradict each other"
                )
            if not keys:
                raise ValueError(
                    "DATA_SOURCE_TYPE=kis needs KIS_APP_KEY and KIS_APP_SECRET in the environment "
                    "or in .env; without them set DATA_SOURCE_TYPE=mock"
                )
        if self.data_source_type == "krx" and not self.krx_api_key.get_secret_value():
            raise ValueError(NO_KRX_KEY)
        if self.data_source_type == "krx" and self.kis_venue is not Venue.KRX:
            raise ValueError(
                f"DATA_SOURCE_TYPE=krx and KIS_VENUE={self.kis_venue.value} contradict each other"
            )
        if self.kis_replay_at is not None and self.source_type == "kis":
            for name in (f"kis_api_base_url_{self.environment}", "kis_master_base_url"):
                host = urlsplit(getattr(self, name)).hostname or ""
                if hosts.is_of(host, hosts.KIS_DOMAINS):
                    raise ValueError(
                        f"KIS_REPLAY_AT is for replays and refused with KIS's own host {host}: "
                        f"point {name.upper()} at a simulator or unset KIS_REPLAY_AT"
                    )
        return self

    @property
    def environment(self) -> Environment:
        """The KIS server in use: virtual unless the real one is asked for."""
        if self.kis_use_real_server or self.kis_use_virtual_server is False:
            return "real"
        return "virtual"

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
        """Requests a second and key: KIS's limits since 2026-04-20 unless set."""
        return self.kis_api_rate_limit or (18.0 if self.environment == "real" else 1.0)

    @property
    def universe(self) -> Universe:
        """Which stocks are asked for, unless `KIS_STOCK_CODES` names them.

        Where `KIS_UNIVERSE` is not set, the virtual server is asked for the most traded ones only.
        """
        if self.kis_universe is None:
            is_slow = self.source_type == "kis" and self.environment == "virtual"
            return Universe(("common",), MOST_TRADED if is_slow else None)
        tops = [found for word in self.kis_universe if (found := _TOP.fullmatch(word))]
        groups = tuple(word for word in self.kis_universe if word in UNIVERSE_GROUPS)
        return Universe(groups or ("common",), int(tops[0][1]) if tops else None)

    @property
    def credentials(self) -> tuple[Credential, ...]:
        """The app keys with their secrets, in the order given."""
        pairs = zip(_words(self.kis_app_key), _words(self.kis_app_secret), strict=True)
        return tuple(Credential(SecretStr(key), SecretStr(secret)) for key, secret in pairs)

    @property
    def source_type(self) -> SourceType:
        """The source in use: as asked for, else KIS when credentials are there, else mock."""
        if self.data_source_type is not None:
            return self.data_source_type
        return "kis" if self.enable_kis_api and self.credentials else "mock"

    @property
    def source_reason(self) -> str:
        """Why `source_type` is what it is, for the log."""
        if self.data_source_type is not None:
            reason = f"DATA_SOURCE_TYPE={self.data_source_type}"
        elif not self.enable_kis_api:
            reason = "ENABLE_KIS_API=false"
        else:
            reason = "KIS_APP_KEY is set" if self.credentials else "no KIS_APP_KEY is set"
        return f"{reason}; {self._read_from} was read" if self._read_from else reason

    @property
    def source_name(self) -> str:
        """What stands in the column `source`: the source in use, and its venue unless KRX."""
        return self.kis_venue.named(self.source_type)

    @property
    def source_dir(self) -> Path:
        """Where the rows of the source and venue in use lie, as an absolute path."""
        return (self.kis_data_dir / self.source_name).absolute()

    @property
    def state_dir(self) -> Path:
        """Where processes share token, quota and breaker: an account has them once, not a venue."""
        return (self.kis_data_dir / self.source_type / "state").absolute()

    @property
    def dagster_home(self) -> Path:
        """`DAGSTER_HOME`, else a folder beside the rows, as an absolute path.

        Raises:
            SettingsError: its home folder is nobody's.
        """
        named = _dagster_home()
        try:
            return expanded(named or self.kis_data_dir / "dagster").absolute()
        except ValueError as error:
            raise SettingsError(f"DAGSTER_HOME={named}: {error}") from None

    @property
    def names_dagster_home(self) -> bool:
        """Whether `DAGSTER_HOME` is set: then what lies there is its owner's."""
        return bool(_dagster_home())

    def now(self) -> datetime:
        """The moment to take for now, in Seoul: `KIS_REPLAY_AT` in a replay, else the clock's.

        The mock market never stands before an open, where there would be nothing to capture: until
        then it stays where the session before has its official closes.
        """
        if self.kis_replay_at is not None:
            return self.kis_replay_at.astimezone(calendar.SEOUL)
        now = calendar.now()
        if self.source_type == "mock" and calendar.live_session(now) is None:
            return calendar.latest_session(now).closes_at + calendar.AUCTION_OVER
        return now


def _dagster_home() -> str:
    return os.environ.get("DAGSTER_HOME", "").strip()


IN_FILES = ("kis_app_key", "kis_app_secret", "krx_api_key", "redis_url")
"""Secrets that a file may hold, named by the variable with `_FILE` behind it."""


def _from_files(given: Mapping[str, Any]) -> dict[str, str]:
    """Secrets that lie in files of their own, as Docker and systemd give them.

    Raises:
        SettingsError: a file cannot be read, or the secret is given twice.
    """
    found: dict[str, str] = {}
    for name in IN_FILES:
        variable = f"{name.upper()}_FILE"
        if not (path := os.environ.get(variable)):
            continue
        if name in given:
            raise SettingsError(f"{variable} and {name.upper()} are both set: choose one")
        try:
            found[name] = text_of(expanded(path)).strip()
        except ValueError as error:
            raise SettingsError(f"{variable}: the file {error}") from None
    return found


def _words(secret: SecretStr) -> list[str]:
    return [word.strip() for word in secret.get_secret_value().split(",") if word.strip()]


def _sentence(error: ValidationError) -> str:
    """The first mistake as one sentence. Values of secret variables are never shown."""
    first = error.errors(include_url=False, include_context=False, include_input=True)[0]
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return message
    name = str(first["loc"][0])
    is_secret = any(word in name for word in ("key", "secret", "account", "redis", "webhook"))
    if name.endswith("_url") or "_url_" in name:  # which may hold a password or a signature
        is_secret = is_secret or not _HARMLESS.fullmatch(str(first["input"]))
    shown = "" if is_secret else f"={first['input']}"
    return f"{name.upper()}{shown}: {message[0].lower()}{message[1:]}"
