"""Facts: immutable records of what was computed or seen. They rest in storage for ever, so their tags are versioned.

A materialization holds no clock, host or attempt number: run the same unit of the same run again, after a crash or on another machine, and
the same bytes come out. When and how long is told by the run's result, who and why by the snapshot that committed it.
"""

from __future__ import annotations

import msgspec

from tidemill.model.keys import UnitKey, asset_key, partition_key

JsonScalar = str | int | float | bool | None


class DataFile(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file of a materialization, stored as `objects/<sha256>`."""

    sha256: str
    size_bytes: int
    row_count: int


class Column(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One top-level column: its Arrow type and what is known of its values."""

    name: str
    type: str
    nullable: bool = True
    null_count: int = 0
    minimum: JsonScalar = None
    """Smallest value as JSON (instants as RFC 3339 text); None if the type has no order or every value is null."""
    maximum: JsonScalar = None


class InputVersion(msgspec.Struct, frozen=True, kw_only=True):
    """Exactly which version of which unit was read, under which input name."""

    name: str
    """The input's name in the asset function."""
    asset: str
    partition: str
    data_version: str
    record: str
    """Hash of the materialization or observation record."""


class Materialization(msgspec.Struct, frozen=True, kw_only=True, tag="materialization/1"):
    """The fact that a unit was computed and stored."""

    asset: str
    partition: str
    data_version: str
    """Hash of the logical Arrow content: other encodings of equal data have the same one."""
    fingerprint: str
    """What it was made from: see `versions.fingerprint`."""
    code_version: str
    parameters: dict[str, JsonScalar]
    inputs: tuple[InputVersion, ...]
    files: tuple[DataFile, ...]
    """In row order; never empty (an empty table is one file without rows)."""
    columns: tuple[Column, ...]
    row_count: int
    size_bytes: int
    run_id: str
    """The run that computed it; a run that reuses it leaves it as it is."""
    metadata: dict[str, JsonScalar] = {}
    """What the asset function reported about its result."""

    @property
    def unit(self) -> UnitKey:
        """The unit it is a version of."""
        return UnitKey(asset_key(self.asset), partition_key(self.partition))


class Observation(msgspec.Struct, frozen=True, kw_only=True, tag="observation/1"):
    """The fact that a unit of an external asset was seen in some version."""

    asset: str
    partition: str
    data_version: str


Record = Materialization | Observation


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the catalog maps a unit to: enough to plan without reading the record."""

    record: str
    """Hash of the `Record` object."""
    data_version: str
    fingerprint: str = ""
    """Empty for an observation."""
