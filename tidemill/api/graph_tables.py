"""The asset graph as Arrow tables: adjacency lists with a type for every column, for programs that read Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import pyarrow as pa

from tidemill.api.errors import TooMuchData
from tidemill.api.wording import mapping_in_words
from tidemill.catalog.catalog import CatalogView
from tidemill.definitions.partitions import partition_keys
from tidemill.graph.asset_graph import AssetGraph
from tidemill.model.facts import Entry
from tidemill.model.keys import AssetKey, PartitionKey, UnitKey

MAX_UNITS = 200_000
"""Units in one table: what a worker can hold and send without hurting its neighbours."""

_READ_ASSET = pa.struct(
    [
        pa.field("asset", pa.string(), nullable=False),
        pa.field("input", pa.string(), nullable=False),
        pa.field("mapping", pa.string(), nullable=False),
    ]
)
_READ_UNIT = pa.struct(
    [
        pa.field("asset", pa.string(), nullable=False),
        pa.field("partition", pa.string(), nullable=False),
        pa.field("input", pa.string(), nullable=False),
    ]
)

ASSETS = pa.schema(
    [
        pa.field("asset", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("pipeline", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("partitions", pa.string()),
        pa.field("code_version", pa.string(), nullable=False),
        pa.field("reads", pa.list_(_READ_ASSET), nullable=False),
        pa.field("readers", pa.list_(pa.string()), nullable=False),
    ]
)
"""One row for each asset, in topological order. `partitions` is null for one that is not partitioned."""

UNITS = pa.schema(
    [
        pa.field("asset", pa.string(), nullable=False),
        pa.field("partition", pa.string(), nullable=False),
        pa.field("window_start", pa.timestamp("us", "UTC")),
        pa.field("window_end", pa.timestamp("us", "UTC")),
        pa.field("reads", pa.list_(_READ_UNIT), nullable=False),
        pa.field("data_version", pa.string()),
        pa.field("record", pa.string()),
    ]
)
"""One row for each unit, by asset in topological order and then by partition. Its version is null if it holds nothing."""


def assets_table(graph: AssetGraph) -> pa.Table:
    """The graph of assets."""
    rows = [
        {
            "asset": each.key,
            "kind": each.kind.value,
            "pipeline": each.pipeline,
            "group": each.group,
            "partitions": each.partitions.rule() if each.partitions else None,
            "code_version": each.code_version,
            "reads": [
                {"asset": read.asset, "input": read.name, "mapping": mapping_in_words(read.mapping)} for read in each.inputs.values()
            ],
            "readers": list(graph.children[each.key]),
        }
        for each in (graph.assets[key] for key in graph.order)
    ]
    return pa.Table.from_pylist(rows, schema=ASSETS)


def units_table(graph: AssetGraph, view: CatalogView, now: datetime) -> pa.Table:
    """The graph of units, with what each of them holds.

    Raises:
        TooMuchData: there are more than `MAX_UNITS`.
    """
    count = sum(len(graph.partitions(key, now)) for key in graph.order)
    if count > MAX_UNITS:
        raise TooMuchData(
            f"The graph has {count:,} units; one reply carries at most {MAX_UNITS:,}.", hint="Ask for the assets, without `units`."
        )
    batches = [pa.RecordBatch.from_pylist(list(_units(graph, key, view.entries(key), now)), schema=UNITS) for key in graph.order]
    return pa.Table.from_batches(batches, schema=UNITS)


def _units(graph: AssetGraph, key: AssetKey, held: Mapping[PartitionKey, Entry], now: datetime) -> Iterable[dict[str, object]]:
    definition = graph.assets[key]
    for partition in partition_keys(definition.partitions, now):
        window = definition.partitions.window(partition) if definition.partitions else None
        entry = held.get(partition)
        read = graph.upstream_partitions(UnitKey(key, partition), now)
        yield {
            "asset": key,
            "partition": partition,
            "window_start": window.start if window else None,
            "window_end": window.end if window else None,
            "reads": [{"asset": each.asset, "partition": at, "input": each.name} for each, keys in read for at in keys],
            "data_version": entry.data_version if entry else None,
            "record": entry.record if entry else None,
        }
