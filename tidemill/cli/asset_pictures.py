"""Pictures of assets and their rows."""

from __future__ import annotations

import itertools

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from tidemill.api.payloads import AssetList, AssetView, PartitionList, PartitionSummary, Rows
from tidemill.cli.words import plural, printable

CELL_CHARACTERS = 40


def listing(found: AssetList) -> RenderableType:
    """All assets, one line each."""
    if not found.assets:
        return Text("No assets are defined. Declare one in pipelines/<name>/.")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("asset", "kind", "partitions", "materialized", "reads"):
        table.add_column(name, justify="right" if name == "materialized" else "left", no_wrap=name == "asset")
    for each in found.assets:
        table.add_row(each.key, each.kind, each.partitions.rule or "-", _held(each.partitions), ", ".join(each.inputs) or "-")
    return Group(table, Text(f"{plural(len(found.assets), 'asset')} as of commit {found.commit}", style="dim"))


def single(asset: AssetView, partitions: PartitionList, rows: Rows | None) -> RenderableType:
    """One asset, its partitions in short, and some of its rows."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    facts.add_row("kind", f"{asset.kind}" + (f" in {asset.group}" if asset.group else ""))
    facts.add_row("defined at", asset.place)
    facts.add_row("reads", ", ".join(f"{each.asset} ({each.mapping})" for each in asset.inputs) or "-")
    facts.add_row("read by", ", ".join(asset.readers) or "-")
    facts.add_row("partitions", _partition_words(asset.partitions))
    if asset.owners:
        facts.add_row("owners", ", ".join(asset.owners))
    if asset.tags:
        facts.add_row("tags", ", ".join(f"{name}={value}" for name, value in asset.tags.items()))
    missing = [each.partition for each in partitions.partitions if each.state == "missing" and each.partition]
    if missing and len(missing) < asset.partitions.total:
        facts.add_row("missing", ", ".join(missing[:6]) + (f" and {len(missing) - 6} more" if len(missing) > 6 else ""))
    parts: list[RenderableType] = [Text(asset.key, style="bold")]
    if asset.description:
        parts.append(Text(asset.description))
    parts.append(facts)
    if rows is not None:
        parts += [Text(""), page(rows)]
    return Group(*parts)


def page(rows: Rows) -> RenderableType:
    """Some rows as a table, and how many there are."""
    of = "" if len(rows.rows) == rows.row_count else f" of {rows.row_count:,}"
    return Group(_Page(rows), Text(f"{plural(len(rows.rows), 'row')}{of}", style="dim"))


class _Page:
    """As many columns as fit, each in full: a cut number is a wrong number."""

    def __init__(self, rows: Rows) -> None:
        self._columns = rows.columns
        self._cells = [[_cell(row[column.name]) for row in rows.rows] for column in rows.columns]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = [
            max([cell_len(column.name), *(cell_len(cell.plain) for cell in cells)]) + 2
            for column, cells in zip(self._columns, self._cells, strict=True)
        ]
        fitting = max(1, sum(width <= options.max_width for width in itertools.accumulate(widths)))
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in self._columns[:fitting]:
            table.add_column(Text(column.name), justify="right" if _is_number(column.type) else "left", no_wrap=True)
        for row in zip(*self._cells[:fitting], strict=True):
            table.add_row(*row)
        yield table
        hidden = [column.name for column in self._columns[fitting:]]
        if hidden:
            yield Text(f"not shown for want of room: {', '.join(hidden)} (choose with --columns)", style="dim")


def _cell(value: object) -> Text:
    if value is None:
        return Text("null", style="dim")
    text = printable(f"{value:.6g}" if isinstance(value, float) else str(value))
    return Text(text if len(text) <= CELL_CHARACTERS else text[: CELL_CHARACTERS - 1] + "…")


def _is_number(kind: str) -> bool:
    return kind.startswith(("int", "uint", "float", "double", "decimal", "halffloat"))


def _held(partitions: PartitionSummary) -> str:
    return f"{partitions.materialized}/{partitions.total}" if partitions.rule else ("yes" if partitions.materialized else "no")


def _partition_words(partitions: PartitionSummary) -> str:
    if not partitions.rule:
        return "none, " + ("materialized" if partitions.materialized else "not materialized")
    ends = f", {partitions.first} to {partitions.last}" if partitions.total > 1 else ""
    return f"{partitions.rule}: {partitions.materialized} of {partitions.total} materialized{ends}"
