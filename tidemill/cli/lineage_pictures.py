"""Pictures of lineage: versions as a tree, columns as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from tidemill.cli.words import plural, span
from tidemill.lineage.values import ColumnEdge, ColumnLineage, Direction, Lineage, LineageNode

_HASH = 12


def versions_picture(lineage: Lineage) -> RenderableType:
    """One branch for each asset: its versions on the way are shown together."""
    nodes = {node.record: node for node in lineage.nodes}
    up = lineage.direction is Direction.UPSTREAM
    following: dict[str, list[str]] = {}
    for edge in lineage.edges:
        here, there = (edge.target, edge.source) if up else (edge.source, edge.target)
        following.setdefault(here, []).append(there)
    start = [node for node in lineage.nodes if node.steps == 0]
    tree = Tree(_label(start), guide_style="dim")
    _grow(tree, start, following, nodes)
    parts: list[RenderableType] = [tree]
    where = "was made from" if up else "was made into"
    told = f"{plural(len(nodes) - len(start), 'version')} it {where}, as of commit {lineage.commit}"
    parts.append(Text(told + ("" if lineage.complete else "; there may be more beyond"), style="dim"))
    return Group(*parts)


def _grow(tree: Tree, nodes: Iterable[LineageNode], following: Mapping[str, Sequence[str]], known: Mapping[str, LineageNode]) -> None:
    by_asset: dict[str, dict[str, LineageNode]] = {}
    for node in nodes:
        for record in following.get(node.record, ()):
            by_asset.setdefault(known[record].asset, {})[record] = known[record]
    for _, found in sorted(by_asset.items()):
        versions = sorted(found.values(), key=lambda node: (node.partition, node.record))
        _grow(tree.add(_label(versions)), versions, following, known)


def _label(nodes: Sequence[LineageNode]) -> Text:
    partitions = list(dict.fromkeys(node.partition for node in nodes))
    name = nodes[0].asset + (f"@{span(partitions)}" if partitions != [""] else "")
    label = Text(name, style="bold")
    if len(nodes) == 1:
        node = nodes[0]
        rows = "observed" if node.row_count is None else plural(node.row_count, "row")
        label.append(f"  {node.data_version[:_HASH]}, {rows}" + (f", run {node.run_id}" if node.run_id else ""), style="dim")
    else:
        label.append(f"  {plural(len(nodes), 'version')}", style="dim")
    old = sum(not node.current for node in nodes)
    if old:
        label.append("  no longer current" if len(nodes) == 1 else f"  {old} no longer current", style="yellow")
    return label


def columns_picture(lineage: ColumnLineage) -> RenderableType:
    """One line for each column, and one for what bears on all of them."""
    if lineage.unknown_because:
        return Text(f"Not known. {lineage.unknown_because}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("column", "from", "decided by"):
        table.add_column(name)
    for column in lineage.columns:
        edges = [edge for edge in lineage.edges if edge.column == column]
        table.add_row(Text(column), _sources(edges, direct=True), _sources(edges, direct=False))
    rows = [edge for edge in lineage.edges if not edge.column]
    if rows:
        table.add_row(Text("(all)", style="dim"), Text("-", style="dim"), _sources(rows, direct=False))
    known = ", ".join(sorted({edge.known for edge in lineage.edges})) or "parsed"
    return Group(table, Text(f"{plural(len(lineage.edges), 'edge')}, {known} from the query", style="dim"))


def _sources(edges: Iterable[ColumnEdge], *, direct: bool) -> Text:
    uses: dict[str, list[str]] = {}
    for edge in edges:
        if edge.use.is_direct == direct:
            uses.setdefault(f"{edge.source_asset}.{edge.source_column}", []).append(edge.use.value)
    return Text("\n".join(f"{name} ({', '.join(each)})" for name, each in uses.items()) or "-")
