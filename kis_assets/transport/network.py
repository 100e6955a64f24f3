"""Network settings from the environment: proxies and trusted certificates.

An error names the variable that cannot be used, but never its value, which may hold a password.
"""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from kis_assets.settings import SettingsError

# httpx logs each request with its whole address, which may be a secret; the tally counts requests
# already.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_PROXIES = {
    "http": ("http", "all"),
    "https": ("https", "all"),
    "ws": ("ws", "socks", "https", "http"),
    "wss": ("wss", "socks", "https"),
}
"""The proxies that httpx and websockets use for an address: the first that is set."""


def client(*, transport: httpx.BaseTransport | None = None, **given: Any) -> httpx.Client:
    """A client that uses the network settings of the environment, or only `transport`.

    Raises:
        SettingsError: a proxy or the trusted certificates cannot be used.
    """
    if transport is not None:
        return httpx.Client(transport=transport, trust_env=False, **given)
    folder = os.environ.get("SSL_CERT_DIR")
    trust = "SSL_CERT_FILE" if os.environ.get("SSL_CERT_FILE") else "SSL_CERT_DIR"
    if trust == "SSL_CERT_DIR" and folder and not Path(folder).is_dir():
        raise SettingsError("SSL_CERT_DIR names no folder: correct or unset it")
    for scheme in ("http", "https", "all"):
        _check(scheme, "socksio", "'httpx[socks]'")
    try:
        return httpx.Client(**given)
    except OSError as error:
        raise SettingsError(
            f"{trust} names no certificates that can be read ({error.strerror}): correct or "
            "unset it"
        ) from None


def check_feed(url: str) -> None:
    """Check that the proxy to a WebSocket's address can be used.

    Raises:
        SettingsError: it cannot be used.
    """
    if scheme := _proxy(url):
        _check(scheme, "python_socks", "python-socks")


def hint(url: str, error: Exception) -> str:
    """A hint on what to check after this connection failure; empty if the cause is unknown."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        names = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
        where = f"are those of {names[0]} right" if names else "is a proxy in between"
        return f"; its certificate is not trusted: {where}?"
    if any(word in str(error) for word in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")):
        return "; the server there does not use TLS: is http:// meant?"
    is_about_it = isinstance(error, OSError | httpx.ConnectError | httpx.ConnectTimeout)
    if not is_about_it and "Proxy" not in type(error).__name__:
        return ""
    if scheme := _proxy(url):
        return f"; is the proxy of {_variable(scheme)} right, and does it run?"
    return "; is the network up and its address right?"


def _proxy(url: str) -> str:
    """The scheme whose proxy a request to this address uses; empty without a proxy."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return ""
    return next((it for it in _PROXIES[parts.scheme] if getproxies().get(it)), "")


def _variable(scheme: str) -> str:
    """The variable that sets this proxy, or a name for a proxy of the system."""
    value, name = getproxies().get(scheme), f"{scheme}_proxy"
    return next((it for it in (name, name.upper()) if os.environ.get(it) == value), "the system")


def _check(scheme: str, package: str, extra: str) -> None:
    proxies = getproxies()
    proxy = proxies.get(scheme)
    if not proxy or "*" in map(str.strip, proxies.get("no", "").split(",")):
        return
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        is_address = bool(parts.hostname) and parts.port != 0
        is_address = is_address and parts.scheme in ("http", "https", "socks5", "socks5h")
    except ValueError:  # a wrong port, or wrong brackets
        is_address = False
    if not is_address:
        raise SettingsError(
            f"{_variable(scheme)} is not a proxy address such as http://host:8080: correct or "
            "unset it"
        )
    if proxy.startswith("socks5") and "://" in proxy and find_spec(package) is None:
        raise SettingsError(
            f"{_variable(scheme)} names a SOCKS proxy, which needs another package: "
            f"pip install {extra}, or unset it"
        )
