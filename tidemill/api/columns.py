"""Asking where columns come from: of one asset, across all of them, and by measuring."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
import pyarrow as pa
from msgspec import Meta

from tidemill.api.app import ApiApp
from tidemill.api.as_of import AsOf, catalog_of, view_at
from tidemill.api.assets import find_asset
from tidemill.api.errors import NotMaterialized, NotMeasurable, UnknownColumn
from tidemill.api.http import ApiResponse, json_response
from tidemill.api.lineage_payloads import MeasureRequest
from tidemill.api.payloads import KeyText
from tidemill.api.route import Call, Nothing
from tidemill.catalog.catalog import CatalogView
from tidemill.definitions.assets import AssetDefinition, AssetKind
from tidemill.errors import UnknownPartition
from tidemill.execution.known_columns import declared_columns, held_of, key_of, measurement_of
from tidemill.execution.measurements import Measurements
from tidemill.execution.runtime import Runtime
from tidemill.execution.sampling import CodeRefused, recorded_sample, run_beside
from tidemill.lineage.column_trace import ColumnWalk
from tidemill.lineage.columns import column_lineage
from tidemill.lineage.measuring import NotRepeatable, Parts, Refused, measure
from tidemill.lineage.values import ColumnLineage, Direction, Measurement, RefusedColumn, SampledInput
from tidemill.model.facts import Materialization
from tidemill.model.keys import AssetKey, PartitionKey, UnitKey
from tidemill.redact import redact

MAX_SECONDS = 150
"""How long one measurement may take: below what a Functions host lets a request take."""


class ColumnsQuery(AsOf, frozen=True, kw_only=True):
    """Where to start, and how far to go."""

    asset: KeyText
    """The asset."""
    column: KeyText = ""
    """One column of it; without it, every column."""
    direction: Literal["upstream", "downstream"] = "upstream"
    """`upstream` (what it comes from) or `downstream` (what it bears on)."""
    depth: Annotated[int, Meta(ge=0, le=1000)] | None = None
    """Assets to go; without it, to the end."""


def get_column_lineage(app: ApiApp, call: Call[AsOf, Nothing]) -> ApiResponse:
    """Where the columns of an asset come from."""
    definition = find_asset(app.graph, call.params["asset"])
    return json_response(lineage_of(app.runtime, view_at(app, call.query), definition))


def get_column_trace(app: ApiApp, call: Call[ColumnsQuery, Nothing]) -> ApiResponse:
    """Where a column comes from, or what it bears on, across assets."""
    query, view = call.query, view_at(app, call.query)
    definition = find_asset(app.graph, query.asset)
    known = lineage_of(app.runtime, view, definition)
    if query.column and known.columns and query.column not in known.columns:
        raise UnknownColumn(query.column, known.columns)
    walk = ColumnWalk(app.graph, lambda key: lineage_of(app.runtime, view, app.graph.assets[key]), view.number)
    return json_response(walk.follow(definition.key, query.column, Direction(query.direction), query.depth))


def measure_columns(app: ApiApp, call: Call[Nothing, MeasureRequest]) -> ApiResponse:
    """Measures where the columns of an asset come from: runs its code on a sample in this process, publishes nothing, keeps what was seen."""
    body, runtime = call.body, app.runtime
    definition = find_asset(app.graph, call.params["asset"])
    if not definition.inputs:
        what = "is an external asset" if definition.kind is AssetKind.EXTERNAL else "has no inputs"
        raise NotMeasurable(f"`{definition.key}` {what}, so its columns come from no other.", hint="Measure an asset that reads it.")
    view = catalog_of(app, body.branch).view()
    record = _last(runtime, view, definition.key, _partition(app, definition, body.partition))
    if record is None:
        unit = f"{definition.key}@{body.partition}" if body.partition else definition.key
        raise NotMaterialized(
            f"`{unit}` has not been materialized yet, so there are no inputs on record to measure with.",
            hint=f"Run `tidemill run {definition.key}`.",
        )
    on_record, key = Measurements(runtime.store), key_of(definition, held_of(runtime, record))
    known = on_record.find(key, Measurement)
    if known is None or known[0] < body.rows:
        on_record.record(key, body.rows, _measure(runtime, definition, record, body.rows))
    return json_response(lineage_of(runtime, view, definition))


def lineage_of(runtime: Runtime, view: CatalogView, definition: AssetDefinition) -> ColumnLineage:
    """What is known of the columns of an asset, as its last partition has them.

    Raises:
        MissingExtra: it is a SQL asset, and sqlglot is not installed.
    """
    columns = declared_columns(runtime.graph, definition)
    for key in dict.fromkeys([definition.key, *(each.asset for each in definition.inputs.values())]):
        record = _last(runtime, view, key)
        if record is not None:
            columns[key] = [each.name for each in record.columns]
    record = _last(runtime, view, definition.key) if definition.inputs else None
    if record is None:
        return column_lineage(definition, columns)
    known = column_lineage(definition, columns, measurement_of(runtime, definition, held_of(runtime, record)))
    if record.code_version == definition.code_version:
        return known
    remark = f"This is about the code of `{definition.key}` as it is now; the last version was made by other code."
    return msgspec.structs.replace(known, remarks=(remark, *known.remarks))


def _partition(app: ApiApp, definition: AssetDefinition, text: str) -> PartitionKey | None:
    now = app.runtime.now()
    if text and (definition.partitions is None or not definition.partitions.contains(text, now)):
        raise UnknownPartition(definition.key, text, definition.partitions.keys(now) if definition.partitions else ())
    return PartitionKey(text) if text else None


def _last(runtime: Runtime, view: CatalogView, asset: AssetKey, partition: PartitionKey | None = None) -> Materialization | None:
    """The version that a partition of an asset holds, or its last one."""
    held = list(view.entries(asset).values())[-1:] if partition is None else [view.entry(UnitKey(asset, partition))]
    entry = held[0] if held else None
    record = runtime.catalog.record(entry.record) if entry else None
    return record if isinstance(record, Materialization) else None


def _measure(runtime: Runtime, definition: AssetDefinition, record: Materialization, rows: int) -> Measurement:
    until = time.monotonic() + MAX_SECONDS

    def code(tables: Mapping[str, Parts]) -> pa.Table:
        if time.monotonic() > until:
            raise NotMeasurable(
                f"Measuring `{definition.key}` with {rows} rows takes longer than {MAX_SECONDS} s.", hint="Measure with fewer rows."
            )
        try:
            return run_beside(runtime, definition, record, tables)
        except CodeRefused as why:
            raise Refused(str(why)) from None

    try:
        samples = recorded_sample(runtime, definition, record, rows)
        seen = measure(code, {each.input: each.tables for each in samples})
    except (CodeRefused, Refused) as why:
        raise NotMeasurable(
            f"The code of `{definition.key}` cannot be run on a sample of {rows} rows: {redact(str(why))}",
            hint="Measure with more rows, or declare its columns with `columns=`.",
        ) from None
    except NotRepeatable:
        raise NotMeasurable(
            f"`{definition.key}` gives another result each time it runs, so nothing can be told from a difference.",
            hint="Make it depend on its inputs alone, or declare its columns with `columns=`.",
        ) from None
    return Measurement(
        asset=definition.key,
        partition=record.partition,
        code_version=definition.code_version,
        columns=seen.columns,
        row_count=seen.row_count,
        calls=seen.calls,
        samples=tuple(
            SampledInput(
                input=each.input,
                asset=each.asset,
                partitions=len(each.tables),
                row_count=sum(table.num_rows for _, table in each.tables),
                of_rows=each.of_rows,
            )
            for each in samples
        ),
        edges=seen.edges,
        refused=tuple(RefusedColumn(input=each.input, column=each.column, because=redact(each.because)) for each in seen.refused),
    )
