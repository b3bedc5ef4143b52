"""`tidemill plan`: what would run, and why; nothing is executed and nothing is written but observations of the sources."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from tidemill.cli.exits import OK
from tidemill.cli.in_process import open_runtime
from tidemill.cli.options import Json, Parameters, Partitions, Project, Rerun, Selection, Store
from tidemill.cli.output import open_output
from tidemill.cli.plan_view import PlanView, picture
from tidemill.cli.values import read_parameters
from tidemill.cli.where import find_project, store_address
from tidemill.execution.planning import make_plan
from tidemill.model.runs import RunRequest


def plan(
    selection: Selection,
    partitions: Partitions = "*",
    param: Parameters = None,
    rerun: Rerun = False,
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Show what would run, and why.

    Uses the definitions in this folder and the catalog in the store; executes nothing.
    """
    output = open_output(as_json=as_json)
    folder = find_project(Path.cwd(), project)
    runtime = open_runtime(folder, store_address(store, os.environ, folder))
    request = RunRequest(
        run_id="plan",
        selection=selection,
        partitions=partitions,
        parameters=read_parameters(param or ()),
        rerun=rerun,
        branch=runtime.branch,
        requested_at=datetime.now(UTC),
    )
    view = PlanView.of(make_plan(runtime, request))
    output.result(view, lambda: picture(view))
    return OK
