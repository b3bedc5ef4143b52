"""`tidemill history`: what was committed to a branch, by whom, when and why."""

from __future__ import annotations

from typing import Annotated

import typer

from tidemill.cli.catalog_pictures import history as picture
from tidemill.cli.exits import OK
from tidemill.cli.options import Branch, Json, Local, Project, Store, Url, connect
from tidemill.cli.output import open_output

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="How many entries to list.")]
Before = Annotated[int, typer.Option("--before", min=0, help="Only entries below this number.", show_default=False)]


def history(
    limit: Limit = 20,
    before: Before = 0,
    branch: Branch = "",
    url: Url = "",
    local: Local = False,
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Show what was committed, newest first."""
    output = open_output(as_json=as_json)
    with connect(url, local=local, store=store, project=project) as client:
        found = client.history(limit, branch=branch, cursor=str(before or ""))
    output.result(found, lambda: picture(found))
    return OK
