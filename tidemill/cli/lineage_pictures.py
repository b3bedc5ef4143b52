"""Pictures of lineage: versions as a tree, columns as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from tidemill.cli.words import plural, span
from tidemill.lineage.values import ColumnEdge, ColumnLineage, ColumnStep, ColumnTrace, Direction, Lineage, LineageNode, Measurement

_HASH = 12
_WAYS = {"parsed": "parsed from the query", "declared": "declared", "measured": "measured"}


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
    """One line for each column, and one for what bears on all of them; below it how that is known, and where it is contradicted."""
    if lineage.unknown_because:
        return Text(f"Not known. {lineage.unknown_because}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("column", "from", "decided by"):
        table.add_column(name)
    for column in lineage.columns:
        edges = [edge for edge in lineage.edges if edge.column == column]
        direct = Text("not known", style="yellow") if column in lineage.unknown_columns else _sources(edges, direct=True)
        table.add_row(Text(column), direct, _sources(edges, direct=False))
    rows = [edge for edge in lineage.edges if not edge.column]
    if rows:
        table.add_row(Text("(all)", style="dim"), Text("-", style="dim"), _sources(rows, direct=False))
    ways = Counter(edge.known for edge in lineage.edges)
    told = ", ".join(f"{count} {_WAYS.get(known, known)}" for known, count in sorted(ways.items()))
    parts: list[RenderableType] = [table, Text(f"{plural(len(lineage.edges), 'edge')}: {told}" if told else "No edges", style="dim")]
    if lineage.measurement is not None:
        parts += _measurement(lineage.measurement)
    return Group(*parts, *(Text(remark, style="yellow") for remark in lineage.remarks))


def trace_picture(trace: ColumnTrace) -> RenderableType:
    """One branch for each step; a column that was shown before is not unfolded again."""
    up = trace.direction is Direction.UPSTREAM
    following: dict[tuple[str, str], dict[tuple[str, str], list[ColumnStep]]] = {}
    for step in trace.steps:
        source, target = (step.source_asset, step.source_column), (step.target_asset, step.target_column)
        near, far = (target, source) if up else (source, target)
        following.setdefault(near, {}).setdefault(far, []).append(step)
    start = [(node.asset, node.column) for node in trace.nodes if node.steps == 0]
    shown: set[tuple[str, str]] = set()
    tree = Tree(Text(f"{trace.asset}.{trace.column}" if trace.column else trace.asset, style="bold"), guide_style="dim")
    for place in start if not trace.column else []:
        if following.get(place):
            _unfold(tree.add(_place(place)), place, following, shown, up=up)
    if trace.column:
        _unfold(tree, start[0], following, shown, up=up)
    parts: list[RenderableType] = [tree]
    others = [node for node in trace.nodes if node.steps]
    where = "it comes from" if up else "it bears on"
    told = f"{plural(len(others), 'column')} {where}, {sum(node.direct for node in others)} of them by value all the way, as of commit {trace.commit}"
    parts.append(Text(told + ("" if trace.complete else "; there may be more beyond"), style="dim"))
    parts += [Text(f"Ends at {each.asset}: {each.because}", style="yellow") for each in trace.unknown]
    return Group(*parts)


def _unfold(
    tree: Tree,
    place: tuple[str, str],
    following: Mapping[tuple[str, str], Mapping[tuple[str, str], Sequence[ColumnStep]]],
    shown: set[tuple[str, str]],
    *,
    up: bool,
) -> None:
    shown.add(place)
    # What decides the rows of an asset bears on each of its columns, and its rows bear on whoever reads any of them.
    near = [place, (place[0], "")] if up and place[1] else [place]
    if not up and not place[1]:
        near = [each for each in following if each[0] == place[0]]
    reached: dict[tuple[str, str], list[ColumnStep]] = {}
    for each in near:
        for far, steps in following.get(each, {}).items():
            reached.setdefault(far, []).extend(step for step in steps if step not in reached.get(far, ()))
    for far, steps in sorted(reached.items()):
        label = _place(far)
        label.append(f"  {', '.join(dict.fromkeys(step.use.value for step in steps))}", style="dim")
        others = sorted({step.known for step in steps} - {"parsed"})
        if others:
            label.append(f", {' and '.join(others)}", style="dim")
        again = far in shown and bool(following.get(far))
        branch = tree.add(label.append("  (as above)", style="dim") if again else label)
        if not again:
            _unfold(branch, far, following, shown, up=up)


def _place(place: tuple[str, str]) -> Text:
    asset, column = place
    return Text(f"{asset}.{column}") if column else Text(f"{asset}, its rows")


def _measurement(measurement: Measurement) -> list[RenderableType]:
    sampled = ", ".join(f"{each.row_count:,} of {each.of_rows:,} rows of {each.asset}" for each in measurement.samples)
    at = f"{measurement.asset}@{measurement.partition}" if measurement.partition else measurement.asset
    told = f"Measured on {at} with {sampled}, in {plural(measurement.calls, 'call')}: what moved is proof, what did not is none."
    refused = [
        Text(f"Could not be measured: {each.input}.{each.column}, because {each.because}", style="yellow") for each in measurement.refused
    ]
    return [Text(told, style="dim"), *refused]


def _sources(edges: Iterable[ColumnEdge], *, direct: bool) -> Text:
    uses: dict[str, list[str]] = {}
    for edge in edges:
        if edge.use.is_direct == direct:
            marked = edge.use.value if edge.known == "parsed" else f"{edge.use.value}, {edge.known}"
            uses.setdefault(f"{edge.source_asset}.{edge.source_column}", []).append(marked)
    return Text("\n".join(f"{name} ({', '.join(each)})" for name, each in uses.items()) or "-")
