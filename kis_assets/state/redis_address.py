"""What `REDIS_URL` names: one server, or those that watch several (Sentinel), with or without TLS.

    redis://:password@host:6379/0
    rediss://:password@host:6379/0?ssl_ca_certs=/etc/ssl/ours.pem
    redis+sentinel://:password@one:26379,two:26379,three:26379/service/0

`rediss+sentinel` uses TLS to all of them. Options after `?` are those of redis-py, of TLS
`ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile`; `sentinel_password` is that of the Sentinels.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from kis_assets.settings import SettingsError

SENTINEL = "+sentinel"
SENTINEL_PORT = 26379

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
    ("handshake operation timed out", "it does not speak TLS: is redis:// meant?"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS: is redis:// meant?"),
    ("RECORD_LAYER_FAILURE", "it does not speak TLS: is redis:// meant?"),
    (
        "No such file or directory",
        "a file of certificates that the address names does not exist",
    ),
    ("NO_CERTIFICATE", "a file that the address names holds no certificate"),
    ("PEM lib", "a file that the address names holds no certificate or no key"),
)
_BROKE_OFF = (
    *("EOF occurred in violation of protocol", "Connection reset", "Broken pipe", "closed by"),
    *("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "BAD_CERTIFICATE", "UNKNOWN_CA"),
)
"""Signs of a server that ends the connection: it says why only sometimes."""


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

        try:
            self._given = parse_url(readable)
        except ValueError:
            raise SettingsError("REDIS_URL: an option after the ? has a wrong value") from None
        self._has_certificate = "ssl_certfile" in self._given

    def client(self, **more: Any) -> Any:
        """A client of redis-py, which connects at its first command.

        Raises:
            SettingsError: redis-py does not know an option of the address.
        """
        import redis
        from redis.sentinel import Sentinel

        given = {**self._given, **more}
        if self._sentinels:
            # What the servers and their Sentinels have in common; the rest is about the servers.
            common = {name: it for name, it in given.items() if name.startswith(("socket_", "ssl"))}
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
            raise SettingsError("REDIS_URL: redis-py does not know an option after the ?") from None
        return client

    def reason(self, error: Exception) -> str:
        """Why the servers cannot be used, and what to do."""
        text = f"{error} {error.__context__}"
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
        if type(error).__name__ == "MasterNotFoundError":
            return (
                "no Sentinel names a server for it: is that its name, and do the Sentinels run? "
                "A failover takes some seconds"
            )
        return type(error).__name__
