"""The floors of the house: a folder imports from folders below it, and never from above."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kis_assets

ROOT = Path(kis_assets.__file__).parent

FLOORS = (
    {"exchange", "security"},  # rules of the market, and of what is trusted
    {"errors", "settings", "tables"},
    {"state"},  # what processes share
    {"transport"},  # HTTP, rate limiter, circuit breaker
    {"kis", "lake"},  # a protocol; Parquet and the catalog
    {"krx"},  # reads its fields as KIS's are read
    {"monitoring", "simulator", "charts"},
    {"sources", "report", "ticks"},
    {"defs"},  # Dagster's objects
    {"definitions"},
    {"execution", "market"},
    {"agents"},
    {"cli"},
)

AT_RUN_TIME = {
    # A job that runs assets: it imports what runs them when it runs.
    ("defs/candle_repair.py", "execution"),
}


def arrows() -> set[tuple[str, str, str]]:
    """Who imports what: the file, its room and the other room, imports in functions included."""
    modules = {path.relative_to(ROOT).with_suffix("").parts[0] for path in ROOT.rglob("*.py")}
    found: set[tuple[str, str, str]] = set()
    for path in ROOT.rglob("*.py"):
        name = path.relative_to(ROOT)
        room = name.with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            package, *parts = node.module.split(".")
            if package == "kis_assets":
                others = parts[:1] or [alias.name for alias in node.names]
                found |= {(name.as_posix(), room, it) for it in others if it in modules}
    return {arrow for arrow in found if arrow[1] not in (arrow[2], "__init__", "__main__")}


def test_every_room_has_its_floor() -> None:
    rooms = {path.relative_to(ROOT).with_suffix("").parts[0] for path in ROOT.rglob("*.py")}
    assert rooms - {"__init__", "__main__"} == set().union(*FLOORS)


def test_imports_point_down() -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    up = {(file, to) for file, room, to in arrows() if floor[to] >= floor[room]}
    # Rooms of one floor know nothing of each other.
    assert up == AT_RUN_TIME


def test_the_root_is_small() -> None:
    assert len(list(ROOT.glob("*.py"))) <= 7


def test_the_package_offers_what_programs_use_and_loads_it_when_it_is_asked_for() -> None:
    assert (ROOT / "py.typed").exists()
    for name in kis_assets.__all__:
        assert getattr(kis_assets, name).__name__ == name
    code = "import sys, kis_assets; print(*(it for it in sys.modules if 'kis_assets.' in it))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
    with pytest.raises(AttributeError, match="no attribute 'Quota'"):
        _ = kis_assets.Quota  # type: ignore[attr-defined]
