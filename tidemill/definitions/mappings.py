"""Partition mappings: which partitions of an input a partition reads, and the inverse.

The law that every mapping keeps: a partition is among the upstreams of its downstreams, and among the downstreams of its upstreams. Only keys
that exist at `now` are ever returned, in the order of their definition.
"""

# ruff: noqa: ARG002 - every mapping answers the same questions, and most need only a part of what is asked
from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial

from tidemill.definitions.partitions import MultiPartitions, PartitionsDefinition, StaticPartitions, TimePartitions, partition_keys
from tidemill.model.keys import PartitionKey, dimensions, join_dimensions

Side = PartitionsDefinition | None
"""One end of a mapping; None: not partitioned."""

Lookup = Callable[[PartitionKey], Sequence[PartitionKey]]
"""From a key on one side to the keys on the other."""

_Dimensions = dict[str, PartitionsDefinition]


class PartitionMapping(ABC):
    """How the partitions of an input belong to those of the asset that reads it. Implementations are immutable values."""

    @abstractmethod
    def upstream(self, downstream_key: PartitionKey, upstream: Side, downstream: Side, now: datetime) -> Sequence[PartitionKey]:
        """The input's partitions that `downstream_key` reads, in their order; empty if there are none at `now`."""

    @abstractmethod
    def downstream(self, upstream_key: PartitionKey, upstream: Side, downstream: Side, now: datetime) -> Sequence[PartitionKey]:
        """The partitions that read `upstream_key`, in their order; empty if there are none at `now`."""

    def bind(self, upstream: Side, downstream: Side, now: datetime) -> Lookup:
        """The function `upstream` for two fixed sides at one moment: what a planner calls a million times. Pass it existing keys only."""
        return partial(self.upstream, upstream=upstream, downstream=downstream, now=now)

    @abstractmethod
    def objection(self, upstream: Side, downstream: Side) -> str | None:
        """Why this mapping cannot join the two definitions, as a clause after "because"; None if it can."""


@dataclass(frozen=True)
class AllPartitions(PartitionMapping):
    """Every partition reads all partitions of the input."""

    def upstream(self, downstream_key: PartitionKey, upstream: Side, downstream: Side, now: datetime) -> Sequence[PartitionKey]:
        """All keys of the input."""
        return partition_keys(upstream, now)

    def downstream(self, upstream_key: PartitionKey, upstream: Side, downstream: Side, now: datetime) -> Sequence[PartitionKey]:
        """All keys of the reader."""
        return partition_keys(downstream, now)

    def bind(self, upstream: Side, downstream: Side, now: datetime) -> Lookup:
        """The same keys for everyone."""
        keys = partition_keys(upstream, now)
        return lambda _key: keys

    def objection(self, upstream: Side, downstream: Side) -> str | None:
        """Never."""
        return None


@dataclass(frozen=True)
class IdentityMapping(PartitionMapping):
    """Every partition reads the partition of the same key, where the input has it."""

    def upstream(self, downstream_key: PartitionKey, upstream: Side, downstream: Side, now: datetime) -> Sequence[PartitionKey]:
        """The same key."""
        return (downstream_key,) if upstream is not None and upstream.contains(downstream_key, now) else ()

    def downstream(self, upstream_key: PartitionKey, upstream: Side, downstream: Side, now: datetime) -> Sequence[PartitionKey]:
        """The same key."""
        return (upstream_key,) if downstream is not None and downstream.contains(upstream_key, now) else ()

    def bind(self, upstream: Side, downstream: Side, now: datetime) -> Lookup:
        """Without a look at the input's keys where both sides are the same."""
        return (lambda key: (key,)) if upstream == downstream else super().bind(upstream, downstream, now)

    def objection(self, upstream: Side, downstream: Side) -> str | None:
        """Both must be partitioned, and a key must mean the same on both sides."""
        if upstream is None or downstream is None:
            return "one side is not partitioned"
        if (
            isinstance(upstream, StaticPartitions)
            and isinstance(downstream, StaticPartitions)
            and not set(upstream.values) & set(downstream.values)
        ):
            return "the two sides have no key in common"
        return (
            None
            if upstream.rule() == downstream.rule()
            else f"keys of {describe(upstream)} mean something else than keys of {describe(downstream)}"
        )


@dataclass(frozen=True)
class TimeRollUp(PartitionMapping):
    """Every partition reads the partitions of the input that share time with it: the days of a month, or the month of a day."""

    def upstream(self, downstream_key: PartitionKey, upstream: Side, downstream: Side, now: datetime) -> Sequence[PartitionKey]:
        """The input's windows that overlap."""
        return _overlapping(downstream_key, downstream, upstream, now)

    def downstream(self, upstream_key: PartitionKey, upstream: Side, downstream: Side, now: datetime) -> Sequence[PartitionKey]:
        """The reader's windows that overlap."""
        return _overlapping(upstream_key, upstream, downstream, now)

    def objection(self, upstream: Side, downstream: Side) -> str | None:
        """Both must be partitioned by time."""
        strangers = [describe(side) for side in (upstream, downstream) if not isinstance(side, TimePartitions)]
        return f"{' and '.join(strangers)} {'are' if len(strangers) > 1 else 'is'} not partitioned by time" if strangers else None


def _overlapping(key: PartitionKey, here: Side, there: Side, now: datetime) -> Sequence[PartitionKey]:
    if not isinstance(here, TimePartitions) or not isinstance(there, TimePartitions):
        return ()
    return there.overlapping(here.window(key), now) if here.contains(key, now) else ()


@dataclass(frozen=True, init=False)
class DimensionMapping(PartitionMapping):
    """Maps dimension by dimension; at least one side has `MultiPartitions`.

    A dimension that both sides name is mapped by its own mapping, or by the default of the two definitions. A dimension that only the
    input has is read whole; one that only the reader has makes no difference. A side with a single dimension takes part under the name
    `dimension`.
    """

    mappings: tuple[tuple[str, PartitionMapping], ...]
    """Dimension name to mapping, where it is not the default one."""
    dimension: str | None
    """The name under which a side with a single dimension takes part; None: the dimension of the other side that it maps to by default."""

    def __init__(self, mappings: Mapping[str, PartitionMapping] | None = None, *, dimension: str | None = None) -> None:
        object.__setattr__(self, "mappings", tuple(sorted((mappings or {}).items())))
        object.__setattr__(self, "dimension", dimension)

    def upstream(self, downstream_key: PartitionKey, upstream: Side, downstream: Side, now: datetime) -> Sequence[PartitionKey]:
        """The product of what each dimension of the input contributes."""
        return (
            self.bind(upstream, downstream, now)(downstream_key)
            if downstream is not None and downstream.contains(downstream_key, now)
            else ()
        )

    def downstream(self, upstream_key: PartitionKey, upstream: Side, downstream: Side, now: datetime) -> Sequence[PartitionKey]:
        """The product of what each dimension of the reader contributes."""
        if upstream is None or downstream is None or not upstream.contains(upstream_key, now):
            return ()
        sources, targets = self._sides(upstream, downstream)
        routes: list[tuple[int, Lookup]] = []
        for name, target in targets.items():
            source = sources.get(name)
            if source is None:
                routes.append((-1, AllPartitions().bind(target, None, now)))
            else:
                inverse = partial(self._mapping(name, source, target).downstream, upstream=source, downstream=target, now=now)
                routes.append((list(sources).index(name), inverse))
        return _route(upstream_key, len(sources), routes)

    def bind(self, upstream: Side, downstream: Side, now: datetime) -> Lookup:
        """Joins the dimensions once, and remembers what each value of a dimension maps to."""
        if upstream is None or downstream is None:
            return lambda _key: ()
        targets, sources = self._sides(upstream, downstream)
        routes: list[tuple[int, Lookup]] = []
        for name, target in targets.items():
            source = sources.get(name)
            if source is None:
                routes.append((-1, AllPartitions().bind(target, None, now)))
            else:
                routes.append((list(sources).index(name), cache(self._mapping(name, target, source).bind(target, source, now))))
        return lambda key: _route(key, len(sources), routes)

    def objection(self, upstream: Side, downstream: Side) -> str | None:
        """One side must have several dimensions, a dimension must be shared, and each shared one must map."""
        if upstream is None or downstream is None:
            return "one side is not partitioned"
        if not isinstance(upstream, MultiPartitions) and not isinstance(downstream, MultiPartitions):
            return "neither side has several dimensions"
        up, down = self._sides(upstream, downstream)
        shared = [name for name in up if name in down]
        if not shared:
            return "the two sides share no dimension" if self.dimension is None else f"`{self.dimension}` is not a dimension of both sides"
        unknown = [name for name, _ in self.mappings if name not in shared]
        if unknown:
            return f"`{unknown[0]}` is not a dimension of both sides"
        for name in shared:
            mapping = dict(self.mappings).get(name) or default_mapping(up[name], down[name])
            why = "there is no obvious mapping" if mapping is None else mapping.objection(up[name], down[name])
            if why:
                return f"dimension `{name}` does not map: {why}"
        return None

    def _mapping(self, name: str, upstream: PartitionsDefinition, downstream: PartitionsDefinition) -> PartitionMapping:
        return dict(self.mappings).get(name) or default_mapping(upstream, downstream) or AllPartitions()

    def _sides(self, upstream: PartitionsDefinition, downstream: PartitionsDefinition) -> tuple[_Dimensions, _Dimensions]:
        """The dimensions of both sides by name; a side with a single dimension gets the name it takes part under, or `""`."""
        match upstream, downstream:
            case MultiPartitions(), MultiPartitions():
                return dict(upstream.parts), dict(downstream.parts)
            case MultiPartitions(), _:
                name = self.dimension or _only([name for name, part in upstream.parts if default_mapping(part, downstream)])
                return dict(upstream.parts), {name: downstream}
            case _, MultiPartitions():
                name = self.dimension or _only([name for name, part in downstream.parts if default_mapping(upstream, part)])
                return {name: upstream}, dict(downstream.parts)
            case _:
                return {"": upstream}, {"": downstream}


def default_mapping(upstream: Side, downstream: Side) -> PartitionMapping | None:
    """The mapping nobody needs to write down; None if there is no obvious one."""
    if upstream is None or downstream is None:
        return AllPartitions()
    if upstream == downstream:
        return IdentityMapping()
    if isinstance(upstream, TimePartitions) and isinstance(downstream, TimePartitions):
        return IdentityMapping() if upstream.rule() == downstream.rule() and upstream.grain != "hourly" else TimeRollUp()
    by_dimension = DimensionMapping()
    return by_dimension if by_dimension.objection(upstream, downstream) is None else None


def describe(side: Side) -> str:
    """A partitions definition in few words, for messages."""
    match side:
        case None:
            return "an unpartitioned asset"
        case TimePartitions():
            return f"{side.grain} partitions" + (f" in {side.timezone}" if side.timezone != "UTC" else "")
        case MultiPartitions():
            return f"partitions by {' × '.join(name for name, _ in side.parts)}"
        case _:
            return f"{side.rule()} partitions"


def _route(key: PartitionKey, width: int, routes: Sequence[tuple[int, Lookup]]) -> Sequence[PartitionKey]:
    """The product over the target's dimensions of what the key's dimensions lead to; -1 leads to everything, whatever the key."""
    values = dimensions(key) if width > 1 else (key,)
    choices = [lookup(PartitionKey(values[place]) if place >= 0 else key) for place, lookup in routes]
    if len(choices) == 1:
        return choices[0]
    if all(len(choice) == 1 for choice in choices):
        return (join_dimensions(tuple(choice[0] for choice in choices)),)
    return tuple(map(join_dimensions, itertools.product(*choices)))


def _only(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ""
