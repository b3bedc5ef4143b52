"""`tidemill lineage`: what a unit was made from or what was made from it, and where the columns of an asset come from."""

from __future__ import annotations

from typing import Annotated

import typer

from tidemill.cli.errors import UsageMistake
from tidemill.cli.exits import OK
from tidemill.cli.lineage_pictures import columns_picture, versions_picture
from tidemill.cli.options import Json, Local, Project, Store, Url, connect
from tidemill.cli.output import open_output
from tidemill.lineage.values import Direction
from tidemill.model.keys import unit_key

Unit = Annotated[str, typer.Argument(metavar="ASSET[@PARTITION]", help="An asset, or one partition of it.", show_default=False)]
Way = Annotated[Direction, typer.Option("--direction", "-d", help="What it was made from, or what was made from it.")]
Depth = Annotated[int | None, typer.Option("--depth", min=0, max=1000, help="Steps to go (default: to the end)", show_default=False)]
Moment = Annotated[str, typer.Option("--as-of", help="A log number, snapshot, instant or run (default: now)", show_default=False)]
Columns = Annotated[bool, typer.Option("--columns", help="Show where the asset's columns come from instead.")]


def lineage(
    unit: Unit,
    direction: Way = Direction.UPSTREAM,
    depth: Depth = None,
    as_of: Moment = "",
    columns: Columns = False,
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
    asset, partition = unit_key(unit)
    if columns and (partition or depth is not None or direction is not Direction.UPSTREAM):
        raise UsageMistake("--columns is about a whole asset and one step up.", hint="Leave out the partition, --depth and --direction.")
    with connect(url, local=local, store=store, project=project) as client:
        if columns:
            known = client.column_lineage(asset, as_of=as_of)
            output.result(known, lambda: columns_picture(known))
        else:
            found = client.lineage(asset, partition=partition, direction=direction.value, depth=depth, as_of=as_of)
            output.result(found, lambda: versions_picture(found))
    return OK
