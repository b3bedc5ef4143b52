"""`tidemill rollback`: every unit holds again what it held at an earlier place of the log."""

from __future__ import annotations

from typing import Annotated

import typer

from tidemill.api.catalog_payloads import RollbackRequest
from tidemill.cli.exits import OK
from tidemill.cli.options import Author, Branch, Json, Local, Project, Store, Url, connect
from tidemill.cli.output import open_output
from tidemill.cli.values import login_name
from tidemill.cli.words import plural

To = Annotated[
    str,
    typer.Argument(metavar="TO", help="A log number (see `tidemill history`), a snapshot's hash, an instant or a run.", show_default=False),
]
Why = Annotated[str, typer.Option("--reason", help="Why; shown in the history.", show_default=False)]


def rollback(
    to: To,
    reason: Why,
    author: Author = "",
    branch: Branch = "",
    url: Url = "",
    local: Local = False,
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Go back to an earlier state.

    This is itself a commit: nothing is lost, and it can be rolled back too.
    """
    output = open_output(as_json=as_json)
    with connect(url, local=local, store=store, project=project) as client:
        done = client.rollback(RollbackRequest(to=to, reason=reason, author=author or login_name(), branch=branch))
    what = f"{plural(done.changed, 'unit')} changed back" if done.changed else "every unit held that already"
    output.result(done, lambda: f"{done.branch} is at commit {done.number}: {what}.")
    return OK
