"""Asking about assets and their partitions, as of one snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from msgspec import Meta

from tidemill.api.app import ApiApp
from tidemill.api.as_of import AsOf, view_at
from tidemill.api.errors import InvalidQuery
from tidemill.api.http import ApiResponse, json_response
from tidemill.api.payloads import (
    AssetInput,
    AssetList,
    AssetSummary,
    AssetView,
    ColumnView,
    PartitionList,
    PartitionSummary,
    PartitionView,
)
from tidemill.api.route import Call, Nothing
from tidemill.api.wording import mapping_in_words
from tidemill.catalog.catalog import Catalog
from tidemill.definitions.assets import AssetDefinition
from tidemill.definitions.partitions import partition_keys
from tidemill.execution import records
from tidemill.graph.asset_graph import AssetGraph
from tidemill.model.facts import Entry, Materialization, Record
from tidemill.model.keys import PartitionKey, asset_key


class PartitionsQuery(AsOf, frozen=True, kw_only=True):
    """Which partitions to list."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 500
    """How many at most."""
    cursor: Annotated[str, Meta(max_length=200)] = ""
    """`next_cursor` of the page before."""


def list_assets(app: ApiApp, call: Call[AsOf, Nothing]) -> ApiResponse:
    """Every asset, each after those it reads."""
    graph, view, now = app.graph, view_at(app, call.query), app.runtime.now()
    assets = tuple(
        AssetSummary(
            key=key,
            kind=definition.kind.value,
            pipeline=definition.pipeline,
            group=definition.group,
            description=definition.description,
            inputs=graph.parents[key],
            partitions=_partition_summary(definition, view.entries(key), now),
        )
        for key, definition in ((key, graph.assets[key]) for key in graph.order)
    )
    return json_response(AssetList(commit=view.number, assets=assets))


def get_asset(app: ApiApp, call: Call[AsOf, Nothing]) -> ApiResponse:
    """Everything about one asset."""
    graph, view, now = app.graph, view_at(app, call.query), app.runtime.now()
    definition = find_asset(graph, call.params["asset"])
    entries = view.entries(definition.key)
    return json_response(
        AssetView(
            key=definition.key,
            kind=definition.kind.value,
            pipeline=definition.pipeline,
            group=definition.group,
            description=definition.description,
            owners=definition.owners,
            tags=dict(definition.tags),
            place=definition.place,
            code_version=definition.code_version,
            parameters=dict(definition.parameters),
            inputs=tuple(
                AssetInput(name=each.name, asset=each.asset, mapping=mapping_in_words(each.mapping)) for each in definition.inputs.values()
            ),
            readers=graph.children[definition.key],
            partitions=_partition_summary(definition, entries, now),
            columns=_last_columns(app.runtime.catalog, list(entries.values())),
            commit=view.number,
            partitionsUri=call.request.link("assets", definition.key, "partitions"),
            dataUri=call.request.link("assets", definition.key, "data"),
        )
    )


def list_partitions(app: ApiApp, call: Call[PartitionsQuery, Nothing]) -> ApiResponse:
    """The partitions of an asset, in order, and what each holds."""
    view, now = view_at(app, call.query), app.runtime.now()
    definition = find_asset(app.graph, call.params["asset"])
    keys = partition_keys(definition.partitions, now)
    start = _start_after(definition, call.query.cursor, now)
    page = keys[start : start + call.query.limit]
    entries = view.entries(definition.key)
    found = read_records(app.runtime.catalog, [entries[key] for key in page if key in entries])
    return json_response(
        PartitionList(
            asset=definition.key,
            commit=view.number,
            partitions=tuple(_partition(key, entries.get(key), found) for key in page),
            next_cursor=page[-1] if start + len(page) < len(keys) else None,
        )
    )


def find_asset(graph: AssetGraph, text: str) -> AssetDefinition:
    """The asset a URL names.

    Raises:
        InvalidKey: that is no asset key.
        UnknownAsset: there is no such asset.
    """
    return graph.asset(asset_key(text))


def read_records(catalog: Catalog, entries: Sequence[Entry]) -> Mapping[str, Record]:
    """The records of some entries by their hash, several fetched at a time."""
    return records.read_records(catalog, (entry.record for entry in entries))


def columns_of(record: Materialization) -> tuple[ColumnView, ...]:
    """The columns of a materialization, as replies show them."""
    return tuple(ColumnView(name=each.name, type=each.type, nullable=each.nullable) for each in record.columns)


def _partition_summary(definition: AssetDefinition, entries: Mapping[PartitionKey, Entry], now: datetime) -> PartitionSummary:
    keys = partition_keys(definition.partitions, now)
    return PartitionSummary(
        rule=definition.partitions.rule() if definition.partitions else "",
        total=len(keys),
        materialized=sum(key in entries for key in keys),
        first=keys[0] if keys else "",
        last=keys[-1] if keys else "",
    )


def _partition(key: PartitionKey, entry: Entry | None, records: Mapping[str, Record]) -> PartitionView:
    record = records[entry.record] if entry else None
    made = record if isinstance(record, Materialization) else None
    return PartitionView(
        partition=key,
        state="missing" if entry is None else "materialized" if made else "observed",
        data_version=entry.data_version if entry else "",
        row_count=made.row_count if made else None,
        size_bytes=made.size_bytes if made else None,
        run_id=made.run_id if made else "",
        metadata=made.metadata if made else {},
    )


def _last_columns(catalog: Catalog, entries: Sequence[Entry]) -> tuple[ColumnView, ...]:
    record = catalog.record(entries[-1].record) if entries else None
    return columns_of(record) if isinstance(record, Materialization) else ()


def _start_after(definition: AssetDefinition, cursor: str, now: datetime) -> int:
    if not cursor:
        return 0
    position = definition.partitions.position(cursor, now) if definition.partitions else None
    if position is None:
        raise InvalidQuery(f"`{cursor}` is no cursor of this list.", hint="Pass `next_cursor` of the page before, or none to begin.")
    return position + 1
