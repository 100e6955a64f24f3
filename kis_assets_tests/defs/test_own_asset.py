"""An asset of one's own, as docs/architecture.md has it: files and commands as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kis_assets_tests.support.small_lake import build

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs" / "architecture.md"
_SECTION = DOCS.read_text(encoding="utf-8").partition("\n## An asset of your own\n")[2]
_SECTION = _SECTION.partition("\n## ")[0]
FILES = dict(re.findall(r"`(\w+\.\w+)`[^`]*:\n\n```\w+\n(.*?)```", _SECTION, re.DOTALL))
(SHELL,) = re.findall(r"```bash\n(.*?)```", _SECTION, re.DOTALL)
COMMANDS = [line.split() for line in SHELL.splitlines() if "dagster dev" not in line]


def test_it_loads_and_reads_what_is_stored(tmp_path: Path) -> None:
    assert set(FILES) == {"my_assets.py", "workspace.yaml"}
    assert len(COMMANDS) == 2
    build(tmp_path / "data")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    environment = os.environ | {"DATA_SOURCE_TYPE": "mock", "DAGSTER_HOME": str(tmp_path)}
    for program, *words in COMMANDS:
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
    assert "RUN_SUCCESS" in said
