"""Seals: proof that a small record is whole and in its place, for records whose name is not their hash.

A sealed record is its bytes, a line break, and the SHA-256 of its name, a line break and its bytes. So a flipped bit, a cut end, and the bytes of
another record are all noticed. It keeps out accidents, not forgers: who may write to the store can seal.
"""

from __future__ import annotations

from tidemill.model.versions import digest

_DIGITS = 64


def seal(name: str, data: bytes) -> bytes:
    """The bytes to store under a name."""
    return data + b"\n" + _seal(name, data)


def unseal(name: str, stored: bytes) -> bytes | None:
    """What was sealed under this name; None if the stored bytes are damaged, or another record's."""
    data, found = stored[: -_DIGITS - 1], stored[-_DIGITS - 1 :]
    return data if found == b"\n" + _seal(name, data) else None


def _seal(name: str, data: bytes) -> bytes:
    return digest(name.encode() + b"\n" + data).encode()
