"""Making a plan: from a selection, a frozen view of the catalog and the observed sources to an ordered value. Pure.

The two steps are separate because observing the sources is an effect: `select_units` says which units are meant, `required_observations` which
external units they read, and `build_plan` decides, once those have been observed, what has to run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from tidemill.definitions.assets import AssetDefinition, AssetKind
from tidemill.errors import PlanError, UnknownParameter, did_you_mean
from tidemill.graph.asset_graph import AssetGraph
from tidemill.graph.partitions import parse_partitions
from tidemill.graph.selection import parse_selection
from tidemill.model.facts import Entry, JsonScalar
from tidemill.model.keys import UNPARTITIONED, AssetKey, PartitionKey, UnitKey
from tidemill.model.runs import RunRequest
from tidemill.plan.plan import Action, PinnedInput, Plan, PlannedAsset, PlannedUnit, UnitInput, unit_fingerprint
from tidemill.plan.view import CatalogView

BLOCKED_SHOWN = 5

Lookup = Callable[[PartitionKey], Sequence[PartitionKey]]


class InputMissing(PlanError):
    """Some selected units read something that has no version and is not selected."""

    code = "input-missing"


def select_units(graph: AssetGraph, selection: str, partitions: str, now: datetime) -> list[UnitKey]:
    """The units a request means, in topological order. External assets are left out: they are observed, not made.

    Raises:
        InvalidSelection: the selection, or the partition selection, cannot be read.
        UnknownAsset: it names an asset that is not defined.
        UnknownPartition: it names a partition that no selected asset has.
        PlanError: nothing is left to materialize.
    """
    chosen = parse_selection(selection).resolve(graph)
    made = [key for key in graph.order if key in chosen and graph.assets[key].kind is not AssetKind.EXTERNAL]
    if not made:
        raise PlanError(
            f"`{selection}` selects nothing that can be materialized.",
            hint="External assets are observed, not made; select what reads them, such as `raw.orders+`.",
        )
    wanted = parse_partitions(partitions)
    sides = [(key, graph.assets[key].partitions) for key in made]
    wanted.check(sides, now)
    units: list[UnitKey] = []
    for key, definition in sides:
        keys = (UNPARTITIONED,) if definition is None else wanted.keys(key, definition, now)
        units += [UnitKey(key, partition) for partition in keys]
    return units


def check_request(graph: AssetGraph, request: RunRequest) -> None:
    """Refuses what can never be planned, without looking at sources or the catalog: cheap enough for the moment of asking.

    Raises:
        InvalidSelection, UnknownAsset, UnknownPartition, PlanError: as `select_units`.
        UnknownParameter: as `build_plan`.
    """
    units = select_units(graph, request.selection, request.partitions, request.requested_at)
    _parameters([graph.assets[key] for key in dict.fromkeys(unit.asset for unit in units)], request.parameters)


def required_observations(graph: AssetGraph, units: Iterable[UnitKey], now: datetime) -> list[UnitKey]:
    """The external units that some of the units read, sorted."""
    found: set[UnitKey] = set()
    wanted = list(units)
    reads = {
        key: [read for read in inputs if graph.assets[read.asset].kind is AssetKind.EXTERNAL]
        for key, inputs in _reads(graph, {unit.asset for unit in wanted}, now).items()
    }
    for unit in wanted:
        for read in reads[unit.asset]:
            found.update(UnitKey(read.asset, partition) for partition in read.lookup(unit.partition))
    return sorted(found)


def build_plan(
    graph: AssetGraph, view: CatalogView, units: Sequence[UnitKey], observed: Mapping[UnitKey, PinnedInput], request: RunRequest
) -> Plan:
    """Decides for every unit whether it has to run, and pins the exact version of everything it reads from outside the plan.

    Args:
        graph: the assets.
        view: the catalog as of one snapshot.
        units: what to plan, in topological order, as `select_units` gives it.
        observed: a version of every external unit that `required_observations` names.
        request: what was asked for; `requested_at` is the plan's now.

    Raises:
        UnknownParameter: a parameter that no selected asset declares, or a value of another type than its default.
    """
    order = list(dict.fromkeys(unit.asset for unit in units))
    parameters = _parameters([graph.assets[key] for key in order], request.parameters)
    assets = tuple(
        PlannedAsset(
            key=key,
            code_version=graph.assets[key].code_version,
            parameters=parameters[key],
            reads_partition=graph.assets[key].reads_partition,
            mapping_inputs=tuple(sorted(name for name, each in graph.assets[key].inputs.items() if each.as_mapping)),
        )
        for key in order
    )
    builder = _Builder(graph, view, observed, units, assets, request)
    planned = tuple(builder.plan_unit(position, unit) for position, unit in enumerate(units))
    return Plan(
        selection=request.selection,
        partitions=request.partitions,
        branch=request.branch,
        base=view.number,
        snapshot=view.snapshot,
        rerun=request.rerun,
        assets=assets,
        units=planned,
        observations=tuple(observed[unit] for unit in sorted(observed)),
    )


def refuse_blocked(plan: Plan) -> None:
    """Refuses a plan that cannot be executed.

    Raises:
        InputMissing: some units are blocked; the first few are named.
    """
    blocked = [position for position, unit in enumerate(plan.units) if unit.action is Action.BLOCKED]
    if blocked:
        shown = "; ".join(f"`{plan.key(position)}`: {plan.units[position].reason}" for position in blocked[:BLOCKED_SHOWN])
        more = f"; and {len(blocked) - BLOCKED_SHOWN} more" if len(blocked) > BLOCKED_SHOWN else ""
        raise InputMissing(
            f"{len(blocked)} of {len(plan.units)} units cannot run: {shown}{more}.",
            hint="Select the inputs and their partitions too, or leave these assets out: `... and not ASSET`.",
        )


class _Read(NamedTuple):
    """One input of an asset, ready to be asked for its partitions."""

    name: str
    asset: AssetKey
    lookup: Lookup
    """From a partition of the reader to the partitions of the input."""
    may_be_empty: bool
    """A mapping can be empty; a table would have no columns."""


def _reads(graph: AssetGraph, keys: Iterable[AssetKey], now: datetime) -> dict[AssetKey, tuple[_Read, ...]]:
    """The inputs of each asset, with partition mappings bound to both sides."""
    return {
        key: tuple(
            _Read(
                name, each.asset, each.mapping.bind(graph.assets[each.asset].partitions, graph.assets[key].partitions, now), each.as_mapping
            )
            for name, each in graph.assets[key].inputs.items()
        )
        for key in keys
    }


class _Builder:
    """Plans unit after unit, remembering what is known of the versions so far."""

    def __init__(
        self,
        graph: AssetGraph,
        view: CatalogView,
        observed: Mapping[UnitKey, PinnedInput],
        units: Sequence[UnitKey],
        assets: Sequence[PlannedAsset],
        request: RunRequest,
    ) -> None:
        self._view, self._observed, self._request = view, observed, request
        self._positions = {unit: position for position, unit in enumerate(units)}
        self._assets = {asset.key: (index, asset) for index, asset in enumerate(assets)}
        self._entries: dict[AssetKey, Mapping[PartitionKey, Entry]] = {}
        self._known: list[Entry | None] = []
        """By position: the version a planned unit will have if that is certain, else None."""
        self._blocked: set[int] = set()
        self._reads = _reads(graph, (AssetKey(asset.key) for asset in assets), request.requested_at)

    def plan_unit(self, position: int, unit: UnitKey) -> PlannedUnit:
        """The plan for one unit; all units before it have been planned."""
        index, asset = self._assets[unit.asset]
        inputs: list[UnitInput] = []
        pinned: list[PinnedInput] = []
        known: list[PinnedInput] = []
        obstacles: list[str] = []
        waits = False
        order = 0
        for name, asset_key, lookup, may_be_empty in self._reads[unit.asset]:
            partitions = lookup(unit.partition)
            if not partitions and not may_be_empty:
                obstacles.append(f"no partition of its input `{asset_key}` belongs to it")
            for partition in partitions:
                source = UnitKey(asset_key, partition)
                at = self._positions.get(source)
                entry = self._outside(source) if at is None else self._known[at]
                if at is not None:
                    inputs.append(UnitInput(name, at, order))
                    waits = waits or entry is None
                if entry is not None:
                    known.append(PinnedInput(name, asset_key, partition, entry.data_version, entry.record, order))
                    if at is None:
                        pinned.append(known[-1])
                elif at is None or at in self._blocked:
                    obstacles.append(f"its input `{source}` has never been materialized and is not selected")
                order += 1
        current = self._current(unit)
        action, reason = self._decide(asset, unit, current, known, obstacles, waits=waits)
        if action is Action.BLOCKED:
            self._blocked.add(position)
        self._known.append(current if action is Action.REUSE else None)
        return PlannedUnit(index, unit.partition, action, reason, tuple(inputs), tuple(pinned), current)

    def _decide(
        self,
        asset: PlannedAsset,
        unit: UnitKey,
        current: Entry | None,
        known: Sequence[PinnedInput],
        obstacles: Sequence[str],
        *,
        waits: bool,
    ) -> tuple[Action, str]:
        if obstacles:
            return Action.BLOCKED, obstacles[0]
        if current is None:
            return Action.RUN, "never materialized"
        if self._request.rerun:
            return Action.RUN, "asked to run again"
        if waits:
            return Action.WAIT, "an input runs first"
        if current.fingerprint == unit_fingerprint(asset, unit.partition, known):
            return Action.REUSE, "up to date"
        return Action.RUN, "its code, parameters or inputs changed"

    def _outside(self, source: UnitKey) -> Entry | None:
        """The version of a unit that is not in the plan: as it was just observed, or as the catalog has it."""
        seen = self._observed.get(source)
        return self._current(source) if seen is None else Entry(record=seen.record, data_version=seen.data_version)

    def _current(self, unit: UnitKey) -> Entry | None:
        entries = self._entries.get(unit.asset)
        if entries is None:
            entries = self._entries[unit.asset] = self._view.entries(unit.asset)
        return entries.get(unit.partition)


def _parameters(assets: Sequence[AssetDefinition], given: Mapping[str, JsonScalar]) -> dict[str, dict[str, JsonScalar]]:
    """Declared parameters of every asset, with the values given for this run."""
    declared = {name: default for asset in assets for name, default in asset.parameters.items()}
    for name in sorted(given):
        if name not in declared:
            raise UnknownParameter(f"No selected asset has a parameter `{name}`.", hint=did_you_mean(name, declared))
        default, value = declared[name], given[name]
        if default is not None and not _fits(value, default):
            raise UnknownParameter(
                f"Parameter `{name}` is {value!r}, but its default is {default!r}.", hint=f"Give a value of type {type(default).__name__}."
            )
    return {asset.key: {name: given.get(name, default) for name, default in asset.parameters.items()} for asset in assets}


def _fits(value: JsonScalar, default: JsonScalar) -> bool:
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)
