"""`tidemill run`: start a run in the app and watch it."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from tidemill.api.payloads import NewRun, RunStarted
from tidemill.cli.client import AppClient
from tidemill.cli.errors import AppUnreachable
from tidemill.cli.exits import INTERRUPTED, OK, RUN_FAILED
from tidemill.cli.following import follow
from tidemill.cli.options import Author, Branch, Json, Parameters, Partitions, Project, Reason, Rerun, Selection, Url, connect
from tidemill.cli.output import Output, open_output
from tidemill.cli.run_pictures import whole
from tidemill.cli.values import login_name, read_parameters
from tidemill.model.runs import RunStatus

Detach = Annotated[bool, typer.Option("--detach", help="Start it and return at once.")]
Key = Annotated[
    str, typer.Option("--idempotency-key", help="Repeating the same command with the same key gives the same run.", show_default=False)
]


def run(
    selection: Selection,
    partitions: Partitions = "*",
    param: Parameters = None,
    rerun: Rerun = False,
    branch: Branch = "",
    detach: Detach = False,
    reason: Reason = "",
    author: Author = "",
    idempotency_key: Key = "",
    url: Url = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Run assets in the app, and watch.

    Ctrl-C stops watching; the run goes on.
    """
    output = open_output(as_json=as_json)
    wanted = NewRun(
        selection=selection,
        partitions=partitions,
        parameters=read_parameters(param or ()),
        rerun=rerun,
        branch=branch,
        reason=reason,
        author=author or login_name(),
        idempotency_key=idempotency_key or str(uuid.uuid4()),
    )
    return start_and_watch(wanted, output, url=url, project=project, detach=detach)


def start_and_watch(wanted: NewRun, output: Output, *, url: str, project: str, detach: bool) -> int:
    """Starts a run in the app and watches it, unless told not to; the exit code."""
    with connect(url, project=project) as client:
        started = _start(client, wanted)
        if detach:
            output.result(started, lambda: f"{started.run_id} is on its way. Watch it with `tidemill status {started.run_id} --follow`.")
            return OK
        return watch(client, started.run_id, output)


def watch(client: AppClient, run_id: str, output: Output) -> int:
    """Watches a run and shows how it ended; the exit code."""
    try:
        view = follow(client, run_id, output)
    except KeyboardInterrupt:
        how = f"The run goes on. Watch it with `tidemill status {run_id} --follow`, stop it with `tidemill cancel {run_id}`."
        output.result({"run_id": run_id, "status": "not watched any more"}, lambda: how)
        return INTERRUPTED
    output.result(view, lambda: whole(view))
    return OK if view.status == RunStatus.SUCCEEDED else RUN_FAILED


def _start(client: AppClient, wanted: NewRun) -> RunStarted:
    """Asks once more if the connection broke: the key makes sure that it is still one run."""
    try:
        return client.start_run(wanted)
    except AppUnreachable:
        return client.start_run(wanted)
