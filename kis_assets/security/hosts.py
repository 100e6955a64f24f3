"""Whom credentials may be sent to, and what `.env` may say about it.

An app key places orders, and `.env` lies in the current folder, which may be somebody else's. So
credentials go to KIS and KRX over https, or to this machine; whatever else is meant is named in
`KIS_TRUSTED_HOSTS`, in the process's own environment.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Collection, Mapping
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

KIS_DOMAINS = ("koreainvestment.com", "dws.co.kr")
KRX_DOMAINS = ("krx.co.kr",)

_NEVER_IN_A_FILE = re.compile(
    r"KIS_(TRUSTED_HOSTS|FOLDER)|(SSL_CERT|REQUESTS_CA|CURL_CA|AWS_ENDPOINT)_\w+|OPENSSL_\w+|SSLKEYLOGFILE"
    r"|(LD|DYLD|DAGSTER)_\w+|PYTHON(?!IOENCODING|UNBUFFERED|UTF8)\w+|BASH_ENV|PATH|HOME|TMPDIR|BROWSER",
    re.IGNORECASE,
)
"""What decides who is trusted and which code runs. `dagster dev` gives `.env` to its processes."""
Sent = ("REDIS_URL", "KIS_FAILURE_WEBHOOK_URL", "KIS_MASTER_BASE_URL")
"""Addresses that Dagster, which expands `${...}`, could make others of."""
_HERE = ("localhost.localdomain", "ip6-localhost", "ip6-loopback")
"""What systems call this machine in their `/etc/hosts`, beside `localhost`."""
_PROXY = re.compile(r"(https?|wss?|all)_proxy", re.IGNORECASE)


class Untrusted(ValueError):
    """Something would be sent to a host that nobody has allowed; the message names it."""


def is_loopback(host: str) -> bool:
    """Whether a host is certainly this machine itself, so that a key may be sent to it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def may_be_here(host: str) -> bool:
    """Whether a host may be this machine, by any of its names; asks no DNS.

    It is more than `is_loopback`: DNS may give `x.localhost` or the machine's own name to another
    one, so no key is sent there, but what answers is not taken for KIS either.
    """
    name = host.lower().rstrip(".")
    try:
        address = ip_address(name)
    except ValueError:
        try:  # 127.1, 2130706433 and 0x7f.1 are addresses to whoever connects
            address = ip_address(socket.inet_aton(name))
        except OSError:
            own = socket.gethostname().lower()
            short = own.partition(".")[0]
            names = (*_HERE, own, short, f"{short}.local", f"{short}.localdomain")
            return is_of(name, ("localhost",)) or (name != "" and name in names)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified


def is_of(host: str, domains: Collection[str]) -> bool:
    """Whether a host is one of the domains or below one: compared by label, not by ending."""
    name = "." + host.lower().rstrip(".")
    return any(name.endswith(f".{domain}") for domain in domains)


def check_file(path: object, variables: Mapping[str, str], trusted: Collection[str]) -> None:
    """Refuse what only the process's own environment may say.

    Raises:
        Untrusted: one of the variables decides whom or what is trusted.
    """
    for name, value in variables.items():
        if _NEVER_IN_A_FILE.fullmatch(name):
            raise Untrusted(
                f"{name} in {path} is refused, since it decides which hosts or which code are "
                "trusted: set it in the environment of the process, or take it out"
            )
        if "${" in value and (_PROXY.fullmatch(name) or name.upper() in Sent):
            raise Untrusted(f"{name} in {path} holds ${{...}}, which is not expanded: write it out")
        if _PROXY.fullmatch(name) and value:
            check_host(f"{name} in {path}", value if "://" in value else f"http://{value}", trusted)


def check_host(what: str, url: str, trusted: Collection[str], own: Collection[str] = ()) -> None:
    """Refuse an address that is not this machine, of its own domains or trusted by the environment.

    Raises:
        Untrusted: it is another one.
    """
    host = urlsplit(url).hostname or ""
    if host and not is_loopback(host) and host not in trusted and not is_of(host, own):
        raise Untrusted(f"{what} names the host {host}: {_permission(host)}")


def check_credentials(what: str, url: str, own: Collection[str], trusted: Collection[str]) -> None:
    """Refuse an address that credentials must not be sent to.

    Args:
        what: the variable that holds the address.
        url: the address.
        own: the domains of whom the credentials belong to.
        trusted: the hosts of `KIS_TRUSTED_HOSTS`.

    Raises:
        Untrusted: it is of another host, or not encrypted.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or host in trusted:
        return
    if not is_of(host, own):
        raise Untrusted(
            f"{what} would send the key to {host}, which is none of {', '.join(own)}: "
            f"{_permission(host)}"
        )
    if parts.scheme == "http":
        raise Untrusted(f"{what} would send the key unencrypted: write https://{parts.netloc}")


def _permission(host: str) -> str:
    return f"if that is meant, set KIS_TRUSTED_HOSTS={host} in the environment (not in .env)"
