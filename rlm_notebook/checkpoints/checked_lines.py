"""Lines of JSON that say whether they are whole: the last field of each is a checksum of the others."""

from __future__ import annotations

import zlib

__all__ = ["checked_body", "line_with_checksum"]


def line_with_checksum(body: bytes) -> bytes:
    """A JSON object as a line: its last field, "crc", is the CRC-32 of the object without that field."""
    return body[:-1] + _check(body) + b"\n"


def checked_body(line: bytes) -> bytes:
    """A line without its checksum, as JSON text. Raises `ValueError` for a torn or damaged line."""
    body = line[:-_CHECK_LENGTH] + b"}"
    if line[-_CHECK_LENGTH:] != _check(body):
        raise ValueError("its checksum is wrong")
    return body


def _check(body: bytes) -> bytes:
    """The "crc" field that ends a line, in place of the object's closing brace."""
    return b',"crc":"%08x"}' % zlib.crc32(body)


_CHECK_LENGTH = len(_check(b""))
