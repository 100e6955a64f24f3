"""The shared state on a Redis server, used if `REDIS_URL` is set.

A value is read with the server's time and changed here. A Lua script stores it if the value on the
server is still the one that was read. So the rules of quota and breaker exist once, in Python, and
the script knows none of them. All times are the server's, so the clocks of machines may differ.
Often the server still holds the value that this process wrote last. Then the read is skipped, and
the script verifies value and time.

Each value is read with the id of the server that holds it (`origin`). After a failover another
server does, and the newest changes may be missing there: the rate limiter then begins as if its
quota had just been spent.

If an answer is lost, it is unknown whether the swap took place. A repeated swap costs at most one
slot of the quota.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeVar

from pydantic import SecretStr

from kis_assets.errors import ServiceUnavailable
from kis_assets.settings import SettingsError
from kis_assets.state.redis_address import Address
from kis_assets.state.sqlite import Change

T = TypeVar("T")

PREFIX = "kis_assets:"
KEEP = 7 * 86_400
"""Seconds after its last change until a value is deleted, and with it the known grant of KIS."""
TRIES = 1000
LEASE = 120
"""Longest time of a token's lock in seconds: longer than a token request can take."""
WAIT = 3.0
"""The server must answer within these seconds."""
STALE = 0.002
"""Seconds by which an estimated time may be behind the server's time."""

_HERE = """
local now = redis.call('TIME')
local told = redis.pcall('INFO', 'server')
local here = type(told) == 'string' and string.match(told, 'run_id:(%x+)') or ''
"""
_READ = (
    _HERE
    + """
return {1, redis.call('GET', KEYS[1]) or '', now[1], now[2], here}
"""
)
_SWAP = (
    _HERE
    + """
local value = redis.call('GET', KEYS[1]) or ''
local late = ARGV[4] == '' and 0 or now[1] + now[2] / 1000000 - ARGV[4]
if value ~= ARGV[1] or here ~= ARGV[6] or late < 0 or late > tonumber(ARGV[5]) then
    return {0, value, now[1], now[2], here}
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return {1, value, now[1], now[2], here}
"""
)


class Found(NamedTuple):
    """A server's answer: its time and its id, and the value that it holds, empty if there is none.

    `is_done` says whether a swap took place; then the value is the earlier one.
    """

    is_done: bool
    value: bytes
    now: float
    origin: str


class Redis:
    """A connection to the server, its scripts and its time. Thread-safe; never shows the password.

    Raises:
        SettingsError: the package `redis` is not installed.
    """

    def __init__(self, url: SecretStr) -> None:
        try:
            import redis
            from redis.backoff import ConstantBackoff
            from redis.retry import Retry
        except ImportError:
            raise SettingsError(
                "REDIS_URL is set and the package redis is missing: "
                "pip install 'redis>=8.1', or unset REDIS_URL"
            ) from None
        self._errors: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        self._address = Address(url)
        self.where = self._address.where
        self.client: Any = self._address.client(
            socket_timeout=WAIT,
            socket_connect_timeout=WAIT,
            health_check_interval=30,
            retry=Retry(ConstantBackoff(0.05), 1),
        )
        self._read = self.client.register_script(_READ)
        self._swap = self.client.register_script(_SWAP)
        self._ahead: float | None = None

    def __repr__(self) -> str:
        return f"Redis({self.where})"

    def read(self, key: str) -> Found:
        """The value of a key and the server's time."""
        with self.named_failures():
            return self._parsed(self._read(keys=[PREFIX + key]))

    def swap(self, key: str, old: Found, new: bytes, supposed: float | None = None) -> Found:
        """Replace what was found by `new`, if it is still there on the same server.

        If `supposed` is given, the server's time must not be earlier, nor later by more than STALE.
        """
        now = "" if supposed is None else f"{supposed:.6f}"
        with self.named_failures():
            return self._parsed(
                self._swap(keys=[PREFIX + key], args=[old.value, new, KEEP, now, STALE, old.origin])
            )

    def now(self) -> float:
        """The server's time, from this machine's monotonic clock and the measured offset."""
        if self._ahead is None:
            self.read("")
        return time.monotonic() + (self._ahead or 0.0)

    def lease(self, name: str, seconds: float) -> None:
        """Hold a name for this many seconds from now, by the server's clock."""
        with self.named_failures():
            self.client.set(f"{PREFIX}lease:{name}", b"", px=int(1000 * seconds))

    def is_leased(self, name: str) -> bool:
        """Whether somebody holds that name."""
        with self.named_failures():
            return bool(self.client.exists(f"{PREFIX}lease:{name}"))

    @contextmanager
    def named_failures(self) -> Generator[None]:
        """Turn every failure of the server or the network into a ServiceUnavailable."""
        try:
            yield
        except self._errors as error:
            raise ServiceUnavailable(
                f"the Redis server at {self.where} (REDIS_URL) cannot be used: "
                f"{self._address.reason(error)}",
                passing=True,
            ) from None

    def close(self) -> None:
        """Close the connections; the next command opens a new one."""
        with suppress(*self._errors):
            self.client.close()

    def _parsed(self, answer: list[Any]) -> Found:
        is_done, value, seconds, microseconds, origin = answer
        now = int(seconds) + int(microseconds) / 1e6
        self._ahead = now - time.monotonic()
        return Found(bool(is_done), value, now, origin.decode())


class RedisState:
    """Shared values on a Redis server; see `sqlite.State`."""

    def __init__(self, redis: Redis, prefix: str = "") -> None:
        """`prefix` keeps what a simulator is asked apart from what KIS is."""
        self._redis, self._prefix = redis, prefix
        # Threads that take turns need not try again because of each other.
        self._turn = threading.Lock()
        self._written: dict[str, Found] = {}
        self.origin = ""

    def update(self, key: str, change: Change[T], clock: Callable[[], float]) -> T:
        """See `sqlite.State.update`; the time is the server's, whatever `clock` says."""
        del clock
        key = self._prefix + key
        with self._turn:
            supposed: float | None = None
            if found := self._written.pop(key, None):
                supposed = self._redis.now()
                found = found._replace(now=supposed)
            else:
                found = self._redis.read(key)
            for _ in range(TRIES):
                self.origin = found.origin
                new, result = change(found.value or None, found.now)
                if new is not None and new != found.value:
                    found = self._redis.swap(key, found, new, supposed)
                    if found.is_done:
                        self._written[key] = found._replace(value=new)
                        return result
                elif supposed is None:
                    return result
                else:
                    # Another process may have changed it since.
                    found = self._redis.read(key)
                supposed = None
        raise ServiceUnavailable(
            f"other processes are always faster at {self._redis.where} (REDIS_URL)", passing=True
        )

    def close(self) -> None:
        """See `sqlite.State.close`."""
        self._redis.close()


class RedisVault:
    """The store of one app key's token on a Redis server; see `vault.Vault`."""

    def __init__(self, redis: Redis, name: str, *, bare: str) -> None:
        """`bare` is the name under which earlier versions stored the token unencrypted."""
        self._redis = redis
        self._key = f"{PREFIX}token:{name}"
        self._bare = f"{PREFIX}token:{bare}"

    @contextmanager
    def locked(self, timeout: float) -> Generator[None]:
        """Hold the lock, which expires if this process is killed.

        Its rule also holds without the lock: no process requests a token within a minute of
        `asked_at`.
        """
        lock = self._redis.client.lock(f"{self._key}:lock", timeout=LEASE, blocking_timeout=timeout)
        with self._redis.named_failures():
            is_held = lock.acquire()
            self._redis.client.delete(self._bare)
        if not is_held:
            raise ServiceUnavailable("another process has been renewing the token for too long")
        try:
            yield
        finally:
            with suppress(ServiceUnavailable), self._redis.named_failures():
                lock.release()

    def read(self) -> bytes:
        """The content that was written last; empty if there is none."""
        with self._redis.named_failures():
            return self._redis.client.get(self._key) or b""

    def write(self, content: bytes, lasts: float) -> None:
        """Store `content` for `lasts` seconds."""
        with self._redis.named_failures():
            self._redis.client.set(self._key, content, px=max(1, int(1000 * lasts)))
