"""A tranche: the slice of a plan that one orchestrator generation walks.

Replay cost grows with history, so no orchestrator instance holds more than about a hundred units (architecture §5.2). Plans are in topological
order; a tranche is therefore simply the next units to execute, and what they read is either inside the tranche or already has an outcome.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping

import msgspec

from tidemill.definitions.policies import RetryPolicy
from tidemill.model.facts import Entry, JsonScalar
from tidemill.model.outcomes import Skipped, Succeeded, Unchanged, UnitOutcome
from tidemill.plan.plan import Action, PinnedInput, PlannedUnit, UnitInput
from tidemill.plan.stored import SLICE_TRANCHES, PlanHead, PlanSlice, SliceRef, unit_at


class TrancheAsset(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all units of one asset share."""

    key: str
    code_version: str
    parameters: dict[str, JsonScalar]
    reads_partition: bool
    mapping_inputs: tuple[str, ...]
    retry: RetryPolicy | None
    """None: a failure is final."""
    total: int
    """Units of this asset in the whole plan."""
    commit: str = "run"
    """How often its group is published: see `definitions.groups.Granularity`."""


class TrancheUnit(msgspec.Struct, frozen=True, array_like=True):
    """One unit to execute."""

    position: int
    """Its position in the plan."""
    asset: str
    partition: str
    inputs: tuple[UnitInput, ...]
    """Inputs made inside this tranche."""
    pinned: tuple[PinnedInput, ...]
    """Inputs with a known version: from the catalog, from a source, or made in an earlier tranche."""
    current: Entry | None
    failed_input: int
    """Position of the unit whose failure in an earlier tranche keeps this one from running, else -1."""


class UnitWork(msgspec.Struct, frozen=True, array_like=True):
    """One unit with every input resolved: what an activity is asked to materialize."""

    position: int
    partition: str
    fingerprint: str
    inputs: tuple[PinnedInput, ...]


class Tranche(msgspec.Struct, frozen=True, kw_only=True):
    """The next units of a run."""

    number: int
    rerun: bool
    assets: dict[str, TrancheAsset]
    units: tuple[TrancheUnit, ...]
    first_position: int
    """Plan position at which it starts."""
    next_position: int
    """Plan position at which the following tranche starts; the length of the plan if this is the last one."""


def open_tranche(
    head: PlanHead,
    part: PlanSlice | None,
    number: int,
    *,
    retries: Mapping[str, RetryPolicy | None],
    outcomes: Mapping[int, UnitOutcome],
) -> Tranche:
    """The units that one tranche of a plan executes.

    Args:
        head: the plan's head.
        part: the slice that holds the tranche (`slice_ref`); None if the plan executes nothing.
        number: of the tranche, from 0.
        retries: retry policy by asset key.
        outcomes: outcomes by plan position; those of the tranches that `tranches_read` names are enough.
    """
    if part is None:
        return Tranche(number=number, rerun=head.rerun, assets={}, units=(), first_position=0, next_position=head.total)
    first, end = _bounds(head, number)
    chosen: list[TrancheUnit] = []
    used: dict[int, None] = {}
    for position, unit in _units(part, first, end):
        inner: list[UnitInput] = []
        pinned = list(unit.pinned)
        failed = -1
        for source in unit.inputs:
            if source.unit >= first:
                inner.append(source)
                continue
            entry = _entry(outcomes.get(source.unit))
            if entry is None:
                failed = _root(source.unit, outcomes)
                break
            upstream = unit_at(head, part, source.unit)
            pinned.append(PinnedInput(source.name, upstream.asset, upstream.partition, entry.data_version, entry.record, source.order))
        chosen.append(TrancheUnit(position, head.assets[unit.asset].key, unit.partition, tuple(inner), tuple(pinned), unit.current, failed))
        used[unit.asset] = None
    assets = {
        head.assets[index].key: TrancheAsset(
            key=head.assets[index].key,
            code_version=head.assets[index].code_version,
            parameters=head.assets[index].parameters,
            reads_partition=head.assets[index].reads_partition,
            mapping_inputs=head.assets[index].mapping_inputs,
            retry=retries[head.assets[index].key],
            total=head.count(index, Action.RUN, Action.WAIT),
            commit=head.assets[index].commit,
        )
        for index in sorted(used)
    }
    return Tranche(number=number, rerun=head.rerun, assets=assets, units=tuple(chosen), first_position=first, next_position=end)


def slice_ref(head: PlanHead, number: int) -> SliceRef | None:
    """The slice that holds a tranche; None if the plan executes nothing.

    Raises:
        IndexError: the plan has no such tranche.
    """
    return head.work[number // SLICE_TRANCHES] if head.starts else None


def tranches_read(head: PlanHead, part: PlanSlice | None, number: int) -> list[int]:
    """The tranches before whose outcomes have to be known to open this one, in order."""
    if part is None:
        return []
    first, end = _bounds(head, number)
    read = {source.unit for _, unit in _units(part, first, end) for source in unit.inputs if source.unit < first}
    return sorted({head.tranche_of(position) for position in read})


def _bounds(head: PlanHead, number: int) -> tuple[int, int]:
    """Where a tranche starts, and where the next one does."""
    return head.starts[number], head.starts[number + 1] if number + 1 < len(head.starts) else head.total


def _units(part: PlanSlice, first: int, end: int) -> Iterator[tuple[int, PlannedUnit]]:
    positions = part.positions()
    chosen = slice(bisect_left(positions, first), bisect_left(positions, end))
    return zip(positions[chosen], part.units[chosen], strict=True)


def _root(position: int, outcomes: Mapping[int, UnitOutcome]) -> int:
    """The unit that failed where this one was only skipped."""
    outcome = outcomes.get(position)
    return outcome.because if isinstance(outcome, Skipped) else position


def _entry(outcome: UnitOutcome | None) -> Entry | None:
    """The version a unit has in this run; None if it failed, was skipped or has not run."""
    match outcome:
        case Succeeded(entry=entry) | Unchanged(entry=entry):
            return entry
        case _:
            return None
