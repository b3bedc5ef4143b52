"""`tidemill apply --local`: plan and execute in this process, on a local folder. No Azure, no emulator, no Node."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from tidemill.cli.client import AppClient
from tidemill.cli.errors import UsageMistake
from tidemill.cli.exits import OK, RUN_FAILED
from tidemill.cli.in_process import URL, InProcessTransport, open_runtime
from tidemill.cli.options import Author, Json, Parameters, Partitions, Project, Reason, Rerun, Selection, Store
from tidemill.cli.output import open_output
from tidemill.cli.progress import Pace, Standing
from tidemill.cli.run_pictures import moving, progress_line, whole
from tidemill.cli.values import login_name, read_parameters
from tidemill.cli.where import find_project, store_address
from tidemill.execution.local import apply_local
from tidemill.model.keys import run_id
from tidemill.model.runs import RunRequest, RunStatus

Here = Annotated[bool, typer.Option("--local", help="Execute in this process. (In the app: `tidemill run`.)")]
Threads = Annotated[
    int, typer.Option("--threads", min=0, help="Units at the same time (default: as many as processors).", show_default=False)
]
OneBranch = Annotated[str, typer.Option("--branch", help="The branch to read and to publish on.")]

_SHOWN_EVERY_SECONDS = 0.1


def apply(
    selection: Selection,
    partitions: Partitions = "*",
    local: Here = False,
    param: Parameters = None,
    rerun: Rerun = False,
    branch: OneBranch = "main",
    reason: Reason = "",
    author: Author = "",
    threads: Threads = 0,
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Run assets in this process, on a local folder.

    Interrupted with Ctrl-C it publishes nothing; finished units are kept and reused by the next one.
    """
    if not local:
        raise UsageMistake(
            "`tidemill apply` executes in this process and has to be told so.", hint="Add --local, or use `tidemill run` for the app."
        )
    output = open_output(as_json=as_json)
    folder = find_project(Path.cwd(), project)
    runtime = open_runtime(folder, store_address(store, os.environ, folder), branch)
    now = datetime.now(UTC)
    request = RunRequest(
        run_id=run_id(f"{now:%Y%m%dt%H%M%S}-{secrets.token_hex(4)}"),
        selection=selection,
        partitions=partitions,
        parameters=read_parameters(param or ()),
        rerun=rerun,
        branch=runtime.branch,
        author=author or login_name(),
        reason=reason,
        requested_at=now,
    )
    with output.watch() as show:
        result = apply_local(runtime, request, on_progress=_shown(request.run_id, show), threads=threads or None)
    with AppClient(URL, transport=InProcessTransport(runtime)) as client:
        view = client.run(request.run_id)
    output.result(view, lambda: whole(view))
    return OK if result.status is RunStatus.SUCCEEDED else RUN_FAILED


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
