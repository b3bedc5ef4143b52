"""The rows of an asset: a page as JSON, or all of them as Parquet or an Arrow stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import pyarrow as pa
from msgspec import Meta

from tidemill.api.app import ApiApp
from tidemill.api.as_of import AsOf, view_at
from tidemill.api.assets import columns_of, find_asset, read_records
from tidemill.api.errors import MixedSchemas, NotMaterialized, NotStored, TooMuchData, UnknownColumn
from tidemill.api.http import JSON, ApiResponse, json_response
from tidemill.api.negotiation import negotiate
from tidemill.api.payloads import RowLimit, Rows
from tidemill.api.route import Call, Nothing
from tidemill.api.rows import to_rows
from tidemill.definitions.assets import AssetDefinition, AssetKind
from tidemill.definitions.partitions import partition_keys
from tidemill.errors import UnknownPartition
from tidemill.execution.runtime import Runtime
from tidemill.model.facts import Materialization
from tidemill.model.keys import PartitionKey
from tidemill.storage.formats import parquet

ARROW = "application/vnd.apache.arrow.stream"
FORMATS: Mapping[str, str] = {"json": JSON, "parquet": parquet.MEDIA_TYPE, "arrow": ARROW}

JSON_ROWS = 100
"""Rows in a JSON reply that names no limit."""

MAX_BYTES = 100 * 1024 * 1024
"""Stored bytes behind one reply: what a worker can hold and send without hurting its neighbours."""


class DataQuery(AsOf, frozen=True, kw_only=True):
    """Which rows."""

    partition: Annotated[str, Meta(max_length=200)] = ""
    """One partition; without it, all that are materialized, one after another."""
    columns: Annotated[str, Meta(max_length=20_000)] = ""
    """Names joined with commas; without it, all."""
    limit: RowLimit | None = None
    """Rows at most. As JSON 100 by default; otherwise all."""
    format: str = ""
    """`json`, `parquet` or `arrow`; without it, what `Accept` says."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One materialized partition."""

    partition: PartitionKey
    address: str
    record: Materialization


def get_data(app: ApiApp, call: Call[DataQuery, Nothing]) -> ApiResponse:
    """Rows of an asset, as of one snapshot."""
    query = call.query
    media_type = negotiate(call.request.headers.get("accept", ""), query.format, FORMATS)
    definition = find_asset(app.graph, call.params["asset"])
    parts = _parts(app, definition, query)
    columns = _columns(parts, query.columns)
    limit = JSON_ROWS if query.limit is None and media_type == JSON else query.limit
    if media_type == parquet.MEDIA_TYPE and columns is None and limit is None and len(parts) == 1 and len(parts[0].record.files) == 1:
        return _binary(app.runtime.objects.get(parts[0].record.files[0].sha256), media_type, definition, parts)
    used = _parts_for(parts, limit)
    table = _table(app.runtime, used, columns, limit)
    if media_type == JSON:
        shown = {name: each for each in columns_of(used[-1].record) for name in [each.name]}
        rows = Rows(
            asset=definition.key,
            partitions=tuple(part.partition for part in used),
            row_count=sum(part.record.row_count for part in parts),
            columns=tuple(shown[name] for name in table.column_names),
            rows=to_rows(table),
        )
        return json_response(rows)
    if media_type == ARROW:
        return _binary(_arrow(table), media_type, definition, parts)
    return _binary(parquet.write(table, file_bytes=max(1, table.nbytes + 1))[0].data, media_type, definition, parts)


def _parts(app: ApiApp, definition: AssetDefinition, query: DataQuery) -> list[_Part]:
    """The materialized partitions that are meant, in order; never empty."""
    if definition.kind is AssetKind.EXTERNAL:
        raise NotStored(
            f"`{definition.key}` is an external asset: Tidemill records which version it saw, and keeps no rows of it.",
            hint="Ask for an asset that reads it.",
        )
    now, runtime, partition = app.runtime.now(), app.runtime, query.partition
    keys = partition_keys(definition.partitions, now)
    if partition:
        if definition.partitions is None or not definition.partitions.contains(partition, now):
            raise UnknownPartition(definition.key, partition, () if definition.partitions is None else keys)
        keys = (PartitionKey(partition),)
    entries = view_at(app, query).entries(definition.key)
    found = [(key, entries[key]) for key in keys if key in entries]
    records = read_records(runtime.catalog, [entry for _, entry in found])
    parts = [_Part(key, entry.record, record) for key, entry in found if isinstance(record := records[entry.record], Materialization)]
    if not parts:
        unit = f"{definition.key}@{partition}" if partition else definition.key
        raise NotMaterialized(f"`{unit}` has not been materialized yet.", hint=f"Run `tidemill run {definition.key}` or POST /api/runs.")
    return parts


def _columns(parts: Sequence[_Part], text: str) -> list[str] | None:
    if not text:
        return None
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    known = [column.name for column in parts[-1].record.columns]
    for name in names:
        if name not in known:
            raise UnknownColumn(name, known)
    return names


def _parts_for(parts: Sequence[_Part], limit: int | None) -> list[_Part]:
    """As many partitions as the limit needs, and at least one, for its schema."""
    chosen: list[_Part] = []
    rows = 0
    for part in parts:
        if chosen and limit is not None and rows >= limit:
            break
        chosen.append(part)
        rows += part.record.row_count
    size = sum(part.record.size_bytes for part in chosen)
    if size > MAX_BYTES:
        raise TooMuchData(
            f"These {len(chosen)} partitions hold {size // 1_000_000} MB; one reply carries at most {MAX_BYTES // 1_000_000} MB.",
            hint="Ask for one partition at a time, or set a limit.",
        )
    return chosen


def _table(runtime: Runtime, parts: Sequence[_Part], columns: Sequence[str] | None, limit: int | None) -> pa.Table:
    tables = []
    for part in parts:
        try:
            tables.append(runtime.tables.read(part.address, part.record, columns))
        except KeyError as error:
            raise UnknownColumn(str(error.args[0]), [column.name for column in part.record.columns]) from None
    try:
        table = pa.concat_tables(tables, promote_options="default")
    except pa.ArrowException:
        raise MixedSchemas(parts[0].record.asset) from None
    return table if limit is None else table.slice(0, limit)


def _arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _binary(body: bytes, media_type: str, definition: AssetDefinition, parts: Sequence[_Part]) -> ApiResponse:
    stem = definition.key + (f"@{parts[0].partition}".replace("|", "_").replace(":", "-") if len(parts) == 1 and parts[0].partition else "")
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="{stem}.{"parquet" if media_type == parquet.MEDIA_TYPE else "arrow"}"',
    }
    if len(parts) == 1:
        headers["Tidemill-Data-Version"] = parts[0].record.data_version
    return ApiResponse(status=200, body=body, media_type=media_type, headers=headers)
