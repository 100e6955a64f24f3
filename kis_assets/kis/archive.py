"""Unpacks a file of a downloaded zip archive, up to a size limit."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from kis_assets.errors import UnexpectedAnswer

LONGEST = 32 * 2**20
"""Most bytes of an unpacked file; KIS's longest file has about one million."""
_MEMBERS = 10
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The compression methods that Python unpacks with a size limit."""
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(KeyError, EOFError, OSError, ValueError, RuntimeError),
)


def unpacked(content: bytes, name: str, what: str) -> bytes:
    """The file of that name. Its size is checked while reading: headers may be wrong.

    Raises:
        UnexpectedAnswer: no archive, damaged, without this file, or too long; it names `what`.
    """
    try:
        # Check before opening: each of a hundred thousand members would become an object.
        if content.count(b"PK\x01\x02") > _MEMBERS:
            raise ValueError(f"it holds more than {_MEMBERS} files")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            member = archive.getinfo(name)
            if member.compress_type not in _METHODS:
                raise ValueError("its compression method is not supported")
            with archive.open(member) as file:
                found = file.read(LONGEST + 1)
    except _BROKEN as error:
        raise UnexpectedAnswer(f"{what} cannot be unpacked: {str(error)[:200]}") from None
    if len(found) > LONGEST:
        raise UnexpectedAnswer(f"{what} has more than {LONGEST:,} bytes")
    return found
