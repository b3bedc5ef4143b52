"""A tranche: the slice of a plan that one orchestrator generation walks.

Replay cost grows with history, so no orchestrator instance holds more than about a hundred units (architecture §5.2). Plans are in topological
order; a tranche is therefore simply the next units to execute, and what they read is either inside the tranche or already has an outcome.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidemill.definitions.policies import RetryPolicy
from tidemill.model.facts import Entry, JsonScalar
from tidemill.model.outcomes import Skipped, Succeeded, Unchanged, UnitOutcome
from tidemill.plan.plan import Action, PinnedInput, Plan, UnitInput

MAX_UNITS = 100
"""Units per tranche. With about five history events a unit, an episode's replay stays in the tens of milliseconds."""


class TrancheAsset(msgspec.Struct, frozen=True, kw_only=True):
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


def slice_plan(
    plan: Plan,
    retries: Mapping[str, RetryPolicy | None],
    *,
    number: int,
    start: int,
    outcomes: Mapping[int, UnitOutcome],
    limit: int = MAX_UNITS,
) -> Tranche:
    """The units to execute from a plan position on.

    Args:
        plan: the plan.
        retries: retry policy by asset key.
        number: of the tranche, from 0.
        start: plan position to start at; everything executable before it has an outcome.
        outcomes: outcomes so far by plan position.
        limit: most units to take.
    """
    chosen: list[TrancheUnit] = []
    inside: set[int] = set()
    position = start
    while position < len(plan.units) and len(chosen) < limit:
        unit = plan.units[position]
        if unit.action is not Action.REUSE:
            inner: list[UnitInput] = []
            pinned = list(unit.pinned)
            failed = -1
            for source in unit.inputs:
                if source.unit in inside:
                    inner.append(source)
                    continue
                entry = known_entry(plan, source.unit, outcomes)
                if entry is None:
                    failed = _root(source.unit, outcomes)
                    break
                upstream = plan.key(source.unit)
                pinned.append(PinnedInput(source.name, upstream.asset, upstream.partition, entry.data_version, entry.record, source.order))
            key = plan.assets[unit.asset].key
            chosen.append(TrancheUnit(position, key, unit.partition, tuple(inner), tuple(pinned), unit.current, failed))
            inside.add(position)
        position += 1
    while position < len(plan.units) and plan.units[position].action is Action.REUSE:
        position += 1
    totals = [0] * len(plan.assets)
    for unit in plan.units:
        totals[unit.asset] += unit.action is not Action.REUSE
    used = {unit.asset for unit in chosen}
    assets = {
        asset.key: TrancheAsset(
            key=asset.key,
            code_version=asset.code_version,
            parameters=asset.parameters,
            reads_partition=asset.reads_partition,
            mapping_inputs=asset.mapping_inputs,
            retry=retries[asset.key],
            total=totals[index],
        )
        for index, asset in enumerate(plan.assets)
        if asset.key in used
    }
    return Tranche(number=number, rerun=plan.rerun, assets=assets, units=tuple(chosen), first_position=start, next_position=position)


def _root(position: int, outcomes: Mapping[int, UnitOutcome]) -> int:
    """The unit that failed where this one was only skipped."""
    outcome = outcomes.get(position)
    return outcome.because if isinstance(outcome, Skipped) else position


def known_entry(plan: Plan, position: int, outcomes: Mapping[int, UnitOutcome]) -> Entry | None:
    """The version a unit has in this run; None if it failed, was skipped or has not run."""
    match outcomes.get(position):
        case Succeeded(entry=entry) | Unchanged(entry=entry):
            return entry
        case None if plan.units[position].action is Action.REUSE:
            return plan.units[position].current
        case _:
            return None
