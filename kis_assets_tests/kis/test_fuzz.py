"""Whatever a server says, every decoder gives an answer or an error of the tree, and forgets it.

Quick by default. `FUZZ_SECONDS=3600 pytest -m slow kis_assets_tests/test_fuzz.py` takes an hour.
"""

from __future__ import annotations

import gc
import itertools
import os
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kis_assets.errors import KISError
from kis_assets_tests.support.fuzzing import PIECES, TARGETS, spoilt

SECONDS = float(os.environ.get("FUZZ_SECONDS", "120"))
GROWTH = 40.0
"""Megabytes by which the process may grow once every decoder has worked: what Python and Polars
keep for themselves."""


def fuzz(name: str, examples: int, *, derandomize: bool) -> None:
    """Give a decoder spoilt input; what it raises outside of the tree is raised."""
    target = TARGETS[name]

    @settings(
        max_examples=examples,
        derandomize=derandomize,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**32), st.lists(PIECES, min_size=1, max_size=6))
    def read(seed: int, pieces: list[str]) -> None:
        with suppress(KISError):
            target.read(spoilt(target, Random(seed), pieces))

    read()


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_right_is_read(name: str) -> None:
    """Else nothing would be spoilt."""
    target = TARGETS[name]
    if name == "a refusal":
        with pytest.raises(KISError, match="EGW00201"):
            target.read(target.valid())
    else:
        target.read(target.valid())


@pytest.mark.parametrize("name", TARGETS)
def test_no_decoder_raises_an_error_of_its_own(name: str) -> None:
    fuzz(name, 25, derandomize=True)


def resident() -> float:
    """Megabytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is not told here")
def test_for_as_long_as_it_is_told_to_and_memory_stays_flat() -> None:
    ends = time.monotonic() + SECONDS
    begun, rounds = 0.0, 0
    for rounds, name in enumerate(itertools.cycle(TARGETS)):
        if rounds == 2 * len(TARGETS) or not begun:
            gc.collect()
            begun = resident()
        if time.monotonic() > ends:
            break
        fuzz(name, 200, derandomize=False)
    gc.collect()
    grown = resident() - begun
    assert grown < GROWTH, f"by {grown:.0f} of {begun:.0f} MB in {rounds} rounds"
