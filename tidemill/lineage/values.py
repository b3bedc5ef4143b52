"""What lineage answers, as plain values. Imports nothing heavy, since the command line reads them too."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class Direction(StrEnum):
    """Which way to follow lineage."""

    UPSTREAM = "upstream"  # what it was made from
    DOWNSTREAM = "downstream"  # what was made from it


class LineageNode(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one unit."""

    record: str
    """Hash of its record; names it in the edges."""
    asset: str
    partition: str
    """Empty: the asset is not partitioned."""
    state: str
    """`materialized` or `observed`."""
    data_version: str
    run_id: str
    """The run that computed it; empty for an observation."""
    row_count: int | None
    """None for an observation."""
    current: bool
    """Whether the catalog, as of the snapshot asked about, holds this content for the unit."""
    steps: int
    """How many steps away it was first met; 0 is what was asked about."""


class LineageEdge(msgspec.Struct, frozen=True, kw_only=True):
    """One version was read to make another."""

    source: str
    """Record of the version that was read."""
    target: str
    """Record of the version that was made."""
    input: str
    """Name of the input in the target."""
    same_record: bool
    """False: the target names another record of the source's unit, with equal content, so it did not have to be made again."""


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Versions and how they were made from each other, as of one snapshot."""

    asset: str
    partition: str
    """Empty: every partition that holds something."""
    direction: Direction
    commit: int
    """Number of the catalog's log entry."""
    snapshot: str
    nodes: tuple[LineageNode, ...]
    """Nearest first, then by asset and partition."""
    edges: tuple[LineageEdge, ...]
    """Sorted by target, input and source."""
    complete: bool
    """False: it may go on beyond the depth asked for, or beyond the most versions that one answer holds."""


class ColumnUse(StrEnum):
    """How a column came to bear on another. The first three hand on values, the others decide which ones."""

    IDENTITY = "identity"  # the value itself
    TRANSFORMATION = "transformation"  # computed from the value
    AGGREGATION = "aggregation"  # computed from many values
    JOIN = "join"  # rows are matched by it
    FILTER = "filter"  # rows are kept by it
    GROUP_BY = "group_by"  # rows are put together by it
    SORT = "sort"  # rows are ordered by it
    WINDOW = "window"  # it says which rows a window function sees
    CONDITIONAL = "conditional"  # it chooses between values

    @property
    def is_direct(self) -> bool:
        """True if values are handed on."""
        return self in (ColumnUse.IDENTITY, ColumnUse.TRANSFORMATION, ColumnUse.AGGREGATION)


class ColumnEdge(msgspec.Struct, frozen=True, kw_only=True):
    """A column of an input bears on a column of the asset."""

    column: str
    """Column of the asset; empty: all of them, because it decides which rows there are, or their order."""
    source_asset: str
    source_column: str
    use: ColumnUse
    known: str
    """How it is known: `parsed` (from the query's text)."""


class ColumnLineage(msgspec.Struct, frozen=True, kw_only=True):
    """Where the columns of an asset come from."""

    asset: str
    columns: tuple[str, ...]
    """The asset's columns, in order; empty if they are not known."""
    edges: tuple[ColumnEdge, ...]
    """By column, in the asset's order; those that bear on all columns come last."""
    unknown_because: str
    """Why there are no edges, in a sentence; empty if they are known. Edges are never guessed: it is all of them or none."""


class RunEvents(msgspec.Struct, frozen=True, kw_only=True):
    """A run as OpenLineage events."""

    run_id: str
    events: tuple[dict[str, Any], ...]
    """In order; each is an OpenLineage RunEvent. The run's own START stands on the first page, its end on the last."""
    next_cursor: str | None
    """Pass it as `cursor` to go on; None at the end."""
