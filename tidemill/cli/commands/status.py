"""`tidemill status`: the latest runs, or one of them."""

from __future__ import annotations

from typing import Annotated

import typer

from tidemill.cli.commands.run import watch
from tidemill.cli.exits import OK
from tidemill.cli.options import Json, Local, Project, Store, Url, connect
from tidemill.cli.output import open_output
from tidemill.cli.run_pictures import many, whole

Run = Annotated[str, typer.Argument(help="A run; without it, the latest ones.", show_default=False)]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Watch the run until it has ended.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="How many runs to list.")]


def status(
    run: Run = "",
    follow: Follow = False,
    limit: Limit = 20,
    url: Url = "",
    local: Local = False,
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Show the latest runs, or one run."""
    output = open_output(as_json=as_json)
    with connect(url, local=local, store=store, project=project) as client:
        if not run:
            found = client.runs(limit)
            output.result(found, lambda: many(found.runs))
        elif follow:
            return watch(client, run, output)
        else:
            view = client.run(run)
            output.result(view, lambda: whole(view))
    return OK
