"""What a node has read of references, as its record holds it: names and digests.

A value that was read as a whole is `name: digest`. Of a source, whose parts are read by operations, it is
`name :: operation: digest.part`, with the digest of the whole source and that of what the operation gave.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["OPERATION", "coarse", "name_read", "parts_of"]

#: Between a name and an operation.
OPERATION = " :: "


def name_read(key: str, value: str) -> str:
    """The name of the reference in a record."""
    return key.partition(OPERATION)[0] if "." in value else key


def parts_of(value: str) -> tuple[str, str]:
    """The digest of the whole reference, and that of the part that was read, "" for the whole."""
    whole, _, part = value.partition(".")
    return whole, part


def coarse(reads: Mapping[str, str]) -> dict[str, str]:
    """The reads without operations, which may hold texts: each reference as if it had been read as a whole."""
    return {name_read(key, value): parts_of(value)[0] for key, value in reads.items()}
