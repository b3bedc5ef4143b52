"""`tidemill cancel`: nothing of a run is published any more, and it winds down."""

from __future__ import annotations

from typing import Annotated

import typer

from tidemill.api.payloads import Cancellation
from tidemill.cli.exits import OK
from tidemill.cli.options import Author, Json, Project, Reason, Url, connect
from tidemill.cli.output import open_output
from tidemill.cli.values import login_name

Run = Annotated[str, typer.Argument(help="The run to cancel.", show_default=False)]


def cancel(run: Run, reason: Reason = "", author: Author = "", url: Url = "", project: Project = "", as_json: Json = False) -> int:
    """Cancel a run.

    Once this returns, nothing of the run will be published. Finished units are kept and will be reused.
    """
    output = open_output(as_json=as_json)
    with connect(url, project=project) as client:
        reply = client.cancel(run, Cancellation(author=author or login_name(), reason=reason))
    output.result(reply, lambda: f"{run} publishes nothing any more and winds down. Finished units are kept and will be reused.")
    return OK
