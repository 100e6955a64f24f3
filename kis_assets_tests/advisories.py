"""Whether an advisory is known of anything that is pinned: `make advisories`.

pip-audit asks PyPI, and OSV where PyPI does not say. The exit status is 0 when nothing is known of
any pin, 1 when something is, 2 when pip-audit is not installed, and 3 when some pin could be held
against no source: that is no good news, and no bad news either.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FILES = (
    "constraints.txt",
    "constraints-more.txt",
    "constraints-scale.txt",
    "constraints-image.txt",
)
SOURCES = ("pypi", "osv")


def pins(*files: Path) -> list[str]:
    """What is pinned there, as `name==version`."""
    found = [re.findall(r"^[\w.-]+==[\w.+!-]+", file.read_text(), re.MULTILINE) for file in files]
    return sorted({pin for of_file in found for pin in of_file})


def asked(source: str, wanted: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """What the source knows of these pins: advisories by pin, without pins that it says nothing of.

    It is asked for one pin first: where it cannot be reached, that is one request and not hundreds.
    """
    wanted = list(wanted)
    found: dict[str, list[dict[str, Any]]] = {}
    for some in (wanted[:1], wanted[1:]):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "pins.txt")
            file.write_text("\n".join(some), encoding="utf-8")
            options = (
                "--no-deps",
                "--disable-pip",
                "--progress-spinner",
                "off",
                "--format",
                "json",
            )
            done = subprocess.run(
                [sys.executable, "-m", "pip_audit", "-s", source, *options, "-r", str(file)],
                capture_output=True,
                text=True,
                check=False,
            )
        try:
            answers = json.loads(done.stdout)["dependencies"]
        except ValueError:
            answers = []
        of_name = {pin.partition("==")[0]: pin for pin in some}
        known = {of_name[it["name"]]: it["vulns"] for it in answers if "vulns" in it}
        found |= known
        if not known:
            break
    return found


def main() -> int:
    """Ask, say what was found, and give the exit status."""
    if importlib.util.find_spec("pip_audit") is None:
        print("pip-audit is not installed: make advisories")  # noqa: T201
        return 2
    everything = pins(*(ROOT / name for name in FILES))
    found: dict[str, list[dict[str, Any]]] = {}
    for source in SOURCES:
        if left := [pin for pin in everything if pin not in found]:
            answers = asked(source, left)
            print(f"{source}: says something of {len(answers)} of {len(left)} pins")  # noqa: T201
            found |= answers
    for pin, advisories in found.items():
        for it in advisories:
            fixed = ", ".join(it["fix_versions"]) or "no version"
            print(f"{pin}: {it['id']}, fixed in {fixed}")  # noqa: T201
    left = [pin for pin in everything if pin not in found]
    if left:
        print(f"NOT CHECKED, no source could be asked: {len(left)} of {len(everything)} pins")  # noqa: T201
    return 1 if any(found.values()) else 3 if left else 0


if __name__ == "__main__":
    sys.exit(main())
