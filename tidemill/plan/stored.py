"""How a plan is stored: a small head and slices, so that opening a tranche costs the same in a plan of a thousand units and of a million.

The head names its slices by hash, so its own hash is the plan's id: equal plans have equal ids. Units to execute and units that are left alone lie in slices
of their own: a run reads only the first kind, ten tranches at a time. The head holds where each tranche starts, so a unit's position is enough to tell which
tranche made it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TypeVar

import msgspec

from tidemill.errors import MessageError
from tidemill.model.facts import JsonScalar
from tidemill.model.keys import UnitKey, asset_key, partition_key
from tidemill.model.versions import canonical, digest
from tidemill.plan.plan import Action, PinnedInput, Plan, PlannedAsset, PlannedUnit

TRANCHE_UNITS = 100
"""Units to execute in a tranche. With about five history events a unit, an episode's replay stays in the tens of milliseconds."""

SLICE_TRANCHES = 10
IDLE_SLICE_UNITS = 5_000
"""A slice holds so many tranches, or so many units that are left alone."""

PartT = TypeVar("PartT", bound=msgspec.Struct)


class SliceRef(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a slice is, and between which positions its units stand."""

    address: str
    first: int
    last: int


class Source(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A unit of an earlier slice that some unit of a slice reads."""

    position: int
    asset: int
    partition: str


class PlanSlice(msgspec.Struct, frozen=True, kw_only=True, tag="plan_slice/1"):
    """Some units of a plan, in order."""

    ranges: tuple[tuple[int, int], ...]
    """Their positions, as (first, how many)."""
    units: tuple[PlannedUnit, ...]
    sources: tuple[Source, ...]
    """In order of position."""

    def positions(self) -> list[int]:
        """The position of each unit."""
        return list(chain.from_iterable(range(first, first + count) for first, count in self.ranges))


class PlanHead(msgspec.Struct, frozen=True, kw_only=True, tag="plan/2"):
    """Everything of a plan but its units. The hash of its canonical bytes is the plan's id."""

    selection: str
    partitions: str
    parameters: dict[str, JsonScalar]
    branch: str
    base: int
    snapshot: str
    rerun: bool
    assets: tuple[PlannedAsset, ...]
    observations: tuple[PinnedInput, ...]
    counts: tuple[tuple[int, ...], ...]
    """Units of each asset by action, in the order of `Action`."""
    starts: tuple[int, ...]
    """Position of the first unit of each tranche."""
    work: tuple[SliceRef, ...]
    """Slices of the units to execute, `SLICE_TRANCHES` tranches each."""
    idle: tuple[SliceRef, ...]
    """Slices of all other units."""

    @property
    def total(self) -> int:
        """Units in the plan."""
        return sum(map(sum, self.counts))

    def by_action(self) -> dict[str, int]:
        """Number of units by action, every action present."""
        return {action.value: sum(numbers[place] for numbers in self.counts) for place, action in enumerate(Action)}

    def count(self, asset: int, *actions: Action) -> int:
        """Units of an asset that have one of some actions."""
        return sum(count for action, count in zip(Action, self.counts[asset], strict=True) if action in actions)

    def tranche_of(self, position: int) -> int:
        """The tranche that executes the unit at a position."""
        return bisect_right(self.starts, position) - 1

    def slices_between(self, first: int, end: int) -> list[SliceRef]:
        """The slices that may hold units from one position to another, the latter not included."""
        return [*_between(self.work, first, end), *_between(self.idle, first, end)]


def to_head(plan: Plan, put: Callable[[bytes], str], *, limit: int = TRANCHE_UNITS) -> PlanHead:
    """Cuts a plan into slices and makes its head.

    Args:
        plan: the plan.
        put: takes the bytes of each slice and says their hash; it may store them.
        limit: units to execute in a tranche.
    """
    counts = [[0] * len(Action) for _ in plan.assets]
    place = {action: index for index, action in enumerate(Action)}
    work: list[int] = []
    idle: list[int] = []
    for position, unit in enumerate(plan.units):
        counts[unit.asset][place[unit.action]] += 1
        (work if unit.action.executes else idle).append(position)
    return PlanHead(
        selection=plan.selection,
        partitions=plan.partitions,
        parameters=plan.parameters,
        branch=plan.branch,
        base=plan.base,
        snapshot=plan.snapshot,
        rerun=plan.rerun,
        assets=plan.assets,
        observations=plan.observations,
        counts=tuple(map(tuple, counts)),
        starts=tuple(work[::limit]),
        work=tuple(_cut(plan, work, limit * SLICE_TRANCHES, put)),
        idle=tuple(_cut(plan, idle, IDLE_SLICE_UNITS, put)),
    )


def plan_id(plan: Plan) -> str:
    """The id of a plan: the hash of its head."""
    return digest(canonical(to_head(plan, digest)))


def to_plan(head: PlanHead, slices: Iterable[PlanSlice]) -> Plan:
    """The inverse of `to_head`: the whole plan, from its head and all of its slices."""
    units = sorted(chain.from_iterable(zip(each.positions(), each.units, strict=True) for each in slices), key=lambda each: each[0])
    return Plan(
        selection=head.selection,
        partitions=head.partitions,
        parameters=head.parameters,
        branch=head.branch,
        base=head.base,
        snapshot=head.snapshot,
        rerun=head.rerun,
        assets=head.assets,
        units=tuple(unit for _, unit in units),
        observations=head.observations,
    )


def unit_at(head: PlanHead, part: PlanSlice, position: int) -> UnitKey:
    """A unit that is in a slice, or is read by one that is.

    Raises:
        KeyError: it is neither.
    """
    before = 0
    for first, count in part.ranges:
        if first <= position < first + count:
            unit = part.units[before + position - first]
            return _key(head, unit.asset, unit.partition)
        before += count
    at = bisect_left(part.sources, position, key=lambda each: each.position)
    if at == len(part.sources) or part.sources[at].position != position:
        raise KeyError(position)
    return _key(head, part.sources[at].asset, part.sources[at].partition)


def head_from(data: bytes) -> PlanHead:
    """A stored head.

    Raises:
        MessageError: it is none, or one of another version.
    """
    return _decoded(_heads, data, "A stored plan")


def slice_from(data: bytes) -> PlanSlice:
    """A stored slice.

    Raises:
        MessageError: it is none, or one of another version.
    """
    return _decoded(_slices, data, "A slice of a stored plan")


def _cut(plan: Plan, positions: Sequence[int], size: int, put: Callable[[bytes], str]) -> Iterator[SliceRef]:
    for at in range(0, len(positions), size):
        chosen = positions[at : at + size]
        inside = set(chosen)
        units = tuple(plan.units[each] for each in chosen)
        before = sorted({each.unit for unit in units for each in unit.inputs} - inside)
        part = PlanSlice(
            ranges=tuple(_ranges(chosen)),
            units=units,
            sources=tuple(Source(each, plan.units[each].asset, plan.units[each].partition) for each in before),
        )
        yield SliceRef(put(canonical(part)), chosen[0], chosen[-1])


def _ranges(positions: Sequence[int]) -> Iterator[tuple[int, int]]:
    first = before = positions[0]
    for each in positions[1:]:
        if each != before + 1:
            yield first, before + 1 - first
            first = each
        before = each
    yield first, before + 1 - first


def _between(refs: Sequence[SliceRef], first: int, end: int) -> Sequence[SliceRef]:
    return refs[bisect_left(refs, first, key=lambda each: each.last) : bisect_left(refs, end, key=lambda each: each.first)]


def _key(head: PlanHead, asset: int, partition: str) -> UnitKey:
    return UnitKey(asset_key(head.assets[asset].key), partition_key(partition))


_heads = msgspec.json.Decoder(PlanHead)
_slices = msgspec.json.Decoder(PlanSlice)


def _decoded(decoder: msgspec.json.Decoder[PartT], data: bytes, what: str) -> PartT:
    try:
        return decoder.decode(data)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise MessageError(
            f"{what} cannot be read: {error}.", hint="Another version of Tidemill wrote it; deploy that version, or plan again."
        ) from error
