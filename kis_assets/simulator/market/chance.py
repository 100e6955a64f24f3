"""Repeatable random numbers: a seed gives the same market on any machine. No market facts.

`hash()` differs between processes, and seeding a `random.Random` takes ten microseconds. So single
numbers come from an integer mixer, and only whole series from a `Random`.
"""

from __future__ import annotations

from hashlib import blake2b
from random import Random

_MASK = (1 << 64) - 1


def key_of(*parts: object) -> int:
    """A 64-bit key for a few printable parts."""
    text = "|".join(map(str, parts)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


def mix(key: int, stream: int, index: int = 0) -> int:
    """A 64-bit number for a key, a stream and an index (splitmix64)."""
    x = (key + stream * 0x9E3779B97F4A7C15 + index * 0xD1B54A32D192ED03) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def unit(key: int, stream: int, index: int = 0) -> float:
    """A number in [0, 1)."""
    return (mix(key, stream, index) >> 11) / (1 << 53)


def random_for(key: int, stream: int, index: int = 0) -> Random:
    """A seeded generator for a series of draws."""
    return Random(mix(key, stream, index))
