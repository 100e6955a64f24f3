"""What is tried again is told once."""

from __future__ import annotations

import logging

import pytest

from kis_assets.errors import KISError
from kis_assets.transport.retry import retrying
from kis_assets.transport.stats import Tally


def test_what_is_tried_again_and_again_is_told_once_and_in_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tries = []

    def attempt() -> str:
        tries.append(1)
        if len(tries) < 4:
            raise KISError("kospi_code.mst.zip: the server broke off", passing=True)
        return "an answer"

    with caplog.at_level(logging.INFO, "kis_assets.transport.retry"):
        assert retrying(attempt, "master file", Tally(), 3) == "an answer"
    said = [record.getMessage() for record in caplog.records]
    assert (len(tries), said) == (4, ["kospi_code.mst.zip: the server broke off; trying again"])
