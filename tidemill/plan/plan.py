"""The plan: what a run will do, as a value. Built once, stored in slices (`plan.stored`), then only read.

Units stand in topological order, so every unit comes after the units it reads, and the plan can be walked front to back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Protocol

import msgspec

from tidemill.model.facts import Entry, JsonScalar
from tidemill.model.keys import UnitKey, asset_key, partition_key
from tidemill.model.versions import fingerprint


class Action(StrEnum):
    """What the plan says of a unit."""

    RUN = "run"  # its code, parameters or a known input changed, or it was never materialized
    REUSE = "reuse"  # a result made from exactly the same exists already: it is taken over, without an activity
    SKIP = "skip"  # up to date: the catalog holds it already
    WAIT = "wait"  # an input runs first; it then runs, or is cut off because the input's content did not change
    BLOCKED = "blocked"  # an input has no version and is not part of the plan

    @property
    def executes(self) -> bool:
        """Whether a run has something to execute for the unit, or may have."""
        return self is Action.RUN or self is Action.WAIT


class PlannedAsset(msgspec.Struct, frozen=True, kw_only=True):
    """What all units of one asset share."""

    key: str
    code_version: str
    parameters: dict[str, JsonScalar]
    reads_partition: bool
    """Whether its code can see which partition it makes, so that the partition is part of the fingerprint."""
    mapping_inputs: tuple[str, ...] = ()
    """Inputs that arrive as a mapping by partition, so that their partition keys are part of the fingerprint."""
    commit: str = "run"
    """How often its group is published: see `definitions.groups.Granularity`."""


class PinnedInput(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An input whose version is certain: one exact version of it."""

    name: str
    asset: str
    partition: str
    data_version: str
    record: str
    order: int = 0
    """Its place among all inputs of the unit: where its rows stand if several partitions become one table."""


class UnitInput(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An input that another unit of the plan makes, or would if it were not blocked: its version is not known yet."""

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
    """Inputs whose version is not known yet. Empty if it is up to date: then nothing is read."""
    pinned: tuple[PinnedInput, ...]
    """Inputs whose version is certain. Empty if it is up to date."""
    current: Entry | None
    """What the catalog held at `Plan.base`; None if the unit was never materialized."""
    reuses: Entry | None = None
    """The result that is taken over; None unless the action is to reuse one."""

    @property
    def known(self) -> Entry | None:
        """The version that the unit has after the run whatever happens in it; None if that is not certain."""
        return self.current if self.action is Action.SKIP else self.reuses


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """An ordered plan."""

    selection: str
    partitions: str
    parameters: dict[str, JsonScalar] = {}
    """As they were given; the values that each asset gets stand with the asset."""
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
