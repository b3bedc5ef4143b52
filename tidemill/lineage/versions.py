"""Lineage of versions: follows the hashes that records name. Exact by construction, since a record holds what was read when it was made.

Upstream is in the record itself. Downstream is the reverse and is stored nowhere: the graph says which units may read a unit, the view what those
hold, and their records whether they really were made from it. So a step costs the readers' records and nothing else; readers that only an older
definition knew of are not found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from tidemill.catalog.catalog import CatalogView
from tidemill.catalog.tree import lookup_many
from tidemill.graph.asset_graph import AssetGraph
from tidemill.lineage.values import Direction, Lineage, LineageEdge, LineageNode
from tidemill.model.facts import Entry, Materialization, Record
from tidemill.model.keys import AssetKey, PartitionKey, UnitKey

MAX_NODES = 2_000
"""Versions in one answer."""

ReadRecords = Callable[[Iterable[str]], Mapping[str, Record]]
"""Records by hash, fetched several at a time."""


class _Found(NamedTuple):
    """A version that a step led to, and how."""

    record: str
    edge: LineageEdge


@dataclass(frozen=True, slots=True)
class Walk:
    """What following lineage needs to know. Everything is as of `view`; `now` bounds open-ended partitions."""

    graph: AssetGraph
    view: CatalogView
    read: ReadRecords
    now: datetime
    max_nodes: int = MAX_NODES
    _held: dict[UnitKey, Entry | None] = field(default_factory=dict)

    def start(self, asset: AssetKey, partition: PartitionKey | None) -> tuple[str, ...]:
        """Records of the unit, or of every unit of the asset if `partition` is None; empty if nothing is held."""
        if partition is None:
            return tuple(entry.record for entry in self.view.entries(asset).values())
        entry = self.view.entry(UnitKey(asset, partition))
        return (entry.record,) if entry else ()

    def follow(self, asset: AssetKey, partition: PartitionKey | None, direction: Direction, depth: int | None = None) -> Lineage:
        """Everything upstream or downstream of a unit, or of all units of an asset.

        Args:
            asset: where to start.
            partition: where to start; None: at every partition that holds something.
            direction: which way.
            depth: steps to go; None: to the end.

        Raises:
            IntegrityError: a record is missing or damaged.
        """
        starts = self.start(asset, partition)
        front = dict.fromkeys(starts[: self.max_nodes])
        complete = len(front) == len(dict.fromkeys(starts))
        records: dict[str, Record] = {}
        steps: dict[str, int] = {}
        edges: dict[LineageEdge, None] = {}
        step = 0
        while front:
            fetched = self.read(front)
            records.update(fetched)
            steps.update(dict.fromkeys(fetched, step))
            if step == depth:
                complete = complete and not self._goes_on(fetched.values(), direction)
                break
            found = self._made_from(fetched) if direction is Direction.UPSTREAM else self._readers(fetched)
            front = {}
            for each in found:
                if each.record not in steps and each.record not in front:
                    if len(steps) + len(front) >= self.max_nodes:
                        complete = False
                        continue
                    front[each.record] = None
                edges[each.edge] = None
            step += 1
        return Lineage(
            asset=asset,
            partition=partition or "",
            direction=direction,
            commit=self.view.number,
            snapshot=self.view.snapshot,
            nodes=self._nodes(records, steps),
            edges=tuple(sorted(edges, key=lambda edge: (edge.target, edge.input, edge.source))),
            complete=complete,
        )

    def _made_from(self, made: Mapping[str, Record]) -> list[_Found]:
        return [
            _Found(each.record, LineageEdge(source=each.record, target=target, input=each.name, same_record=True))
            for target, record in sorted(made.items())
            if isinstance(record, Materialization)
            for each in record.inputs
        ]

    def _readers(self, read: Mapping[str, Record]) -> list[_Found]:
        """The versions held now that were made from one of these, or from equal content of the same unit."""
        candidates = {source: self._may_read(_unit(record)) for source, record in sorted(read.items())}
        wanted = {unit for units in candidates.values() for unit in units}
        held = self._entries(wanted)
        readers = self.read({entry.record for unit in wanted if (entry := held[unit])})
        found = []
        for source, units in candidates.items():
            record = read[source]
            for unit in units:
                entry = held[unit]
                reader = readers[entry.record] if entry else None
                if entry is None or not isinstance(reader, Materialization):
                    continue
                found += [
                    _Found(
                        entry.record,
                        LineageEdge(source=source, target=entry.record, input=each.name, same_record=each.record == source),
                    )
                    for each in reader.inputs
                    if (each.asset, each.partition, each.data_version) == (record.asset, record.partition, record.data_version)
                ]
        return found

    def _may_read(self, unit: UnitKey) -> Sequence[UnitKey]:
        return self.graph.downstream_units(unit, self.now) if unit.asset in self.graph.assets else ()

    def _goes_on(self, records: Iterable[Record], direction: Direction) -> bool:
        if direction is Direction.UPSTREAM:
            return any(isinstance(record, Materialization) and record.inputs for record in records)
        return any(self._may_read(_unit(record)) for record in records)

    def _entries(self, units: set[UnitKey]) -> Mapping[UnitKey, Entry | None]:
        self._held.update(lookup_many(self.view.nodes, self.view.root, units - self._held.keys()))
        return self._held

    def _nodes(self, records: Mapping[str, Record], steps: Mapping[str, int]) -> tuple[LineageNode, ...]:
        held = self._entries({_unit(record) for record in records.values()})
        nodes = [_node(address, record, held[_unit(record)], steps[address]) for address, record in records.items()]
        return tuple(sorted(nodes, key=lambda node: (node.steps, node.asset, node.partition, node.record)))


def _node(address: str, record: Record, held: Entry | None, steps: int) -> LineageNode:
    made = record if isinstance(record, Materialization) else None
    return LineageNode(
        record=address,
        asset=record.asset,
        partition=record.partition,
        state="materialized" if made else "observed",
        data_version=record.data_version,
        run_id=made.run_id if made else "",
        row_count=made.row_count if made else None,
        current=held is not None and held.data_version == record.data_version,
        steps=steps,
    )


def _unit(record: Record) -> UnitKey:
    return UnitKey(AssetKey(record.asset), PartitionKey(record.partition))
