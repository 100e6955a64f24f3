"""The types of settings. Each parses its text, and says what is allowed if the text is wrong."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from kis_assets.exchange import calendar, stocks, venues
from kis_assets.security.text_input import expanded, plain_folder, text_of

_GROUPS = ("common", "preferred", "konex", "etf", "etn", "spac", "reit", "all")
_TOP = re.compile(r"top([1-9][0-9]{0,3})")
_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_INTERVALS = (5, 10, 15, 20, 30, 60)


class Universe(NamedTuple):
    """The stocks to fetch: all stocks of the groups, or only the most traded ones of them."""

    groups: tuple[str, ...]
    most_traded: int | None = None


class Credential(NamedTuple):
    """One app key with its secret. `id` is a hash that may be shown or used in file names."""

    app_key: SecretStr
    app_secret: SecretStr

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that identify the key without revealing it."""
        return hashlib.sha256(self.app_key.get_secret_value().encode()).hexdigest()[:12]


def words(secret: SecretStr) -> list[str]:
    """The comma-separated secrets of a setting."""
    return [word.strip() for word in secret.get_secret_value().split(",") if word.strip()]


# Addresses


def _parts(url: str, example: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # the error's own text contains a part of the address
        raise ValueError(f"must be an address such as {example}") from None
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"must be an address such as {example}")
    return parts


def _address(schemes: tuple[str, ...], example: str) -> Callable[[str], str]:
    def check(url: str) -> str:
        parts = _parts(url, example)
        if parts.scheme not in schemes or not _HOST.fullmatch(parts.hostname or ""):
            raise ValueError(f"must be an address such as {example}")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError(f"must be an address without credentials, such as {example}")
        return url.rstrip("/")

    return check


_http = _address(("http", "https"), "https://host:port")


def _webhook(secret: SecretStr) -> SecretStr:
    _http(secret.get_secret_value())
    return secret


def _redis(secret: SecretStr) -> SecretStr:
    example, url = "redis://:password@host:6379/0", secret.get_secret_value()
    if url.partition("://")[0] in ("redis+sentinel", "rediss+sentinel"):
        example = "redis+sentinel://:password@one:26379,two:26379/service/0"
        login, at, hosts = urlsplit(url).netloc.rpartition("@")
        for host in hosts.split(","):
            if not _parts(f"redis://{login}{at}{host}", example).hostname:
                raise ValueError(f"must be an address such as {example}")
        url = url.replace(f"{at}{hosts}", f"{at}{hosts.partition(',')[0]}", 1)
    parts = _parts(url, example)
    has_place = parts.hostname
    if parts.scheme.endswith("+sentinel"):
        service, _, database = parts.path.strip("/").partition("/")
        has_place = service and (not database or database.isdecimal())
    elif parts.scheme == "unix":
        has_place = parts.path
    elif parts.scheme not in ("redis", "rediss"):
        has_place = ""
    if not has_place:
        raise ValueError(f"must be an address such as {example}")
    if parse_qs(parts.query, keep_blank_values=True).keys() & {"host", "port", "path"}:
        raise ValueError(f"must name its host before the path, such as {example}")
    return secret


def passwords(secret: SecretStr) -> list[str]:
    """The passwords in the address of Redis, as written and as meant."""
    parts = urlsplit(secret.get_secret_value())
    options = parse_qs(parts.query)
    written = [parts.password or ""]
    for name in ("password", "sentinel_password"):
        written += options.get(name, [])
    return [*written, *map(unquote, written)]


def _lake(url: str) -> str:
    parts = urlsplit(url)
    if "://" in url and parts.scheme not in ("s3", "gs", "az", "file"):
        raise ValueError("must be s3://..., gs://..., az://..., file://... or a path")
    if parts.username or parts.password or parts.query:
        raise ValueError("must contain no credentials: set those as AWS_... or similar variables")
    if "://" in url and parts.fragment:
        raise ValueError("must contain no '#': what follows it would be left out of the address")
    if parts.scheme in ("s3", "gs", "az") and not parts.netloc:
        raise ValueError(f"must name a bucket, as {parts.scheme}://bucket/lake does")
    return url if "://" in url else str(expanded(url))


HttpUrl = Annotated[str, AfterValidator(_http)]
WsUrl = Annotated[str, AfterValidator(_address(("ws", "wss"), "ws://host:port"))]
WebhookUrl = Annotated[SecretStr, AfterValidator(_webhook)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis)]
LakeUrl = Annotated[str, AfterValidator(_lake)]
Folder = Annotated[Path, AfterValidator(plain_folder)]


# Keys


def _key(secret: SecretStr) -> SecretStr:
    for letter in secret.get_secret_value():
        if not letter.isascii() or not letter.isprintable() or letter in "\"'`":
            raise ValueError(f"contains {letter!a}, which no key of KIS contains: copy it again")
    return secret


def _header_word(secret: SecretStr) -> SecretStr:
    word = secret.get_secret_value().strip()
    if not word.isascii() or not word.isprintable() or " " in word:
        raise ValueError("must be one word of letters and digits, as KRX issues it")
    return SecretStr(word)


Key = Annotated[SecretStr, AfterValidator(_key)]
HeaderWord = Annotated[SecretStr, AfterValidator(_header_word)]


# Words


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(word.strip().lower() for word in value.split(",") if word.strip())


def _hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    if any("/" in host or ":" in host for host in hosts):
        raise ValueError("must be names of hosts without port or path, comma-separated")
    return hosts


def _groups(found: tuple[str, ...]) -> tuple[str, ...]:
    tops = [word for word in found if _TOP.fullmatch(word)]
    wrong = [word for word in found if word not in (*_GROUPS, *tops)]
    if wrong or not found or len(tops) > 1:
        raise ValueError(
            f"must consist of {', '.join(_GROUPS)}, and may contain one word such as top100: only "
            "that many of the most traded stocks"
        )
    return found


def universe_of(found: tuple[str, ...]) -> Universe:
    """The stocks that the words of `KIS_UNIVERSE` select."""
    tops = [top for word in found if (top := _TOP.fullmatch(word))]
    groups = tuple(word for word in found if word in _GROUPS)
    return Universe(groups or ("common",), int(tops[0][1]) if tops else None)


def _codes(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.startswith("@"):
        try:
            text = text_of(expanded(value[1:]))
        except ValueError as error:
            raise ValueError(f"the file {error}") from None
        found = [line.split("#")[0].strip() for line in text.splitlines()]
    else:
        found = [word.strip() for word in value.split(",")]
    meant = {word: stocks.code_of(word) for word in found if word}
    for number, word in enumerate(found, start=1):
        if word and meant[word] is None:
            # The file may be the wrong one and contain a secret: do not show its text.
            which = f"line {number}" if value.startswith("@") else repr(word)
            raise ValueError(
                f"must be stock codes of six characters such as 005930, but {which} is not one"
            )
    codes = tuple(dict.fromkeys(filter(None, meant.values())))
    if not codes:
        raise ValueError("contains no stock code")
    return codes


def _indices(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(len(word) == 4 and word.isdecimal() for word in value):
        raise ValueError("must be index codes of four digits such as 0001,1001,2001")
    return value


SourceType = Literal["kis", "krx", "mock"]
SourceWord = Annotated[SourceType, BeforeValidator(_lower)]
LogFormat = Annotated[Literal["text", "json"], BeforeValidator(_lower)]
Venue = Annotated[venues.Venue, BeforeValidator(_lower)]
Hosts = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_hosts)]
Groups = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_groups)]
Indices = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_indices)]
Codes = Annotated[tuple[str, ...], BeforeValidator(_codes)]


# Times


def between(first: time, last: time) -> AfterValidator:
    """A time of day in Seoul between these two, in whole minutes."""

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


# Within the calendar, because code looks at the month before a day and at the year after it.
_REPLAYED = (
    datetime.combine(calendar.FIRST_DAY, time(), calendar.SEOUL) + timedelta(days=31),
    datetime.combine(calendar.LAST_DAY.replace(month=1, day=1), time(), calendar.SEOUL),
)


def _moment(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("must have a time zone, such as 2026-03-17T15:40+09:00")
    if not _REPLAYED[0] <= value < _REPLAYED[1]:
        first, last = (f"{moment:%Y-%m-%d}" for moment in _REPLAYED)
        raise ValueError(f"must be from {first} to {last}: the KRX calendar goes no further")
    return value


def _day(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a day such as 2026-03-17") from None


def _in_calendar(day: date) -> date:
    first, last = calendar.FIRST_DAY, calendar.LAST_DAY
    if not first <= day <= last:
        raise ValueError(f"must be from {first} to {last}: the KRX calendar goes no further")
    return day


Day = Annotated[date, BeforeValidator(_day), AfterValidator(_in_calendar)]
MinutesOfAnHour = Annotated[int, AfterValidator(_of_an_hour)]
Moment = Annotated[datetime, AfterValidator(_moment)]
