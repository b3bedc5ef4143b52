"""What lineage answers, as plain values. Imports nothing heavy, since the command line reads them too."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from tidemill.model.columns import ColumnUse


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


class ColumnEdge(msgspec.Struct, frozen=True, kw_only=True):
    """A column of an input bears on a column of the asset."""

    column: str
    """Column of the asset; empty: all of them, because it decides which rows there are, or their order."""
    source_asset: str
    source_column: str
    use: ColumnUse
    known: str
    """How it is known: `parsed` (from the query's text), `declared` (by the author) or `measured` (on a sample)."""


class SampledInput(msgspec.Struct, frozen=True, kw_only=True):
    """How much of an input was measured with."""

    input: str
    asset: str
    partitions: int
    """Of those that the unit was made from."""
    row_count: int
    """Rows in the sample."""
    of_rows: int
    """Rows that these partitions have."""


class MeasuredEdge(msgspec.Struct, frozen=True, kw_only=True):
    """Changing a column of an input moved a column of the result."""

    column: str
    """Empty: the number, choice or order of rows moved."""
    input: str
    source_column: str
    use: ColumnUse


class RefusedColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column of an input that could not be measured with."""

    input: str
    column: str
    because: str
    """A sentence."""


class Measurement(msgspec.Struct, frozen=True, kw_only=True, tag="column_measurement/1"):
    """What was seen when the columns of an asset's inputs were changed, one at a time, on a sample. It proves what moved, never that nothing else does."""

    asset: str
    partition: str
    """The unit whose recorded inputs were sampled."""
    code_version: str
    columns: tuple[str, ...]
    """Of the result."""
    row_count: int
    """Rows of the result that the sample gave."""
    calls: int
    """Times the code ran."""
    samples: tuple[SampledInput, ...]
    edges: tuple[MeasuredEdge, ...]
    refused: tuple[RefusedColumn, ...]


class ColumnLineage(msgspec.Struct, frozen=True, kw_only=True):
    """Where the columns of an asset come from."""

    asset: str
    columns: tuple[str, ...]
    """The asset's columns, in order; empty if they are not known."""
    edges: tuple[ColumnEdge, ...]
    """By column, in the asset's order; those that bear on all columns come last."""
    unknown_because: str
    """Why there are no edges, in a sentence; empty if something is known. Edges are never guessed."""
    unknown_columns: tuple[str, ...] = ()
    """Columns of which nothing is known, where something is known of others."""
    remarks: tuple[str, ...] = ()
    """Where what was declared, measured and stored disagree, in sentences."""
    measurement: Measurement | None = None
    """Null: it was not measured with this code and columns."""


class ColumnNode(msgspec.Struct, frozen=True, kw_only=True):
    """One column on the way."""

    asset: str
    column: str
    """Empty: the asset's rows as such."""
    steps: int
    """How many steps away it was first met; 0 is what was asked about."""
    direct: bool
    """Whether values are handed on all the way between it and what was asked about."""


class ColumnStep(msgspec.Struct, frozen=True, kw_only=True):
    """One column bears on another, in the asset that makes the second."""

    source_asset: str
    source_column: str
    target_asset: str
    target_column: str
    """Empty: which rows there are, or their order, and so all columns."""
    use: ColumnUse
    known: str
    """`parsed`, `declared` or `measured`."""


class UnknownColumns(msgspec.Struct, frozen=True, kw_only=True):
    """An asset on the way whose columns nothing explains: what is shown ends there."""

    asset: str
    because: str


class ColumnTrace(msgspec.Struct, frozen=True, kw_only=True):
    """Columns and how they come from each other, across assets, as of one snapshot."""

    asset: str
    column: str
    """Empty: every column."""
    direction: Direction
    commit: int
    """Number of the catalog's log entry whose columns were looked at."""
    nodes: tuple[ColumnNode, ...]
    """Nearest first, then by asset and column."""
    steps: tuple[ColumnStep, ...]
    """Sorted by target, source and use."""
    unknown: tuple[UnknownColumns, ...]
    """Assets at which it may go on. By name."""
    complete: bool
    """False: it goes on beyond the depth asked for, or beyond the most columns that one answer holds."""


class RunEvents(msgspec.Struct, frozen=True, kw_only=True):
    """A run as OpenLineage events."""

    run_id: str
    events: tuple[dict[str, Any], ...]
    """In order; each is an OpenLineage RunEvent. The run's own START stands on the first page, its end on the last."""
    next_cursor: str | None
    """Pass it as `cursor` to go on; None at the end."""
