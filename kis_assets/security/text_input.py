"""Text that people write: `.env`, lists of codes, paths, names. Read as it is meant.

Windows' Notepad saves with a byte order mark or in cp949, macOS gives names in another normal form
than everybody else, and a shell expands `~` only where it stands alone.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import stat
from pathlib import Path
from unicodedata import normalize

from kis_assets.security.ownership import is_own, whose

_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of what follows."""
_PATTERNS = set("*?[\\")
_DESCRIBED = ("workspace.yaml", "pyproject.toml")
_OURS = re.compile(r"kis[-_]assets|^\s*(?:export\s+)?(?:KIS_|KRX_|DATA_SOURCE_TYPE)", re.MULTILINE)
_LARGEST = 2**20
"""Bytes of a text that somebody wrote."""
_MARKED = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def text_of(path: Path) -> str:
    """What a text file holds: UTF-8 with or without a mark, UTF-16 with one, or cp949.

    Raises:
        ValueError: it cannot be read, or is in another encoding; the message names neither.
    """
    try:
        there = path.stat()
        if stat.S_ISDIR(there.st_mode):
            raise ValueError("is a folder, not a file")
        if not stat.S_ISREG(there.st_mode) or there.st_size > _LARGEST:
            raise ValueError(f"is no plain file of at most {_LARGEST:,} bytes")
        content = path.read_bytes()
    except OSError as error:
        why = whose(path) if isinstance(error, PermissionError) else error.strerror
        raise ValueError(f"cannot be read: {why}") from None
    marked = [name for mark, name in _MARKED.items() if content.startswith(mark)]
    for encoding in marked or ("utf-8", "cp949"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    tried = (
        "UTF-16, as its mark says" if "utf-16" in marked else "UTF-8, cp949 or UTF-16 with a mark"
    )
    raise ValueError(f"is no text in {tried}: save it as UTF-8")


def variables_of(path: Path) -> dict[str, str]:
    """The variables of a file such as `.env`; none where there is no file.

    Raises:
        ValueError: it cannot be read, or a line is no assignment. That line's text is not told: it
            may be a part of a key.
    """
    # By hand: `kis-assets` loads as little as it can, and this needs no more than the text.
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    if not path.exists():
        return {}
    try:
        text = text_of(path)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None
    for line in parse_stream(io.StringIO(text)):
        # A comment is a line without a key; a key without a value may be the rest of another's.
        if line.error or (line.key is not None and line.value is None):
            number = line.original.line + _blank_lines(line.original.string)
            raise ValueError(f"{path}, line {number}, is no assignment such as KIS_VENUE=krx")
    # `${NAME}` stays as it is: a file of the current folder is to carry no other variable out.
    found = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {key: value or "" for key, value in found.items()}


def _blank_lines(text: str) -> int:
    """How many empty lines a statement begins with."""
    return text[: len(text) - len(text.lstrip())].count("\n")


def start_folder() -> Path:
    """Where `.env` lies and relative paths of settings begin.

    `KIS_FOLDER`, else the current folder, else the next folder above it that is one of this
    project and of this user alone (see `_is_project`). The processes of Dagster run elsewhere, so
    that Dagster reads no `.env` by itself.
    """
    if named := os.environ.get("KIS_FOLDER"):
        return Path(named).absolute()
    here = Path.cwd()
    if (here / ".env").exists():
        return here
    return next(filter(_is_project, (here, *here.parents)), here)


def _is_project(folder: Path) -> bool:
    """Whether a folder is where somebody uses this program: by `.env`, by a description, by rows.

    What others may write to could be anybody's: the folder, its `.env`, and what marks it.
    """
    try:
        file = folder / ".env"
        if not is_own(folder) or (file.exists() and not is_own(file)):
            return False
        for path in folder.glob("data/*/market.duckdb"):
            if path.is_file() and all(map(is_own, (path, *path.parents[:2]))):
                return True
        texts = (file, *(folder / name for name in _DESCRIBED))
        return any(path.exists() and is_own(path) and _OURS.search(text_of(path)) for path in texts)
    except (OSError, ValueError):
        return False


def expanded(path: Path | str, start: Path | None = None) -> Path:
    """The path from `start_folder`, with the home folder in the place of `~` or `~user`.

    Args:
        path: as somebody wrote it.
        start: where a relative one begins, where that is not `start_folder`.

    Raises:
        ValueError: nobody's home folder is known by that name.
    """
    try:
        found = Path(path).expanduser()
    except RuntimeError:
        raise ValueError("begins with ~ and a name, and no such user has a home folder") from None
    begin = start_folder() if start is None else start
    return found if begin == Path.cwd() else begin / found


def plain_folder(path: Path) -> Path:
    """The folder for rows, its `~` expanded.

    Raises:
        ValueError: DuckDB takes a letter of its path for a pattern, or for another.
    """
    folder = expanded(path)
    if wrong := _PATTERNS & set(folder.absolute().as_posix()):
        raise ValueError(
            f"{folder.absolute()} has a {wrong.pop()} in it, which DuckDB takes for a pattern: "
            "choose a data folder without *, ?, [ and \\ in its path"
        )
    return folder


def composed(name: object) -> str:
    """A code or a name as it is stored: Hangul in whole syllables (NFC), no blanks around it.

    Raises:
        TypeError: it is no text.
    """
    if not isinstance(name, str):
        raise TypeError(f'a code or a name is wanted as a text such as "005930", not {name!r}')
    return normalize("NFC", name).strip()


def visible(text: str) -> str:
    r"""The text with what steers a terminal written out, such as `\x1b`; lines and tabs stay."""
    return _STEERING.sub(lambda found: ascii(found[0])[1:-1], text)


def escaped(json: str) -> str:
    """JSON with the same written as JSON does: of itself it escapes but the oldest of those."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", json)
