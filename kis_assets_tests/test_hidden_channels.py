"""Nothing is handed on where nobody sees it: not by the environment, and not by an import."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import kis_assets

ROOT = Path(kis_assets.__file__).parent

WRITES = {
    "definitions.py load": "jemalloc reads its variable when Polars is loaded, and nothing else",
}
"""The functions that write to the environment, and why there is no other way."""
CHANGES = ("clear", "pop", "popitem", "setdefault", "update", "__setitem__", "__delitem__")


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in ROOT.rglob("*.py"):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def is_environment(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in ("environ", "environb")


def writes(node: ast.AST) -> bool:
    """Whether a statement or a call changes the environment."""
    if isinstance(node, ast.Assign | ast.Delete):
        targets: list[ast.expr] = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        called = node.func
        return called.attr in ("putenv", "unsetenv") or (
            called.attr in CHANGES and is_environment(called.value)
        )
    else:
        return (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and (any(it.name in ("environ", "environb", "putenv", "unsetenv") for it in node.names))
        )
    found = [it.value if isinstance(it, ast.Subscript) else it for it in targets]
    return any(map(is_environment, found))


def writers(tree: ast.Module) -> set[str]:
    """The outermost definitions that write to the environment; empty for the module itself."""
    return {
        getattr(part, "name", "") for part in tree.body for node in ast.walk(part) if writes(node)
    }


def test_the_environment_is_written_at_these_places_alone() -> None:
    found = {f"{name} {part}".strip() for name, tree in modules() for part in writers(tree)}
    assert found == WRITES.keys()


def test_the_finder_finds_every_way_to_write() -> None:
    ways = (
        *("os.environ['A'] = ''", "os.environ |= {}", "os.environ.update()", "del os.environ['A']"),
        *("os.environ.setdefault('A', '')", "os.putenv('A', '')", "from os import environ"),
        *("os.environ.pop('A')", "os.environ = {}"),
    )
    for way in ways:
        assert writers(ast.parse(f"def set_it():\n    {way}")) == {"set_it"}, way
    assert writers(ast.parse("found = os.environ | {}\nos.environ.get('A')\n")) == set()


def test_no_variable_of_a_context_hands_anything_on() -> None:
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                said = [getattr(node, "module", None), *(alias.name for alias in node.names)]
                assert "contextvars" not in said, name


def test_nothing_is_imported_for_what_its_import_does() -> None:
    """`import x as x` says to the linter that an import is meant though nothing uses it."""
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert not [it for it in node.names if it.asname == it.name], name


def test_definitions_are_imported_without_reading_a_setting() -> None:
    code = (
        "import os, sys; before = dict(os.environ); from kis_assets import definitions; "
        "assert os.environ == before; assert 'polars' not in sys.modules; definitions.defs"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | {"KIS_VENUE": "nowhere"},
        capture_output=True,
        text=True,
    )
    # The setting is wrong, which is told by the last statement alone.
    assert "AssertionError" not in done.stderr
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .startswith("kis_assets.settings.mistakes.SettingsError: KIS_VENUE")
    )
    assert "in load" in done.stderr
