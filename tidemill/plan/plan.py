"""The plan: what a run will do, as a value. Built once, stored as an object, then only read.

Units stand in topological order, so every unit comes after the units it reads, and the plan can be walked front to back in slices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Protocol

import msgspec

from tidemill.model.facts import Entry, JsonScalar
from tidemill.model.keys import UnitKey, asset_key, partition_key
from tidemill.model.versions import canonical, digest, fingerprint


class Action(StrEnum):
    """What the plan says of a unit."""

    RUN = "run"  # its code, parameters or a known input changed, or it was never materialized
    WAIT = "wait"  # an input runs first; it then runs, or is cut off because the input's content did not change
    REUSE = "reuse"  # up to date: nothing to do
    BLOCKED = "blocked"  # an input has no version and is not part of the plan


class PlannedAsset(msgspec.Struct, frozen=True, kw_only=True):
    """What all units of one asset share."""

    key: str
    code_version: str
    parameters: dict[str, JsonScalar]
    reads_partition: bool
    """Whether its code can see which partition it makes, so that the partition is part of the fingerprint."""
    mapping_inputs: tuple[str, ...] = ()
    """Inputs that arrive as a mapping by partition, so that their partition keys are part of the fingerprint."""


class PinnedInput(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An input that the run does not make: one exact version of it."""

    name: str
    asset: str
    partition: str
    data_version: str
    record: str
    order: int = 0
    """Its place among all inputs of the unit: where its rows stand if several partitions become one table."""


class UnitInput(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An input that another unit of the plan makes (or keeps)."""

    name: str
    unit: int
    """Its position in `Plan.units`."""
    order: int
    """Its place among all inputs of the unit."""


class PlannedUnit(msgspec.Struct, frozen=True, array_like=True):
    """One asset partition and what is to be done with it."""

    asset: int
    """Position in `Plan.assets`."""
    partition: str
    action: Action
    reason: str
    """Why, as one phrase without a full stop."""
    inputs: tuple[UnitInput, ...]
    pinned: tuple[PinnedInput, ...]
    current: Entry | None
    """What the catalog held at `Plan.base`; None if the unit was never materialized."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, tag="plan/1"):
    """An ordered plan, content-addressed by its canonical bytes."""

    selection: str
    partitions: str
    branch: str
    base: int
    """Number of the catalog log entry the plan was made against."""
    snapshot: str
    """Hash of that snapshot; empty for an empty catalog."""
    rerun: bool
    """Run units even if nothing they are made from has changed."""
    assets: tuple[PlannedAsset, ...]
    units: tuple[PlannedUnit, ...]
    observations: tuple[PinnedInput, ...]
    """Versions of external units seen while planning; the run commits them with its results. `name` is empty."""

    def to_bytes(self) -> bytes:
        """The canonical bytes: equal plans have equal bytes."""
        return canonical(self)

    @property
    def id(self) -> str:
        """The plan's address."""
        return digest(self.to_bytes())

    def key(self, position: int) -> UnitKey:
        """The unit at a position."""
        unit = self.units[position]
        return UnitKey(asset_key(self.assets[unit.asset].key), partition_key(unit.partition))

    def counts(self) -> dict[str, int]:
        """Number of units by action, every action present."""
        counts = {action.value: 0 for action in Action}
        for unit in self.units:
            counts[unit.action] += 1
        return counts


_decoder = msgspec.json.Decoder(Plan)


def plan_from_bytes(data: bytes) -> Plan:
    """The inverse of `Plan.to_bytes`."""
    return _decoder.decode(data)


class Fingerprinted(Protocol):
    """What of an asset goes into the fingerprints of its units."""

    @property
    def code_version(self) -> str: ...  # noqa: D102
    @property
    def parameters(self) -> Mapping[str, JsonScalar]: ...  # noqa: D102
    @property
    def reads_partition(self) -> bool: ...  # noqa: D102
    @property
    def mapping_inputs(self) -> tuple[str, ...]: ...  # noqa: D102


def unit_fingerprint(asset: Fingerprinted, partition: str, inputs: Iterable[PinnedInput]) -> str:
    """The fingerprint of one unit: see `versions.fingerprint`.

    Args:
        asset: its asset.
        partition: its partition.
        inputs: everything it reads, in order.
    """
    versions = [(each.name, each.partition if each.name in asset.mapping_inputs else "", each.data_version) for each in inputs]
    return fingerprint(asset.code_version, asset.parameters, versions, partition=partition if asset.reads_partition else "")
