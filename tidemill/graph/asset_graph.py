"""The asset graph: which asset reads which, and at the level of single partitions, which unit reads which.

Built from checked definitions, so nothing here can fail for a definition that is wrong. All answers are in a fixed order.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property

from tidemill.definitions.assets import AssetDefinition, InputDefinition
from tidemill.definitions.definitions import Definitions
from tidemill.definitions.mappings import Lookup
from tidemill.definitions.partitions import partition_keys
from tidemill.errors import UnknownAsset
from tidemill.model.keys import AssetKey, PartitionKey, UnitKey


class AssetGraph:
    """A directed graph without cycles over all assets of a project."""

    def __init__(self, definitions: Definitions) -> None:
        self.assets: Mapping[AssetKey, AssetDefinition] = definitions.assets
        """Every asset by key, sorted by key."""
        self.parents: Mapping[AssetKey, tuple[AssetKey, ...]] = {
            key: tuple(sorted({each.asset for each in definition.inputs.values()})) for key, definition in self.assets.items()
        }
        """The assets an asset reads, sorted."""
        children: dict[AssetKey, list[AssetKey]] = {key: [] for key in self.assets}
        for key, parents in self.parents.items():
            for parent in parents:
                children[parent].append(key)
        self.children: Mapping[AssetKey, tuple[AssetKey, ...]] = {key: tuple(readers) for key, readers in children.items()}
        """The assets that read an asset, sorted."""
        self._lookups: tuple[datetime | None, dict[AssetKey, list[tuple[InputDefinition, Lookup]]]] = (None, {})

    @cached_property
    def order(self) -> tuple[AssetKey, ...]:
        """Every asset after all that it reads; among those that could come next, the smallest key comes first."""
        missing = {key: len(parents) for key, parents in self.parents.items()}
        ready = [key for key, count in missing.items() if not count]
        heapq.heapify(ready)
        order: list[AssetKey] = []
        while ready:
            key = heapq.heappop(ready)
            order.append(key)
            for reader in self.children[key]:
                missing[reader] -= 1
                if not missing[reader]:
                    heapq.heappush(ready, reader)
        return tuple(order)

    def deployed(self, key: str, code_version: str) -> AssetDefinition | None:
        """The asset of a key, if there is one and its code is of that version."""
        found = self.assets.get(AssetKey(key))
        return found if found is not None and found.code_version == code_version else None

    def asset(self, key: str) -> AssetDefinition:
        """The asset of a key.

        Raises:
            UnknownAsset: there is none.
        """
        definition = self.assets.get(AssetKey(key))
        if definition is None:
            raise UnknownAsset(key, self.assets)
        return definition

    def upstream(self, keys: Iterable[AssetKey], depth: int | None = None) -> frozenset[AssetKey]:
        """The keys themselves and all they read, directly or not; at most `depth` steps away if given."""
        return _closure(keys, self.parents, depth)

    def downstream(self, keys: Iterable[AssetKey], depth: int | None = None) -> frozenset[AssetKey]:
        """The keys themselves and all that read them, directly or not; at most `depth` steps away if given."""
        return _closure(keys, self.children, depth)

    def partitions(self, key: AssetKey, now: datetime) -> Sequence[PartitionKey]:
        """An asset's partition keys that exist at `now`, in order; `("",)` if it is not partitioned."""
        return partition_keys(self.assets[key].partitions, now)

    def has_unit(self, unit: UnitKey, now: datetime) -> bool:
        """Whether the unit exists at `now`."""
        definition = self.assets.get(unit.asset)
        if definition is None:
            return False
        return not unit.partition if definition.partitions is None else definition.partitions.contains(unit.partition, now)

    def upstream_partitions(self, unit: UnitKey, now: datetime) -> list[tuple[InputDefinition, Sequence[PartitionKey]]]:
        """For each input, in order, the partitions of it that a unit reads, in their order. The cheapest form, for planning in bulk.

        Args:
            unit: a unit that exists at `now`.
            now: the moment. Asking many times with the same object is quick; each other moment starts afresh.
        """
        moment, lookups = self._lookups
        if moment is not now:
            lookups = {}
            self._lookups = (now, lookups)
        bound = lookups.get(unit.asset)
        if bound is None:
            downstream = self.assets[unit.asset]
            bound = [
                (each, each.mapping.bind(self.assets[each.asset].partitions, downstream.partitions, now))
                for each in downstream.inputs.values()
            ]
            lookups[unit.asset] = bound
        return [(each, lookup(unit.partition)) for each, lookup in bound]

    def upstream_units(self, unit: UnitKey, now: datetime) -> dict[str, list[UnitKey]]:
        """Input name to the units that a unit reads, in order; a list is empty if the input has no such partition.

        Args:
            unit: a unit that exists at `now`.
            now: the moment.
        """
        return {each.name: [UnitKey(each.asset, key) for key in keys] for each, keys in self.upstream_partitions(unit, now)}

    def downstream_units(self, unit: UnitKey, now: datetime) -> list[UnitKey]:
        """The units that read a unit directly, by asset and then in the order of their partitions, without repetition."""
        upstream = self.assets[unit.asset].partitions
        found: dict[UnitKey, None] = {}
        for reader in self.children[unit.asset]:
            downstream = self.assets[reader]
            for each in downstream.inputs.values():
                if each.asset == unit.asset:
                    keys = each.mapping.downstream(unit.partition, upstream, downstream.partitions, now)
                    found.update((UnitKey(reader, key), None) for key in keys)
        return list(found)


def _closure(keys: Iterable[AssetKey], step: Mapping[AssetKey, tuple[AssetKey, ...]], depth: int | None) -> frozenset[AssetKey]:
    found = set(keys)
    front = found
    while front and (depth is None or depth > 0):
        front = {each for key in front for each in step[key]} - found
        found = found | front
        depth = None if depth is None else depth - 1
    return frozenset(found)
