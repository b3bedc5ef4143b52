"""Explaining as an effect: reads the records, code parts and runs that `plan.explain` compares, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tidemill.definitions.assets import AssetKind
from tidemill.errors import PlanError, UnknownPartition
from tidemill.execution.codes import parts_in
from tidemill.execution.planning import plan_units
from tidemill.execution.records import read_records
from tidemill.execution.runtime import Runtime
from tidemill.model.facts import Materialization
from tidemill.model.keys import AssetKey, UnitKey
from tidemill.model.runs import RunRequest
from tidemill.plan.explain import CodeParts, Difference, differences, first_causes, known_inputs, phrase
from tidemill.plan.plan import Action, Plan, PlannedUnit
from tidemill.plan.view import CatalogView


class Explained(NamedTuple):
    """What the plan says of one unit, and why exactly."""

    unit: UnitKey
    action: Action
    reason: str
    differences: tuple[Difference, ...]


class WhyNot(NamedTuple):
    """Why the next plan would or would not run a unit."""

    plan: Plan
    """Of the unit and everything upstream of it."""
    unit: Explained
    causes: tuple[Explained, ...]
    """Units upstream that run, or cannot, and so decide about it; nearest to the sources first."""
    made_by: str
    """The run that made what the unit holds now; empty if it holds nothing."""


def why_not(runtime: Runtime, unit: UnitKey, request: RunRequest, *, view: CatalogView | None = None) -> WhyNot:
    """Plans a unit with everything upstream of it, and compares with what is on record.

    Args:
        runtime: the definitions and the catalog.
        unit: a unit of an asset that is made, not observed.
        request: parameters and the moment; its selection is not looked at.
        view: the state of the catalog to plan against; None is the present one.

    Raises:
        PlanError: the asset is external.
        UnknownPartition: it has no such partition.
        UnknownParameter: nothing upstream declares a parameter of the request.
        SourceUnavailable: a source cannot be observed.
    """
    units = _with_upstream(runtime, unit, request)
    plan = plan_units(runtime, request, units, view=view)
    position = units.index(unit)
    causes = first_causes(plan, position)
    reader = _Reader(runtime, plan, [position, *causes])
    held = reader.record(position)
    return WhyNot(
        plan=plan,
        unit=reader.explained(position),
        causes=tuple(reader.explained(each) for each in causes),
        made_by=held.run_id if held else "",
    )


def exact_reasons(runtime: Runtime, plan: Plan, *, limit: int) -> dict[int, str]:
    """Better words for why units of a plan change, by position: for as many as `limit` whose reason is that something they are made from has changed."""
    changed = [
        position
        for position, unit in enumerate(plan.units)
        if unit.action in (Action.RUN, Action.REUSE) and unit.current and not plan.rerun
    ]
    reader = _Reader(runtime, plan, changed[:limit])
    reasons = {position: reader.explained(position) for position in changed[:limit]}
    return {position: explained.reason for position, explained in reasons.items() if explained.differences}


class _Reader:
    """The records behind some units of a plan, and the code they were made with: each read once."""

    def __init__(self, runtime: Runtime, plan: Plan, positions: Sequence[int]) -> None:
        self._runtime, self._plan = runtime, plan
        held = [plan.units[position].current for position in positions]
        self._records = read_records(runtime.catalog, (entry.record for entry in held if entry is not None))
        self._codes: dict[str, CodeParts | None] = {}

    def record(self, position: int) -> Materialization | None:
        """What a unit holds; None if it holds nothing."""
        entry = self._plan.units[position].current
        found = None if entry is None else self._records[entry.record]
        return found if isinstance(found, Materialization) else None

    def explained(self, position: int) -> Explained:
        """What the plan says of a unit, and why exactly."""
        unit, held = self._plan.units[position], self.record(position)
        found: tuple[Difference, ...] = ()
        if held is not None and unit.action is not Action.SKIP:
            asset = self._plan.assets[unit.asset]
            moved = held.code_version != asset.code_version
            found = differences(
                held,
                asset,
                known_inputs(self._plan, position),
                code_then=self._code(held.code_version) if moved else None,
                code_now=parts_in(self._runtime.graph.assets[AssetKey(asset.key)].code.content) if moved else None,
            )
        return Explained(self._plan.key(position), unit.action, self._reason(unit, found), found)

    def _reason(self, unit: PlannedUnit, found: tuple[Difference, ...]) -> str:
        if not found or self._plan.rerun:
            return unit.reason
        match unit.action:
            case Action.RUN:
                return phrase(found)
            case Action.REUSE:
                return f"{phrase(found)}; {unit.reason}"
            case _:
                return unit.reason

    def _code(self, version: str) -> CodeParts | None:
        if version not in self._codes:
            self._codes[version] = self._runtime.codes.find(version)
        return self._codes[version]


def _with_upstream(runtime: Runtime, unit: UnitKey, request: RunRequest) -> list[UnitKey]:
    """A unit and every unit upstream of it that is made, in topological order."""
    graph, now = runtime.graph, request.requested_at
    asset = graph.assets[unit.asset]
    if asset.kind is AssetKind.EXTERNAL:
        raise PlanError(f"`{unit}` is external: it is observed, not made.", hint="Ask about an asset that reads it.")
    if not graph.has_unit(unit, now):
        raise UnknownPartition(unit.asset, unit.partition, () if asset.partitions is None else graph.partitions(unit.asset, now))
    found = {unit}
    front = [unit]
    while front:
        for sources in graph.upstream_units(front.pop(), now).values():
            made = [each for each in sources if each not in found and graph.assets[each.asset].kind is not AssetKind.EXTERNAL]
            found.update(made)
            front += made
    rank = {key: place for place, key in enumerate(graph.order)}
    return sorted(found, key=lambda each: (rank[each.asset], each.partition))
