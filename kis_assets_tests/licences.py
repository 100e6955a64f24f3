"""Makes the table of docs/licences.md anew from what is installed.

`python -m kis_assets_tests.licences` writes it; what stands above the table is left as it is.
"""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"
EXTRAS = ("redis", "delta", "mcp", "pandas")
TITLE = "## Packages\n"


def needed() -> list[str]:
    """The packages that a run needs on this machine, with the optional ones, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    left = [*project["dependencies"], *(it for extra in EXTRAS for it in optional[extra])]
    seen: set[tuple[str, str]] = set()
    while left:
        wanted = Requirement(left.pop())
        for extra in ("", *wanted.extras):
            key = (canonicalize_name(wanted.name), extra)
            if key in seen:
                continue
            seen.add(key)
            for text in metadata.requires(wanted.name) or ():
                marker = Requirement(text).marker
                if marker is None or marker.evaluate({"extra": extra}):
                    left.append(text)
    return sorted({name for name, _ in seen})


def licence(name: str) -> str:
    """What a package says of its licence."""
    said = metadata.metadata(name)
    classes = [it.split(" :: ")[-1] for it in said.get_all("Classifier", []) if "License ::" in it]
    short = (said.get("License") or "").strip()
    return said.get("License-Expression") or ", ".join(classes) or short.partition("\n")[0]


def page() -> str:
    """The page as it should be."""
    above = PAGE.read_text(encoding="utf-8").partition(TITLE)[0]
    rows = [f"| {name} | {metadata.version(name)} | {licence(name)} |" for name in needed()]
    return "\n".join(
        [above + TITLE, "| package | version | licence |", "| --- | --- | --- |", *rows, ""]
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
