"""What was measured of columns, on record: create-only under a name that is the hash of what it was measured from, so that it is measured once.

That is the code, its parameters, and the columns of everything that it reads: another version of an input with the same columns need not be measured
again. `columns/<2 hex>/<hash>/<rows>` is small, never collected, and nothing depends on it but explanations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from tidemill.model.facts import Column, JsonScalar
from tidemill.model.versions import canonical, digest
from tidemill.storage.base import BlobStore
from tidemill.storage.conditional import put_once
from tidemill.storage.sealed import seal, unseal

FOLDER = "columns"

RecordT = TypeVar("RecordT", bound=msgspec.Struct)


class Measurements:
    """The record of measurements in a store: of equal things, the one on the largest sample counts."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store

    def find(self, key: str, kind: type[RecordT]) -> tuple[int, RecordT] | None:
        """The rows that were asked for and what was measured with them; None if nothing was, or it cannot be read any more."""
        names = sorted(self._store.names(f"{_folder(key)}/"))
        found = self._store.get(names[-1]) if names else None
        if found is None:
            return None
        data = unseal(names[-1], found.data)
        try:
            return None if data is None else (int(names[-1].rpartition("/")[2]), msgspec.json.decode(data, type=kind))
        except (msgspec.ValidationError, msgspec.DecodeError, ValueError):
            return None

    def record(self, key: str, rows: int, measurement: msgspec.Struct) -> None:
        """Puts a measurement on record, unless there is one with as many rows: the first one stays.

        Raises:
            StoreUnavailable: call again.
        """
        name = f"{_folder(key)}/{rows:09d}"
        put_once(self._store, name, seal(name, canonical(measurement)))


def measurement_key(code_version: str, parameters: Mapping[str, JsonScalar], inputs: Mapping[str, Sequence[Column]]) -> str:
    """The hash of what a measurement follows from.

    Args:
        code_version: the asset's.
        parameters: those that the code runs with.
        inputs: columns by input name; an external asset's, of which none are on record, are left out.
    """
    columns = {name: [[each.name, each.type] for each in found] for name, found in inputs.items()}
    return digest(canonical(["columns/1", code_version, dict(parameters), columns]))


def _folder(key: str) -> str:
    return f"{FOLDER}/{key[:2]}/{key}"
