"""Columns across assets: puts the column lineage of single assets together, up to the sources or down to everything that a column bears on.

A node is a column of an asset, or the asset's rows as such. What decides the rows of an asset bears on all its columns; and where the rows of an asset
move, everything that reads any of its columns may move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tidemill.graph.asset_graph import AssetGraph
from tidemill.lineage.values import ColumnLineage, ColumnNode, ColumnStep, ColumnTrace, Direction, UnknownColumns
from tidemill.model.keys import AssetKey

MAX_NODES = 5_000
"""Columns in one answer."""

ROWS = ""
"""In place of a column: which rows there are, and their order."""

Place = tuple[AssetKey, str]
"""An asset and one of its columns, or its rows."""


@dataclass(frozen=True, slots=True)
class ColumnWalk:
    """What following columns needs to know."""

    graph: AssetGraph
    of: Callable[[AssetKey], ColumnLineage]
    """Column lineage of one asset."""
    commit: int
    max_nodes: int = MAX_NODES
    _known: dict[AssetKey, ColumnLineage] = field(default_factory=dict)

    def follow(self, asset: AssetKey, column: str, direction: Direction, depth: int | None = None) -> ColumnTrace:
        """Everything that a column comes from, or that it bears on.

        Args:
            asset: where to start.
            column: where to start; empty: at every column of it, and its rows.
            direction: which way.
            depth: assets to go; None: to the end.

        Raises:
            MissingExtra: a SQL asset is on the way, and sqlglot is not installed.
        """
        start = [(asset, column)] if column else [(asset, each) for each in self._lineage(asset).columns] + [(asset, ROWS)]
        steps: dict[Place, int] = dict.fromkeys(start, 0)
        found: dict[ColumnStep, None] = {}
        unknown: dict[AssetKey, str] = {}
        front, step, complete = list(start), 0, True
        while front:
            following: dict[Place, None] = {}
            for each, there in self._next(front, direction, unknown):
                if there not in steps and there not in following:
                    if step == depth or len(steps) + len(following) >= self.max_nodes:
                        complete = False
                        continue
                    following[there] = None
                if step != depth:
                    found[each] = None
            step += 1
            steps.update(dict.fromkeys(following, step))
            front = list(following)
        direct = _reached_directly(start, found, direction)
        return ColumnTrace(
            asset=asset,
            column=column,
            direction=direction,
            commit=self.commit,
            nodes=tuple(
                ColumnNode(asset=key, column=name, steps=at, direct=(key, name) in direct)
                for (key, name), at in sorted(steps.items(), key=lambda item: (item[1], item[0]))
            ),
            steps=tuple(
                sorted(found, key=lambda each: (each.target_asset, each.target_column, each.source_asset, each.source_column, each.use))
            ),
            unknown=tuple(UnknownColumns(asset=key, because=why) for key, why in sorted(unknown.items())),
            complete=complete,
        )

    def _next(self, front: Iterable[Place], direction: Direction, unknown: dict[AssetKey, str]) -> Iterator[tuple[ColumnStep, Place]]:
        if direction is Direction.UPSTREAM:
            for asset, column in front:
                for step in self._into(asset, unknown):
                    if step.target_column in (column, ROWS):
                        yield step, (AssetKey(step.source_asset), step.source_column)
            return
        for asset, column in front:
            for reader in self.graph.children.get(asset, ()):
                for step in self._into(reader, unknown):
                    if step.source_asset == asset and column in (step.source_column, ROWS):
                        yield step, (reader, step.target_column)

    def _into(self, asset: AssetKey, unknown: dict[AssetKey, str]) -> Iterator[ColumnStep]:
        """The steps that lead into the columns of an asset."""
        lineage = self._lineage(asset)
        if self.graph.parents.get(asset):
            if lineage.unknown_because:
                unknown[asset] = lineage.unknown_because
            elif lineage.unknown_columns:
                unknown[asset] = f"Nothing is known of {', '.join(f'`{name}`' for name in lineage.unknown_columns)} of `{asset}`."
        for edge in lineage.edges:
            yield ColumnStep(
                source_asset=edge.source_asset,
                source_column=edge.source_column,
                target_asset=asset,
                target_column=edge.column,
                use=edge.use,
                known=edge.known,
            )

    def _lineage(self, asset: AssetKey) -> ColumnLineage:
        if asset not in self._known:
            self._known[asset] = self.of(asset)
        return self._known[asset]


def _reached_directly(start: Iterable[Place], steps: Iterable[ColumnStep], direction: Direction) -> set[Place]:
    """The places that values are handed on to, or from, all the way."""
    links: dict[Place, list[Place]] = {}
    for each in steps:
        if each.use.is_direct:
            source, target = (AssetKey(each.source_asset), each.source_column), (AssetKey(each.target_asset), each.target_column)
            here, there = (target, source) if direction is Direction.UPSTREAM else (source, target)
            links.setdefault(here, []).append(there)
    reached = {place for place in start if place[1] != ROWS}
    front = list(reached)
    while front:
        front = [there for here in front for there in links.get(here, ()) if there not in reached]
        reached.update(front)
    return reached
