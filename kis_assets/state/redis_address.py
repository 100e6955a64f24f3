"""What `REDIS_URL` names: one server, or those that watch several (Sentinel), with or without TLS.

    redis://:password@host:6379/0
    rediss://:password@host:6379/0?ssl_ca_certs=/etc/ssl/ours.pem
    redis+sentinel://:password@one:26379,two:26379,three:26379/service/0

`rediss+sentinel` uses TLS to all of them. Options after `?` are those of redis-py that a text can
say, of TLS `ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile`; `sentinel_password` is that of the
Sentinels.
"""

from __future__ import annotations

import inspect
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr

from kis_assets.settings import SettingsError

SENTINEL = "+sentinel"
SENTINEL_PORT = 26379

_OPTIONS = {
    **dict.fromkeys(
        (
            *("username", "password", "sentinel_username", "sentinel_password", "db"),
            *("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_certfile", "ssl_keyfile"),
            *("ssl_password", "ssl_ciphers", "ssl_check_hostname", "ssl_validate_ocsp"),
            *("ssl_include_verify_flags", "ssl_exclude_verify_flags", "socket_keepalive"),
            *("socket_timeout", "socket_connect_timeout", "health_check_interval"),
            "retry_on_timeout",
        ),
        ".+",
    ),
    "client_name": "[!-~]+",
    "max_connections": "[1-9][0-9]*",
    "protocol": "2|3",
    "ssl_cert_reqs": "none|optional|required",
    "ssl_min_version": "771|772",
}
"""The options that an address may have, each with the form of its value. redis-py looks at numbers.

The others need objects, or change what is stored: `decode_responses` makes text of bytes.
"""

_NO_TLS = "it does not speak TLS: is redis:// meant?"
_NO_LOGIN = "it wants a password, and the address has none: redis://:password@host"
_REASONS = (
    ("certificate has expired", "its certificate has expired: renew it, and look at both clocks"),
    ("certificate is not yet valid", "its certificate is not valid yet: look at both clocks"),
    (
        "certificate is not valid for",
        "its certificate is for another host: name the host that stands in it",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "nobody vouches for its certificate here: name who signed it, with "
        "?ssl_ca_certs=/path/ca.pem at the end of the address",
    ),
    ("handshake operation timed out", _NO_TLS),
    ("WRONG_VERSION_NUMBER", _NO_TLS),
    ("RECORD_LAYER_FAILURE", _NO_TLS),
    ("NO_CERTIFICATE", "a file that the address names holds no certificate"),
    ("PEM lib", "a file that the address names holds no certificate or no key"),
    ("already authenticated", _NO_LOGIN),
    ("Authentication required", _NO_LOGIN),
    ("auth:AuthenticationError", "a Sentinel wants its own password: ?sentinel_password="),
    ("AuthenticationError", "it refuses the user name or the password of the address"),
    (
        "MasterNotFoundError",
        "no Sentinel names a server for it: is that its name, and do the Sentinels run? "
        "A failover takes some seconds",
    ),
    ("MASTERS", "one of the hosts is no Sentinel: those listen on port 26379 as a rule"),
    ("EVALSHA", "it runs no scripts: if it is a Sentinel, write redis+sentinel://"),
    ("DB index", "it has no database of the number that the address ends with"),
    ("read only replica", "it is a replica, which stores nothing: name the server that it copies"),
    ("no permissions", "its user may not do that: allow it all commands on the keys kis_assets:*"),
    ("maxmemory", "its memory is full: raise its maxmemory, or let it evict keys"),
    ("BusyLoadingError", "it has just started, and still loads its data"),
    ("MaxConnectionsError", "the max_connections of the address is too small"),
    ("Protocol Error", "what answers there is no Redis server: the port may be wrong"),
    ("gaierror", "this machine knows no host of that name"),
    ("ConnectionRefusedError", "nothing listens there: it does not run, or the port is wrong"),
    ("PermissionError", "this user may not open a file that the address names"),
    ("TimeoutError", "it does not answer: the host may be wrong, or a firewall in the way"),
)
"""Signs in the text of an error, and what it means; the first one that is found counts."""
_BROKE_OFF = (
    *("EOF occurred in violation of protocol", "Connection reset", "Broken pipe", "closed by"),
    *("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "BAD_CERTIFICATE", "UNKNOWN_CA"),
)
"""Signs of a server that ends the connection: it says why only sometimes."""


def _wrong(option: str) -> str:
    which = f"the option {option}" if option in _OPTIONS else "an option"
    words = _OPTIONS.get(option, "").split("|")
    hint = f": it is {' or '.join(words)}" if len(words) > 1 else ""
    return f"REDIS_URL: {which} after the ? has a wrong value{hint}"


def _plain(option: str, value: str) -> str:
    """The value as redis-py wants it: Celery writes CERT_REQUIRED."""
    return value.lower().removeprefix("cert_") if option == "ssl_cert_reqs" else value


def hosts(url: SecretStr) -> list[tuple[str, int]]:
    """The hosts that the address names, with their ports, 0 if none is given."""
    named = urlsplit(url.get_secret_value()).netloc.rpartition("@")[2]
    each = [urlsplit(f"//{host}") for host in named.split(",") if host]
    return [(parts.hostname or "", parts.port or 0) for parts in each]


class Address:
    """A parsed `REDIS_URL`. Never shows the password.

    Raises:
        SettingsError: an option of it is wrong.
    """

    def __init__(self, url: SecretStr) -> None:
        parts = urlsplit(url.get_secret_value())
        scheme, _, kind = parts.scheme.partition("+")
        self.has_tls = scheme == "rediss"
        login, at, named = parts.netloc.rpartition("@")
        self.where = named or parts.path
        self._sentinels: list[tuple[str, int]] = []
        readable = url.get_secret_value()
        if kind:
            self._sentinels = [(host, port or SENTINEL_PORT) for host, port in hosts(url)]
            self._service, _, database = parts.path.strip("/").partition("/")
            self.where = f"{self._service} of {named}"
            # The first of the hosts stands for all of them where redis-py reads the rest.
            first = named.partition(",")[0]
            readable = f"{scheme}://{login}{at}{first}/{database}?{parts.query}"
        from redis.connection import parse_url

        self._check(parse_qs(parts.query), is_watched=bool(kind))
        try:
            self._given = parse_url(readable)
        except ValueError as error:
            named = re.search(r"'(\w+)'", str(error))
            raise SettingsError(_wrong(named[1] if named else "")) from None
        if wanted := self._given.get("ssl_cert_reqs"):
            self._given["ssl_cert_reqs"] = _plain("ssl_cert_reqs", wanted)
        self._has_certificate = "ssl_certfile" in self._given

    def _check(self, options: dict[str, list[str]], *, is_watched: bool) -> None:
        import redis

        for name, (value, *_) in options.items():
            if name not in _OPTIONS:
                # What redis-py does not know may be a part of a password.
                is_known = name in inspect.signature(redis.Redis).parameters
                which = f"the option {name}" if is_known else "an option"
                raise SettingsError(f"REDIS_URL: {which} after the ? cannot be used: remove it")
            if not re.fullmatch(_OPTIONS[name], _plain(name, value), re.DOTALL):
                raise SettingsError(_wrong(name))
            for kind, fits, scheme in (
                ("ssl_", self.has_tls, "rediss"),
                ("sentinel_", is_watched, "redis+sentinel or rediss+sentinel"),
            ):
                if name.startswith(kind) and not fits:
                    raise SettingsError(
                        f"REDIS_URL: the option {name} after the ? is for an address that begins "
                        f"with {scheme}"
                    )

    def client(self, **more: Any) -> Any:
        """A client of redis-py, which connects at its first command.

        Raises:
            SettingsError: an option of the address does not fit a socket of this machine.
        """
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
        from redis.sentinel import Sentinel

        given = {**self._given, **more}
        if self._sentinels:
            # What the servers and their Sentinels have in common; the rest is about the servers.
            common = {name: it for name, it in given.items() if name.startswith(("socket_", "ssl"))}
            # Who does not answer is passed over: the next one is asked, and all of them once more.
            common["retry"] = Retry(NoBackoff(), 0)
            for name in ("username", "password"):
                if (value := given.pop(f"sentinel_{name}", None)) is not None:
                    common[name] = value
            for name in ("host", "port", "connection_class"):
                given.pop(name, None)
            tls = {"ssl": True} if self.has_tls else {}
            watching = Sentinel(self._sentinels, sentinel_kwargs={**common, **tls}, **given, **tls)
            client = watching.master_for(self._service)
        else:
            client = redis.Redis(connection_pool=redis.ConnectionPool(**given))
        try:
            client.connection_pool.make_connection()
        except TypeError:
            raise SettingsError(
                "REDIS_URL: an option after the ? is not for a unix:// address: remove it"
            ) from None
        return client

    def reason(self, error: Exception) -> str:
        """Why the servers cannot be used, and what to do."""
        cause = error.__context__
        text = f"{type(error).__name__} {error} {type(cause).__name__} {cause}"
        if "No such file or directory" in text:
            if self.has_tls:
                return "a file of certificates that the address names does not exist"
            return "that socket does not exist: Redis does not run, or its unixsocket is another"
        for sign, sentence in _REASONS:
            if sign in text:
                return sentence
        if any(sign in text for sign in _BROKE_OFF):
            if not self.has_tls:
                return "it broke off: if it speaks TLS, write rediss://"
            if self._has_certificate:
                return "it broke off: it may not accept the client certificate that is named"
            return (
                "it broke off: if it wants a client certificate, name one with "
                "?ssl_certfile=/path/client.pem&ssl_keyfile=/path/client.key"
            )
        return type(error).__name__
