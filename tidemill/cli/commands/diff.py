"""`tidemill diff`: which units differ between two states of a branch."""

from __future__ import annotations

from typing import Annotated

import typer

from tidemill.cli.catalog_pictures import difference
from tidemill.cli.exits import OK
from tidemill.cli.options import Branch, Changes, Json, Local, Project, Store, Url, connect
from tidemill.cli.output import open_output

_MOMENT = "A log number (0 is the beginning), a snapshot's hash, an instant or a run id"
Before = Annotated[str, typer.Argument(metavar="BEFORE", help=f"{_MOMENT}.", show_default=False)]
After = Annotated[str, typer.Argument(metavar="AFTER", help=f"{_MOMENT}; without it, now.", show_default=False)]


def diff(
    before: Before,
    after: After = "",
    branch: Branch = "",
    limit: Changes = 50,
    url: Url = "",
    local: Local = False,
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Show which units differ between two states."""
    output = open_output(as_json=as_json)
    with connect(url, local=local, store=store, project=project) as client:
        found = client.diff(before, after, branch=branch, limit=limit)
    output.result(found, lambda: difference(found))
    return OK
