"""The docs site, of the pages as they are on GitHub.

    python -m kis_assets_tests.docs_site          # build/docs/site, strictly: any warning fails
    python -m kis_assets_tests.docs_site serve    # on http://127.0.0.1:8000, until Ctrl-C

README.md is its start page, README.ko.md the Korean one. Pages outside docs/ become pages of it as
well, and links are rewritten to match, so that every link works here and on GitHub. Nothing is
asked of another host. `DOCS_URL` in the environment tells the site its address.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from posixpath import relpath
from typing import Any

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "docs"
OUTSIDE = ("README.md", "README.ko.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
"""Pages outside docs/ that the site always has; it also has every file that a page links to."""
SITE = Path("docs/site")
"""The configuration, which is no page."""
ADDRESS = "127.0.0.1:8000"
LINK = re.compile(r'(\]\(|\b(?:src|srcset|href)=")(?![a-z]+:|#)([^)"#\s]+)')


def place(path: Path) -> str:
    """Where a file of the repository lies on the site."""
    if start := {"README.md": "index.md", "README.ko.md": "ko/index.md"}.get(path.as_posix()):
        return start
    name = path.relative_to("docs") if path.is_relative_to("docs") else path
    return (name / "index.md" if (ROOT / path).is_dir() else name).as_posix()


def stage(folder: Path) -> None:
    """Lay all pages and what they link to into `folder`, beside the configuration."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / SITE, folder)
    if url := os.environ.get("DOCS_URL"):
        settings = folder / "zensical.toml"
        known = settings.read_text(encoding="utf-8")
        settings.write_text(
            known.replace("[project]\n", f'[project]\nsite_url = "{url}"\n', 1), "utf-8"
        )
    inside = [it.relative_to(ROOT) for it in sorted((ROOT / "docs").rglob("*")) if it.is_file()]
    waiting = [*map(Path, OUTSIDE), *(it for it in inside if not it.is_relative_to(SITE))]
    done: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in done:
            continue
        done.add(path)
        target = folder / "docs" / place(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            text, linked = _moved(path, (ROOT / path).read_text(encoding="utf-8"))
            target.write_text(text, encoding="utf-8")
            waiting += linked
        elif (ROOT / path).is_dir():
            target.write_text(_listing(path), encoding="utf-8")
        else:
            shutil.copy(ROOT / path, target)


def _moved(page: Path, text: str) -> tuple[str, list[Path]]:
    """The page with its links as on the site, and what they lead to."""
    linked: list[Path] = []

    def follow(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(page.parent / match[2]))
        if not (ROOT / target).exists():
            return match[0]  # the strict build names it
        linked.append(target)
        return match[1] + relpath(place(target), Path(place(page)).parent.as_posix())

    return LINK.sub(follow, text), linked


def _listing(folder: Path) -> str:
    """The start page of a folder, which GitHub lists by itself."""
    pages = [
        (it.name, it.read_text(encoding="utf-8")) for it in sorted((ROOT / folder).glob("*.md"))
    ]
    rows = "".join(
        f"- [{text.partition(chr(10))[0].lstrip('# ')}]({name})\n" for name, text in pages
    )
    return f"# {folder.name.capitalize()}\n\n{rows}"


def run(*words: str, folder: Path = FOLDER, **how: Any) -> subprocess.CompletedProcess[str]:
    """Zensical in `folder`. It reads docstrings of this code, whatever else is installed."""
    # Beside this Python, not on the path: `make` puts nothing there.
    program = Path(sys.executable).with_name("zensical")
    given = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([str(program), *words], cwd=folder, env=given, text=True, **how)


def main() -> int:
    """The exit status: 0 when all pages were built without a warning, or served."""
    stage(FOLDER)
    if sys.argv[1:] == ["serve"]:
        with contextlib.suppress(KeyboardInterrupt):
            return run("serve", "--dev-addr", ADDRESS, check=False).returncode
        return 0
    return run("build", "--strict", check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
