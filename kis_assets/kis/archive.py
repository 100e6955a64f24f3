"""A file out of a downloaded zip archive, unpacked up to a bound; of any kind."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from kis_assets.errors import UnexpectedAnswer

LONGEST = 32 * 2**20
"""Bytes of a file, unpacked; the longest of KIS's has about one million."""
_MEMBERS = 10
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Python unpacks what others have packed without a bound."""
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(KeyError, EOFError, OSError, ValueError, RuntimeError),
)


def unpacked(content: bytes, name: str, what: str) -> bytes:
    """The file of that name. How long it is shows while it is read: its headers may lie.

    Raises:
        UnexpectedAnswer: no archive, damaged, without that file, or too long; it names `what`.
    """
    try:
        # Before it is opened: each of a hundred thousand members would become an object.
        if content.count(b"PK\x01\x02") > _MEMBERS:
            raise ValueError(f"it holds more than {_MEMBERS} files")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            member = archive.getinfo(name)
            if member.compress_type not in _METHODS:
                raise ValueError("it is packed in a way that is not known of it")
            with archive.open(member) as file:
                found = file.read(LONGEST + 1)
    except _BROKEN as error:
        raise UnexpectedAnswer(f"{what} cannot be unpacked: {str(error)[:200]}") from None
    if len(found) > LONGEST:
        raise UnexpectedAnswer(f"{what} has more than {LONGEST:,} bytes")
    return found
