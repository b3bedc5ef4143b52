"""Versions: canonical bytes and the hashes over them.

One encoding for everything that is hashed: JSON with sorted keys, no white space, UTF-8. Two values are the same version exactly when
their canonical bytes are equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tidemill.model.facts import JsonScalar

_encoder = msgspec.json.Encoder(order="sorted")


def canonical(value: Any) -> bytes:
    """The canonical JSON bytes of a struct or JSON value."""
    return _encoder.encode(value)


def digest(data: bytes) -> str:
    """SHA-256 as 64 lower-case hex digits: the address of an object."""
    return hashlib.sha256(data).hexdigest()


def fingerprint(
    code_version: str, parameters: Mapping[str, JsonScalar], inputs: Iterable[tuple[str, str, str]], *, partition: str = ""
) -> str:
    """Hash of everything a unit is made from: equal fingerprints mean equal results, so nothing needs to run.

    Args:
        code_version: the asset's code version.
        parameters: the asset's declared parameters with the values of this run.
        inputs: (input name, partition, data version) of everything it reads, in the order in which it reads them; the partition is
            empty where the code cannot see it. Only content counts: which run made an input, or how its file is encoded, does not.
        partition: the unit's own partition if its code can see it, else empty: then equal inputs give equal results for every partition.
    """
    return digest(canonical(["fingerprint/1", code_version, dict(parameters), partition, list(inputs)]))
