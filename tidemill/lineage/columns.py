"""Lineage of columns: where the columns of one asset come from, as far as that can be known without guessing.

Three ways of knowing, each edge marked with its own: parsed from the text of a query, declared by the author, measured on a sample. They are put
together here, and where they contradict each other it is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tidemill.definitions.assets import AssetDefinition, AssetKind
from tidemill.definitions.columns import ALL
from tidemill.lineage.sql_columns import Source, Untraceable, trace
from tidemill.lineage.values import ColumnEdge, ColumnLineage, Measurement

PARSED = "parsed"
DECLARED = "declared"
MEASURED = "measured"


def column_lineage(asset: AssetDefinition, columns: Mapping[str, Sequence[str]], measurement: Measurement | None = None) -> ColumnLineage:
    """Where the columns of an asset come from.

    Args:
        asset: the asset.
        columns: columns by asset key, of the asset itself and of those that it reads, as they were last stored.
        measurement: what was measured of this code; None if nothing was.

    Raises:
        MissingExtra: it is a SQL asset, and sqlglot is not installed.
    """
    own = tuple(columns.get(asset.key, ()))
    names, parsed, because = (own, [], _no_reason(asset)) if asset.sql is None else _parsed(asset, own, columns)
    names = names or (measurement.columns if measurement else ())
    edges = _merged(parsed, _declared(asset, names), _measured(asset, measurement))
    told = {*asset.columns, *_told(measurement), *(names if not because else ())}
    is_known = bool(told) or not because
    order = {name: at for at, name in enumerate((*names, ""))}
    return ColumnLineage(
        asset=asset.key,
        columns=names,
        edges=tuple(sorted(edges, key=lambda edge: order.get(edge.column, len(order)))),
        unknown_because="" if is_known else because,
        unknown_columns=tuple(name for name in names if name not in told) if is_known else (),
        remarks=tuple(_remarks(asset, own, columns, measurement)),
        measurement=measurement,
    )


def _merged(*ways: Iterable[ColumnEdge]) -> Iterable[ColumnEdge]:
    """Edges known in several ways, each told once: as the first of them knows it, which says most of how the column is used."""
    found: dict[tuple[str, str, str], dict[ColumnEdge, None]] = {}
    for way in ways:
        mine: dict[tuple[str, str, str], dict[ColumnEdge, None]] = {}
        for edge in way:
            mine.setdefault((edge.column, edge.source_asset, edge.source_column), {})[edge] = None
        found = mine | found
    return [edge for edges in sorted(found.items()) for edge in edges[1]]


def _parsed(
    asset: AssetDefinition, own: tuple[str, ...], columns: Mapping[str, Sequence[str]]
) -> tuple[tuple[str, ...], list[ColumnEdge], str]:
    """Columns and edges of a query; or why there are none."""
    assert asset.sql is not None
    missing = sorted({each.asset for each in asset.inputs.values() if not columns.get(each.asset)})
    if missing:
        return own, [], f"The columns of `{missing[0]}`, which `{asset.key}` reads, are neither on record nor declared as its `schema`."
    try:
        traced = trace(asset.sql.text, {name: columns[each.asset] for name, each in asset.inputs.items()})
    except Untraceable as error:
        return own, [], f"The query of `{asset.key}` cannot be traced, because {error}."
    if own and len(own) != len(traced.columns):
        return own, [], f"The query of `{asset.key}` has {len(traced.columns)} columns, but its last version has {len(own)}."
    # DuckDB names a column without an alias in its own way; the record knows that name, the text does not.
    names = own or tuple(name for name, _ in traced.columns)
    edges = [_edge(asset, name, source) for name, (_, sources) in zip(names, traced.columns, strict=True) for source in sources]
    return names, edges + [_edge(asset, "", source) for source in traced.rows], ""


def _edge(asset: AssetDefinition, column: str, source: Source) -> ColumnEdge:
    return ColumnEdge(
        column=column, source_asset=asset.inputs[source.table].asset, source_column=source.column, use=source.use, known=PARSED
    )


def _declared(asset: AssetDefinition, names: Sequence[str]) -> Iterator[ColumnEdge]:
    for column, sources in asset.columns.items():
        if column != ALL and names and column not in names:
            continue  # told as a remark
        for each in sources:
            yield ColumnEdge(
                column="" if column == ALL else column,
                source_asset=asset.inputs[each.input].asset,
                source_column=each.column,
                use=each.use,
                known=DECLARED,
            )


def _measured(asset: AssetDefinition, measurement: Measurement | None) -> Iterator[ColumnEdge]:
    for each in measurement.edges if measurement else ():
        yield ColumnEdge(
            column=each.column,
            source_asset=asset.inputs[each.input].asset,
            source_column=each.source_column,
            use=each.use,
            known=MEASURED,
        )


def _told(measurement: Measurement | None) -> tuple[str, ...]:
    """Columns of which a measurement tells: if some inputs could not be changed, those that were seen to move, since the others may come from these."""
    if measurement is None:
        return ()
    return tuple(dict.fromkeys(edge.column for edge in measurement.edges if edge.column)) if measurement.refused else measurement.columns


def _no_reason(asset: AssetDefinition) -> str:
    if asset.kind is AssetKind.EXTERNAL:
        return f"`{asset.key}` is an external asset, which is made from nothing here."
    return f"`{asset.key}` is a Python function that declares nothing of its columns, and it has not been measured."


def _remarks(
    asset: AssetDefinition, own: Sequence[str], columns: Mapping[str, Sequence[str]], measurement: Measurement | None
) -> Iterator[str]:
    """Where the declaration contradicts what is stored, or what was measured."""
    for column, sources in asset.columns.items():
        if column != ALL and own and column not in own:
            yield f"`{column}` is declared, but the last version of `{asset.key}` has no such column."
        for each in sources:
            read = asset.inputs[each.input].asset
            if columns.get(read) and each.column not in columns[read]:
                yield f"`{column}` is declared to come from `{read}.{each.column}`, which the last version of `{read}` does not have."
    if measurement is not None and asset.columns:
        yield from _contradictions(asset, measurement)


def _contradictions(asset: AssetDefinition, measurement: Measurement) -> Iterator[str]:
    said = {(column, each.input, each.column) for column, sources in asset.columns.items() for each in sources}
    seen = {(edge.column or ALL, edge.input, edge.source_column) for edge in measurement.edges}
    refused = {(each.input, each.column) for each in measurement.refused}
    for edge in measurement.edges:
        key, place = (edge.column or ALL, edge.input, edge.source_column), f"`{asset.inputs[edge.input].asset}.{edge.source_column}`"
        # What decides the rows may well be seen to move a single column; and nothing is said of a column that is not declared.
        if key in said or key[0] not in asset.columns or (not edge.use.is_direct and (ALL, *key[1:]) in said):
            continue
        what = "the rows move" if key[0] == ALL else f"`{key[0]}` moves"
        yield f"Measured, but not declared: {what} with {place}."
    for key in sorted(said - seen, key=lambda key: (list(asset.columns).index(key[0]), *key[1:])):
        if key[1:] in refused or (key[0] != ALL and key[0] not in measurement.columns):
            continue
        what = "the rows" if key[0] == ALL else f"`{key[0]}`"
        yield f"Declared, but not seen on the sample: {what} did not move with `{asset.inputs[key[1]].asset}.{key[2]}`."
