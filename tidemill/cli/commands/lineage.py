"""`tidemill lineage`: what a unit was made from or what was made from it, and the same for columns."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import typer

from tidemill.cli.client import AppClient
from tidemill.cli.errors import UsageMistake
from tidemill.cli.exits import OK
from tidemill.cli.lineage_pictures import columns_picture, trace_picture, versions_picture
from tidemill.cli.options import AsOf, Branch, Json, Local, Project, Store, Url, connect
from tidemill.cli.output import open_output
from tidemill.lineage.values import Direction
from tidemill.model.keys import unit_key

What = Annotated[
    str,
    typer.Argument(
        metavar="ASSET[@PARTITION]|ASSET.COLUMN", help="An asset, one partition of it, or one column of it.", show_default=False
    ),
]
Way = Annotated[Direction, typer.Option("--direction", "-d", help="What it was made from, or what was made from it.")]
Depth = Annotated[int | None, typer.Option("--depth", min=0, max=1000, help="Steps to go (default: to the end)", show_default=False)]
Columns = Annotated[bool, typer.Option("--columns", help="Follow columns; of a whole asset, where its own columns come from.")]
Measure = Annotated[
    bool, typer.Option("--measure", help="With --columns: first run the asset's code on a sample, and see which columns move.")
]
SampleRows = Annotated[int, typer.Option("--rows", min=20, max=100_000, help="With --measure: rows of each input, about.")]


class _Column(NamedTuple):
    """What --columns is about."""

    asset: str
    partition: str
    column: str


def lineage(
    what: What,
    direction: Way = Direction.UPSTREAM,
    depth: Depth = None,
    as_of: AsOf = "",
    branch: Branch = "",
    columns: Columns = False,
    measure: Measure = False,
    rows: SampleRows = 1000,
    url: Url = "",
    local: Local = False,
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Show what a unit was made from, or what from it.

    Exact versions, as the records name them. Without a partition, of all partitions together.
    """
    output = open_output(as_json=as_json)
    if measure and not columns:
        raise UsageMistake("--measure is about columns.", hint="Add --columns.")
    with connect(url, local=local, store=store, project=project) as client:
        if not columns:
            asset, partition = unit_key(what)
            found = client.lineage(asset, partition=partition, direction=direction.value, depth=depth, as_of=as_of, branch=branch)
            output.result(found, lambda: versions_picture(found))
            return OK
        meant = _column(client, what)
        if meant.partition and not measure:
            raise UsageMistake("--columns is about a whole asset.", hint="Leave out the partition, or add --measure to measure with it.")
        if measure:
            client.measure_columns(meant.asset, partition=meant.partition, rows=rows, branch=branch)
        if meant.column or depth is not None or direction is not Direction.UPSTREAM:
            trace = client.column_trace(
                meant.asset, column=meant.column, direction=direction.value, depth=depth, as_of=as_of, branch=branch
            )
            output.result(trace, lambda: trace_picture(trace))
        else:
            known = client.column_lineage(meant.asset, as_of=as_of, branch=branch)
            output.result(known, lambda: columns_picture(known))
    return OK


def _column(client: AppClient, text: str) -> _Column:
    """Splits `ASSET.COLUMN`: both may hold dots, and the graph knows which assets there are."""
    name, _, partition = text.partition("@")
    keys = {node.key for node in client.graph().nodes}
    if name in keys:
        return _Column(name, partition, "")
    fitting = [key for key in keys if text.startswith(f"{key}.") and len(text) > len(key) + 1]
    if fitting:
        asset = max(fitting, key=len)
        return _Column(asset, "", text[len(asset) + 1 :])
    asset_text, partition = unit_key(text)
    return _Column(asset_text, partition, "")
