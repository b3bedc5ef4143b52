"""`tidemill apply`: execute exactly a saved plan, in the app; or, with `--local`, a plan or a selection in this process, without Azure, emulator or Node."""

from __future__ import annotations

import os
import re
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from tidemill.api.payloads import NewRun
from tidemill.cli.client import AppClient
from tidemill.cli.commands.run import start_and_watch
from tidemill.cli.errors import UsageMistake
from tidemill.cli.exits import OK, RUN_FAILED
from tidemill.cli.in_process import URL, InProcessTransport, open_runtime
from tidemill.cli.options import Author, Json, Parameters, Partitions, Project, Reason, Rerun, Store, Url
from tidemill.cli.output import Output, open_output
from tidemill.cli.progress import Pace, Standing
from tidemill.cli.run_pictures import moving, progress_line, whole
from tidemill.cli.values import login_name, read_parameters
from tidemill.cli.where import find_project, store_address
from tidemill.execution.local import apply_local
from tidemill.execution.runtime import Runtime
from tidemill.execution.saved import find_plan, refuse_drifted, request_of
from tidemill.execution.telling import tell_of_runs
from tidemill.model.keys import AssetKey, RunId, new_run_id
from tidemill.model.runs import RunRequest, RunStatus
from tidemill.plan.build import refuse_blocked
from tidemill.settings import LineageBackend

What = Annotated[
    str,
    typer.Argument(
        metavar="PLAN", help="A saved plan: its id, or the first six digits or more. With --local, or assets such as 'flights/*'."
    ),
]
Here = Annotated[bool, typer.Option("--local", help="Execute in this process, on the local store.")]
Threads = Annotated[
    int, typer.Option("--threads", min=0, help="Units at the same time (default: as many as processors).", show_default=False)
]
OneBranch = Annotated[str, typer.Option("--branch", help="The branch to read and to publish on.")]
Detach = Annotated[bool, typer.Option("--detach", help="Start it and return at once.")]

_SHOWN_EVERY_SECONDS = 0.1
_TELLING_SECONDS = 30.0
"""How long the end of the command waits for events to be taken: nobody goes on sending after it."""
_PLAN = re.compile(r"[0-9a-f]{6,64}")


def apply(
    what: What,
    partitions: Partitions = "*",
    local: Here = False,
    param: Parameters = None,
    rerun: Rerun = False,
    branch: OneBranch = "main",
    reason: Reason = "",
    author: Author = "",
    detach: Detach = False,
    threads: Threads = 0,
    url: Url = "",
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Execute exactly a saved plan, or refuse if anything has changed since.

    In the app, or with --local in this process; there also assets that were not planned before. Interrupted with Ctrl-C, a local run publishes nothing more;
    finished units are kept and reused by the next one. A run in the app goes on.
    """
    output = open_output(as_json=as_json)
    planned = _PLAN.fullmatch(what) is not None
    if local:
        return _here(output, what, partitions, param, branch, reason, author, threads, store, project, rerun=rerun, planned=planned)
    if not planned:
        raise UsageMistake(
            f"`{what}` is not the id of a plan.",
            hint="`tidemill run` runs assets in the app; `tidemill apply --local` runs them in this process; `tidemill plan --app` makes a plan.",
        )
    _refuse_extras(partitions, param, branch, rerun=rerun)
    wanted = NewRun(plan=what, reason=reason, author=author or login_name(), idempotency_key=str(uuid.uuid4()))
    return start_and_watch(wanted, output, url=url, project=project, detach=detach)


def _here(
    output: Output,
    what: str,
    partitions: str,
    param: list[str] | None,
    branch: str,
    reason: str,
    author: str,
    threads: int,
    store: str,
    project: str,
    *,
    rerun: bool,
    planned: bool,
) -> int:
    folder = find_project(Path.cwd(), project)
    runtime = open_runtime(folder, store_address(store, os.environ, folder), branch)
    tell_of_runs(runtime, LineageBackend.from_environment(os.environ), patience=_TELLING_SECONDS)
    now = datetime.now(UTC)
    run = new_run_id(now, secrets.token_hex(4))
    if planned and AssetKey(what) not in runtime.graph.assets:
        _refuse_extras(partitions, param, branch, rerun=rerun)
        request = _of_plan(runtime, what, run, author or login_name(), reason, now)
    else:
        request = RunRequest(
            run_id=run,
            selection=what,
            partitions=partitions,
            parameters=read_parameters(param or ()),
            rerun=rerun,
            branch=runtime.branch,
            author=author or login_name(),
            reason=reason,
            requested_at=now,
        )
    with output.watch() as show:
        result = apply_local(runtime, request, on_progress=_shown(run, show), threads=threads or None)
    with AppClient(URL, transport=InProcessTransport(runtime)) as client:
        view = client.run(run)
    output.result(view, lambda: whole(view))
    return OK if result.status is RunStatus.SUCCEEDED else RUN_FAILED


def _refuse_extras(partitions: str, param: list[str] | None, branch: str, *, rerun: bool) -> None:
    if partitions != "*" or param or rerun or branch != "main":
        raise UsageMistake(
            "A plan says itself what to run, and how.", hint="Leave out --partitions, --param, --rerun and --branch, or make another plan."
        )


def _of_plan(runtime: Runtime, plan: str, run: RunId, author: str, reason: str, now: datetime) -> RunRequest:
    """The request to execute a saved plan; refused before anything is on record if it has drifted."""
    saved = find_plan(runtime, plan)
    refuse_blocked(refuse_drifted(runtime, saved))
    return request_of(runtime, saved, run=run, author=author, reason=reason, now=now)


def _shown(run: str, show: Callable[[RenderableType, str], None]) -> Callable[[Mapping[str, list[int]]], None]:
    """Shows counts as they come, a few times a second at most: drawing costs more than counting."""
    pace, last = Pace(), 0.0

    def on_progress(counts: Mapping[str, list[int]]) -> None:
        nonlocal last
        at = time.monotonic()
        if at - last < _SHOWN_EVERY_SECONDS:
            return
        last = at
        standing = Standing.counting(run, counts)
        pace.see(standing, at)
        show(moving(standing, pace), progress_line(standing))

    return on_progress
