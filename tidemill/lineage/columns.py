"""Lineage of columns: where the columns of one asset come from, as far as that can be known without guessing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.definitions.assets import AssetDefinition, AssetKind
from tidemill.lineage.sql_columns import Source, Untraceable, trace
from tidemill.lineage.values import ColumnEdge, ColumnLineage

PARSED = "parsed"


def column_lineage(asset: AssetDefinition, columns: Mapping[str, Sequence[str]]) -> ColumnLineage:
    """Where the columns of an asset come from.

    Args:
        asset: the asset.
        columns: columns by asset key, of the asset itself and of those that it reads, as they were last stored.

    Raises:
        MissingExtra: it is a SQL asset, and sqlglot is not installed.
    """
    own = tuple(columns.get(asset.key, ()))
    if asset.sql is None:
        kind = "an external asset" if asset.kind is AssetKind.EXTERNAL else "a Python function"
        return _unknown(asset, own, f"`{asset.key}` is {kind}, whose columns no text explains.")
    missing = sorted({each.asset for each in asset.inputs.values() if not columns.get(each.asset)})
    if missing:
        return _unknown(asset, own, f"The columns of `{missing[0]}`, which `{asset.key}` reads, are not on record.")
    try:
        traced = trace(asset.sql.text, {name: columns[each.asset] for name, each in asset.inputs.items()})
    except Untraceable as error:
        return _unknown(asset, own, f"The query of `{asset.key}` cannot be traced, because {error}.")
    if own and len(own) != len(traced.columns):
        return _unknown(asset, own, f"The query of `{asset.key}` has {len(traced.columns)} columns, but its last version has {len(own)}.")
    # DuckDB names a column without an alias in its own way; the record knows that name, the text does not.
    names = own or tuple(name for name, _ in traced.columns)
    edges = [_edge(asset, name, source) for name, (_, sources) in zip(names, traced.columns, strict=True) for source in sources]
    edges += [_edge(asset, "", source) for source in traced.rows]
    return ColumnLineage(asset=asset.key, columns=names, edges=tuple(dict.fromkeys(edges)), unknown_because="")


def _edge(asset: AssetDefinition, column: str, source: Source) -> ColumnEdge:
    return ColumnEdge(
        column=column, source_asset=asset.inputs[source.table].asset, source_column=source.column, use=source.use, known=PARSED
    )


def _unknown(asset: AssetDefinition, columns: tuple[str, ...], why: str) -> ColumnLineage:
    return ColumnLineage(asset=asset.key, columns=columns, edges=(), unknown_because=why)
