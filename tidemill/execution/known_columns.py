"""What is known of the columns of stored versions: what an asset's code declares, reads, or was measured to do with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidemill.definitions.assets import AssetDefinition
from tidemill.errors import MissingExtra
from tidemill.execution.measurements import Measurements, measurement_key
from tidemill.execution.records import read_records
from tidemill.execution.runtime import Runtime
from tidemill.graph.asset_graph import AssetGraph
from tidemill.lineage.columns import column_lineage
from tidemill.lineage.values import ColumnLineage, Measurement
from tidemill.model.facts import Column, Materialization


@dataclass(frozen=True, slots=True)
class Held:
    """What an asset holds, and what that was made from."""

    record: Materialization
    inputs: Mapping[str, Sequence[Column]]
    """Columns by input name, of those that were materialized."""


def column_finder(runtime: Runtime) -> Callable[[Materialization], ColumnLineage | None]:
    """Column lineage of versions that the deployed code made, each asset and its columns traced once."""
    known: dict[Any, ColumnLineage | None] = {}
    graph = runtime.graph

    def find(record: Materialization) -> ColumnLineage | None:
        definition = graph.deployed(record.asset, record.code_version)
        if definition is None:
            return None
        held = held_of(runtime, record)
        columns = {key: tuple(names) for key, names in declared_columns(graph, definition).items()}
        columns |= {
            definition.inputs[name].asset: tuple(each.name for each in made)
            for name, made in held.inputs.items()
            if name in definition.inputs
        }
        columns[record.asset] = tuple(each.name for each in record.columns)
        key = record.asset, tuple(sorted(columns.items()))
        if key not in known:
            try:
                known[key] = column_lineage(definition, columns, measurement_of(runtime, definition, held))
            except MissingExtra:
                known[key] = None  # the events are whole without it
        return known[key]

    return find


def declared_columns(graph: AssetGraph, definition: AssetDefinition) -> dict[str, Sequence[str]]:
    """Columns by asset key, of those that an asset reads and that declare a schema: of external ones no others are known."""
    read = {each.asset: graph.assets[each.asset].schema for each in definition.inputs.values() if each.asset in graph.assets}
    return {key: tuple(schema.names) for key, schema in read.items() if schema is not None}


def held_of(runtime: Runtime, record: Materialization) -> Held:
    """A version with the columns of what it was made from."""
    first = {each.name: each.record for each in reversed(record.inputs)}
    read = read_records(runtime.catalog, first.values())
    return Held(record, {name: made.columns for name, at in first.items() if isinstance(made := read[at], Materialization)})


def measurement_of(runtime: Runtime, definition: AssetDefinition, held: Held) -> Measurement | None:
    """What was measured of an asset's code on inputs with these columns; None if nothing was."""
    found = Measurements(runtime.store).find(key_of(definition, held), Measurement)
    return found[1] if found else None


def key_of(definition: AssetDefinition, held: Held) -> str:
    """What a measurement of an asset's code on inputs with these columns is kept under."""
    return measurement_key(definition.code_version, held.record.parameters, held.inputs)
