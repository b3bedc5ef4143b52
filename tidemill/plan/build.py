"""Making a plan: from a selection, a frozen view of the catalog and the observed sources to an ordered value. Pure.

The steps are separate because observing the sources is an effect: `select_units` says which units are meant, `required_observations` which
external units they read, and `build_plan` decides, once those have been observed, what has to run. Looking for earlier results is an effect too; `build_plan`
is lent a way to do it, and the same answers give the same plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

import msgspec

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


class Candidate(NamedTuple):
    """A unit that has to run unless the same was made before: everything it is made from is certain."""

    position: int
    unit: UnitKey
    fingerprint: str
    inputs: tuple[PinnedInput, ...]


Find = Callable[[Iterable[Candidate]], Mapping[int, Entry]]
"""Looks for earlier results, as versions of just these units: by position, where there is one. Asked once for each asset, in plan order; it need not look at
all candidates."""


def found_nothing(_: Iterable[Candidate]) -> Mapping[int, Entry]:
    """Looks for nothing: a unit that has to run, runs."""
    return {}


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
    graph: AssetGraph,
    view: CatalogView,
    units: Sequence[UnitKey],
    observed: Mapping[UnitKey, PinnedInput],
    request: RunRequest,
    find: Find = found_nothing,
) -> Plan:
    """Decides for every unit whether it has to run, and pins the exact version of every input that is certain.

    Args:
        graph: the assets.
        view: the catalog as of one snapshot.
        units: what to plan, in topological order, as `select_units` gives it.
        observed: a version of every external unit that `required_observations` names.
        request: what was asked for; `requested_at` is the plan's now.
        find: looks for earlier results of what would have to run. Not asked if the request is to run again.

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
            commit=graph.assets[key].commit.value,
        )
        for key in order
    )
    builder = _Builder(graph, view, observed, assets, request, found_nothing if request.rerun else find)
    for key, group in groupby(units, key=lambda unit: unit.asset):
        builder.plan_asset(key, [unit.partition for unit in group])
    return Plan(
        selection=request.selection,
        partitions=request.partitions,
        parameters=request.parameters,
        branch=request.branch,
        base=view.number,
        snapshot=view.snapshot,
        rerun=request.rerun,
        assets=assets,
        units=tuple(builder.planned),
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
    """Plans asset after asset, remembering what is known of the versions so far."""

    def __init__(
        self,
        graph: AssetGraph,
        view: CatalogView,
        observed: Mapping[UnitKey, PinnedInput],
        assets: Sequence[PlannedAsset],
        request: RunRequest,
        find: Find,
    ) -> None:
        self.planned: list[PlannedUnit] = []
        """So far, by position."""
        self._view, self._request, self._find = view, request, find
        self._observed: dict[AssetKey, dict[PartitionKey, Entry]] = {}
        for unit, seen in observed.items():
            self._observed.setdefault(unit.asset, {})[unit.partition] = Entry(record=seen.record, data_version=seen.data_version)
        self._assets = {AssetKey(asset.key): (index, asset) for index, asset in enumerate(assets)}
        self._positions: dict[AssetKey, dict[PartitionKey, int]] = {}
        self._entries: dict[AssetKey, Mapping[PartitionKey, Entry]] = {}
        self._reads = _reads(graph, self._assets, request.requested_at)
        self._before: dict[str, PinnedInput] = {}
        """The latest pinned input by name: neighbours often read the same, and then share it."""

    def plan_asset(self, key: AssetKey, partitions: Sequence[PartitionKey]) -> None:
        """Plans these units of an asset; all that they read and that is to be planned has been planned."""
        index, asset = self._assets[key]
        first = len(self.planned)
        held = self._held(key)
        self._before.clear()
        for partition in partitions:
            self.planned.append(self._plan_unit(index, asset, partition, self._reads[key], held.get(partition)))
        for position, entry in self._find(self._candidates(key, asset, first)).items():
            self.planned[position] = msgspec.structs.replace(
                self.planned[position], action=Action.REUSE, reason="made from exactly the same before", reuses=entry
            )
        positions = self._positions.setdefault(key, {})
        positions.update(zip(partitions, range(first, len(self.planned)), strict=True))

    def _candidates(self, key: AssetKey, asset: PlannedAsset, first: int) -> Iterator[Candidate]:
        for position in range(first, len(self.planned)):
            unit = self.planned[position]
            if unit.action is Action.RUN and not unit.inputs:
                mark = unit_fingerprint(asset, unit.partition, unit.pinned)
                yield Candidate(position, UnitKey(key, PartitionKey(unit.partition)), mark, unit.pinned)

    def _plan_unit(
        self, index: int, asset: PlannedAsset, partition: PartitionKey, reads: Sequence[_Read], current: Entry | None
    ) -> PlannedUnit:
        inputs: list[UnitInput] = []
        pinned: list[PinnedInput] = []
        obstacles: list[str] = []
        order = 0
        for name, source, lookup, may_be_empty in reads:
            sources = lookup(partition)
            if not sources and not may_be_empty:
                obstacles.append(f"no partition of its input `{source}` belongs to it")
            planned = self._positions.get(source, _NOWHERE)
            outside = None
            for each in sources:
                at = planned.get(each)
                if at is None:
                    outside = self._outside(source) if outside is None else outside
                    entry = outside.get(each)
                else:
                    entry = self.planned[at].known
                if entry is not None:
                    pinned.append(self._pin(name, source, each, entry, order))
                else:
                    if at is not None:
                        inputs.append(UnitInput(name, at, order))
                    if at is None or self.planned[at].action is Action.BLOCKED:
                        obstacles.append(f"its input `{UnitKey(source, each)}` has never been materialized and is not selected")
                order += 1
        action, reason = self._decide(asset, partition, current, pinned, obstacles, waits=bool(inputs))
        if action is Action.SKIP:
            return PlannedUnit(index, partition, action, reason, (), (), current)
        return PlannedUnit(index, partition, action, reason, tuple(inputs), tuple(pinned), current)

    def _decide(
        self,
        asset: PlannedAsset,
        partition: str,
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
        if current.fingerprint == unit_fingerprint(asset, partition, known):
            return Action.SKIP, "up to date"
        return Action.RUN, "its code, parameters or inputs changed"

    def _pin(self, name: str, asset: AssetKey, partition: PartitionKey, entry: Entry, order: int) -> PinnedInput:
        made = PinnedInput(name, asset, partition, entry.data_version, entry.record, order)
        before = self._before.get(name)
        if before == made:
            return before
        self._before[name] = made
        return made

    def _outside(self, source: AssetKey) -> Mapping[PartitionKey, Entry]:
        """The versions of an asset's units that are not in the plan: as they were just observed, or as the catalog has them."""
        return self._observed.get(source) or self._held(source)

    def _held(self, asset: AssetKey) -> Mapping[PartitionKey, Entry]:
        entries = self._entries.get(asset)
        if entries is None:
            entries = self._entries[asset] = self._view.entries(asset)
        return entries


_NOWHERE: Mapping[PartitionKey, int] = {}


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
