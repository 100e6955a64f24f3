"""What is installed beside this project: pinned, with hashes, watched and licensed."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from hashlib import sha256
from importlib import metadata
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from kis_assets.charts.canvas import font_file
from kis_assets_tests import advisories, licences

ROOT = Path(__file__).parents[1]
FILES = [ROOT / name for name in advisories.FILES]
DESCRIBED: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS: dict[str, list[str]] = DESCRIBED["project"]["optional-dependencies"]
GROUPS: dict[str, list[str]] = DESCRIBED["dependency-groups"]
CLUSTERS = {"postgres", "celery", "k8s", "traces"}
"""Extras that one machine does not need, so `make run` does not install them."""
WANTED = {
    "constraints.txt": [
        *DESCRIBED["project"]["dependencies"],
        *DESCRIBED["build-system"]["requires"],
        *(it for name in EXTRAS.keys() - CLUSTERS for it in EXTRAS[name]),
    ],
    "constraints-more.txt": [
        it for name in GROUPS.keys() - {"scale", "image"} for it in GROUPS[name]
    ],
    "constraints-scale.txt": [
        *(it for group in EXTRAS.values() for it in group),
        *GROUPS["scale"],
    ],
    "constraints-image.txt": [
        *DESCRIBED["project"]["dependencies"],
        *(it for name in (*CLUSTERS, "redis", "delta") for it in EXTRAS[name]),
        *GROUPS["image"],
    ],
}


def entries(file: Path) -> dict[str, tuple[str, list[str]]]:
    """The version and the hashes of each pin, by name."""
    found = re.findall(
        r"^([\w.-]+)==(\S+).*((?:\\\n +--hash=sha256:[0-9a-f]{64} ?)+)$",
        file.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return {
        canonicalize_name(name): (version, re.findall(r"sha256:(\w+)", hashes))
        for name, version, hashes in found
    }


@pytest.mark.parametrize("file", FILES, ids=lambda it: it.name)
def test_every_pin_has_hashes_and_no_line_is_anything_else(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    pinned = entries(file)
    assert len(pinned) == sum(not line.startswith((" ", "#")) for line in lines) > 20
    assert all(hashes and len(hashes) == len(set(hashes)) for _, hashes in pinned.values())
    # No address: pip and uv ask whatever index they are told to.
    assert not [line for line in lines if "://" in line or line.startswith("-")]


@pytest.mark.parametrize("file", FILES, ids=lambda it: it.name)
def test_what_is_asked_for_is_what_is_pinned(file: Path) -> None:
    pinned = entries(file)
    for text in WANTED[file.name]:
        wanted = Requirement(text)
        version, _ = pinned[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(version), f"{text}: make pins"


@pytest.mark.parametrize(("one", "other"), list(combinations(FILES, 2)))
def test_two_files_pin_the_same(one: Path, other: Path) -> None:
    first, second = entries(one), entries(other)
    common = first.keys() & second.keys()
    assert {name: first[name] for name in common} == {name: second[name] for name in common}


def test_what_builds_this_package_is_pinned() -> None:
    for text in DESCRIBED["build-system"]["requires"]:
        assert re.fullmatch(r"[\w-]+==[\d.]+", text), text


def test_make_installs_nothing_without_its_hash() -> None:
    made = (ROOT / "Makefile").read_text(encoding="utf-8")
    installs = re.findall(r"@\$\(INSTALL\) (.*)", made)
    assert len(installs) == 4
    for words in installs:
        assert "--require-hashes" in words or words == "--no-deps --no-build-isolation -e ."


# Advisories

VULNERABLE = {"id": "PYSEC-2026-1", "fix_versions": ["9.9"], "aliases": [], "description": ""}


def audit(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], is_installed: bool = True
) -> list[tuple[str, int]]:
    """pip-audit, whose sources say this: None where a source is out of reach, else per pin."""
    asked: list[tuple[str, int]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        source, file = command[command.index("-s") + 1], Path(command[-1])
        names = [line.partition("==")[0] for line in file.read_text().splitlines()]
        asked.append((source, len(names)))
        if answers[source] is None:
            return subprocess.CompletedProcess(command, 1, "", "ConnectionError")
        found = [{"name": name, **answers[source](name)} for name in names]
        status = int(any(it.get("vulns") for it in found))
        return subprocess.CompletedProcess(command, status, json.dumps({"dependencies": found}))

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: is_installed or None)
    return asked


def fine(_: str) -> dict[str, Any]:
    return {"vulns": []}


def unknown(_: str) -> dict[str, Any]:
    return {"skip_reason": "Dependency not found on PyPI"}


def test_nothing_known_of_any_pin_is_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = audit(monkeypatch, {"pypi": fine})
    assert advisories.main() == 0
    everything = len(advisories.pins(*FILES))
    assert asked == [("pypi", 1), ("pypi", everything - 1)]
    assert "NOT CHECKED" not in capsys.readouterr().out


def test_an_advisory_is_named_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def one(name: str) -> dict[str, Any]:
        return {"vulns": [VULNERABLE] if name == "httpx" else []}

    audit(monkeypatch, {"pypi": one})
    assert advisories.main() == 1
    assert re.search(r"httpx==\S+: PYSEC-2026-1, fixed in 9\.9", capsys.readouterr().out)


@pytest.mark.parametrize("pypi", [None, unknown], ids=["out of reach", "knows none"])
def test_no_source_is_said_and_is_a_status_of_its_own(
    pypi: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """pip-audit itself ends with 0 where an index answers "not found" for each pin."""
    asked = audit(monkeypatch, {"pypi": pypi, "osv": None})
    assert advisories.main() == 3
    assert asked == [("pypi", 1), ("osv", 1)]
    assert "NOT CHECKED, no source could be asked" in capsys.readouterr().out


def test_what_the_first_source_does_not_know_the_second_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def most(name: str) -> dict[str, Any]:
        return unknown(name) if name == "httpx" else fine(name)

    asked = audit(monkeypatch, {"pypi": most, "osv": fine})
    assert advisories.main() == 0
    assert asked[-1][0] == "osv"


def test_without_pip_audit_nothing_is_said_to_be_well(monkeypatch: pytest.MonkeyPatch) -> None:
    audit(monkeypatch, {}, is_installed=False)
    assert advisories.main() == 2


# Licences


def test_the_page_of_licences_names_what_a_run_needs() -> None:
    page = licences.PAGE.read_text(encoding="utf-8")
    pinned = entries(FILES[0])
    for name in licences.needed():
        version, _ = pinned[name]
        row = re.search(rf"^\| {re.escape(name)} \| {re.escape(version)} \| (.+) \|$", page, re.M)
        assert row, f"{name} {version}: python -m kis_assets_tests.licences"
        if metadata.version(name) == version:
            assert row[1] == licences.licence(name) != ""


def test_the_licence_of_the_font_is_shipped_with_it() -> None:
    """Of the file that pictures are drawn with: its package has no text of the font's licence."""
    known = "48a28e97b34fc8e5b157657633670cd1b7de126cfc414da65ce9c3d5bc8be733"
    assert sha256(font_file().read_bytes()).hexdigest() == known, "another font: its licence too"
    text = (ROOT / "docs" / "NanumGothic-OFL.txt").read_text(encoding="utf-8")
    assert "SIL OPEN FONT LICENSE" in text
    assert "NanumGothic" in text
    assert "docs/NanumGothic-OFL.txt" in DESCRIBED["project"]["license-files"]
