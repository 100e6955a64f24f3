"""The cache on a Redis server; see `cache`."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from kis_assets.state.cache import KEEP, Old, Statistics
from kis_assets.state.redis import Redis


class RedisStore:
    """Values on a Redis server, which expire by its clock."""

    def __init__(self, redis: Redis, namespace: str = "") -> None:
        self._redis = redis
        self._client: Any = redis.client
        self._prefix = f"kis_assets:cache:{namespace}"
        self._claims = f"kis_assets:cache-claim:{namespace}"
        self._counted = "kis_assets:cache-counted"

    def get(self, key: str) -> bytes | None:
        """See `Store.get`."""
        found = self._found(key)
        if found is None:
            return None
        value, stored_at, expires_at = found
        return value if stored_at - 1 <= self._redis.now() < expires_at else None

    def get_stale(self, key: str) -> Old | None:
        """See `Store.get_stale`."""
        found = self._found(key)
        return None if found is None else Old(found[0], max(0.0, self._redis.now() - found[1]))

    def set(self, values: Mapping[str, bytes], ttl: float) -> None:
        """See `Store.set`."""
        if ttl <= 0 or not values:
            return
        now = self._redis.now()
        head = struct.pack(">dd", now, now + ttl)
        with self._redis.named_failures(), self._client.pipeline(transaction=False) as pipeline:
            for key, value in values.items():
                pipeline.set(self._prefix + key, head + value, ex=int(ttl + KEEP))
            pipeline.execute()

    def delete_match(self, pattern: str) -> int:
        """See `Store.delete_match`."""
        with self._redis.named_failures():
            keys = list(self._client.scan_iter(match=self._prefix + pattern, count=1000))
            return self._client.unlink(*keys) if keys else 0

    def claim(self, keys: Collection[str], owner: str, seconds: float) -> list[str]:
        """See `Store.claim`."""
        with self._redis.named_failures(), self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.set(self._claims + key, owner, nx=True, px=int(1000 * seconds))
            is_mine = pipeline.execute()
        return [key for key, mine in zip(keys, is_mine, strict=True) if mine]

    def release(self, keys: Collection[str], owner: str) -> None:
        """See `Store.release`."""
        names = [self._claims + key for key in keys]
        with self._redis.named_failures():
            # Another process may have claimed an expired claim in between: it costs one more
            # request.
            owners = self._client.mget(names)
            mine = [name for name, it in zip(names, owners, strict=True) if it == owner.encode()]
            if mine:
                self._client.delete(*mine)

    def count(self, hits: int, misses: int) -> None:
        """See `Store.count`."""
        with self._redis.named_failures(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.hincrby(self._counted, "hits", hits)
            pipeline.hincrby(self._counted, "misses", misses)
            pipeline.execute()

    def statistics(self) -> Statistics:
        """See `Statistics`."""
        with self._redis.named_failures():
            counted = {
                name.decode(): int(count)
                for name, count in self._client.hgetall(self._counted).items()
            }
            entries = size = 0
            for keys in _thousands(self._client.scan_iter(match=f"{self._prefix}*", count=1000)):
                with self._client.pipeline(transaction=False) as pipeline:
                    for key in keys:
                        pipeline.strlen(key)
                    size += sum(pipeline.execute())
                entries += len(keys)
        return Statistics(counted.get("hits", 0), counted.get("misses", 0), entries, size)

    def close(self) -> None:
        """See `Store.close`."""
        self._redis.close()

    def _found(self, key: str) -> tuple[bytes, float, float] | None:
        with self._redis.named_failures():
            whole = self._client.get(self._prefix + key)
        if whole is None or len(whole) < 16:
            return None
        return whole[16:], *struct.unpack(">dd", whole[:16])


def _thousands(keys: Iterator[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for key in keys:
        batch.append(key)
        if len(batch) == 1000:
            yield batch
            batch = []
    if batch:
        yield batch
