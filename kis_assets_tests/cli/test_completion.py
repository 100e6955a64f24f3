"""Shells complete commands, options and tables: each shell itself is asked, where it is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kis_assets.tables import TABLES

BASH = """
eval "$(kis-assets --show-completion)"
COMP_WORDS=({words}) COMP_CWORD={place}
_kis_assets_completion kis-assets
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
ZSH = """
function compdef {{ }}
function _arguments {{ print -r -- "$@" }}
words=({words}) CURRENT=$(({place} + 1))
eval "$(kis-assets --show-completion)"
_kis_assets_completion
"""
SHELLS = {"bash": BASH, "zsh": ZSH}

WANTED: dict[str, set[str]] = {
    "kis-assets can": {"candles"},
    "kis-assets d": {"diff", "doctor"},
    "kis-assets quote --": {"--json", "--csv", "--to", "--columns", "--help"},
    "kis-assets candles --type w": {"weekly"},
    "kis-assets condition daily": {"daily_candles"},
    "kis-assets diff ''": set(TABLES),
}


@pytest.mark.slow
@pytest.mark.parametrize("typed", WANTED)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_what_is_typed(shell: str, typed: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    program = tmp_path / "bin" / "kis-assets"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom kis_assets.cli import main\nmain()\n")
    program.chmod(0o755)
    script = SHELLS[shell].format(words=typed, place=len(typed.split()) - 1)
    done = subprocess.run(
        [shell, *({"bash": ["--norc"], "zsh": ["-f"]}[shell]), "-c", script],
        env=os.environ | {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    words = done.stdout.split() if shell == "bash" else re.findall(r'"([\w-]+)"', done.stdout)
    found = set(words)
    assert found >= WANTED[typed], done.stdout + done.stderr
    beginning = typed.split()[-1].strip("'")
    assert shell == "zsh" or all(word.startswith(beginning) for word in found)
