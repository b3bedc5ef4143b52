"""`tidemill plan`: what would run, and why; nothing is executed and nothing is written but observations of the sources."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tidemill.api.as_of import number_at
from tidemill.cli.exits import OK
from tidemill.cli.in_process import open_runtime
from tidemill.cli.options import AsOf, Json, Parameters, Partitions, Project, Rerun, Selection, Store
from tidemill.cli.output import open_output
from tidemill.cli.plan_view import PlanView, picture
from tidemill.cli.values import read_parameters
from tidemill.cli.where import find_project, store_address
from tidemill.execution.explaining import exact_reasons
from tidemill.execution.planning import make_plan
from tidemill.model.runs import RunRequest

OneBranch = Annotated[str, typer.Option("--branch", help="The branch to plan for.")]

EXPLAINED = 500
"""Units whose reason to run is told exactly; each costs a look at its record, so that of a big plan only the first are."""


def plan(
    selection: Selection,
    partitions: Partitions = "*",
    param: Parameters = None,
    rerun: Rerun = False,
    as_of: AsOf = "",
    branch: OneBranch = "main",
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Show what would run, and why.

    Uses the definitions in this folder and the catalog in the store; executes nothing.
    """
    output = open_output(as_json=as_json)
    folder = find_project(Path.cwd(), project)
    runtime = open_runtime(folder, store_address(store, os.environ, folder), branch)
    request = RunRequest(
        run_id="plan",
        selection=selection,
        partitions=partitions,
        parameters=read_parameters(param or ()),
        rerun=rerun,
        branch=runtime.branch,
        requested_at=datetime.now(UTC),
    )
    at = number_at(runtime.catalog, as_of)
    made = make_plan(runtime, request, view=runtime.catalog.view(at))
    view = PlanView.of(made, exact_reasons(runtime, made, limit=EXPLAINED))
    output.result(view, lambda: picture(view))
    return OK
