"""`tidemill show`: one asset, its partitions, and some of its rows."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from tidemill.api.payloads import AssetView, PartitionList, Rows
from tidemill.cli.asset_pictures import page, single
from tidemill.cli.client import AppClient
from tidemill.cli.errors import AppProblem
from tidemill.cli.exits import OK
from tidemill.cli.options import AsOf, Branch, Json, Local, Project, Store, Unit, Url, connect
from tidemill.cli.output import open_output
from tidemill.model.keys import unit_key

Columns = Annotated[str, typer.Option("--columns", "-c", help="Columns to show, joined with commas.", show_default=False)]
Limit = Annotated[int, typer.Option("--limit", "-n", min=0, max=10_000, help="Rows to show.")]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What `tidemill show ASSET --json` prints."""

    asset: AssetView
    partitions: PartitionList
    """The first five hundred."""
    rows: Rows | None
    """None if nothing is materialized, or the asset is external."""


def show(
    unit: Unit,
    columns: Columns = "",
    limit: Limit = 10,
    as_of: AsOf = "",
    branch: Branch = "",
    url: Url = "",
    local: Local = False,
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Show an asset and its rows."""
    output = open_output(as_json=as_json)
    asset, partition = unit_key(unit)
    with connect(url, local=local, store=store, project=project) as client:
        if partition:
            rows = client.rows(asset, partition=partition, columns=columns, limit=limit, as_of=as_of, branch=branch)
            output.result(rows, lambda: page(rows))
        else:
            shown = Shown(
                asset=client.asset(asset, as_of=as_of, branch=branch),
                partitions=client.partitions(asset, as_of=as_of, branch=branch),
                rows=_rows_if_any(client, asset, columns, limit, as_of, branch),
            )
            output.result(shown, lambda: single(shown.asset, shown.partitions, shown.rows))
    return OK


def _rows_if_any(client: AppClient, asset: str, columns: str, limit: int, as_of: str, branch: str) -> Rows | None:
    try:
        return client.rows(asset, columns=columns, limit=limit, as_of=as_of, branch=branch)
    except AppProblem as problem:
        if problem.code in ("not-materialized", "not-stored"):
            return None
        raise
