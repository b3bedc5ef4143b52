"""`tidemill plan`: what would run, why, and what it would take; nothing is executed."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tidemill.api.as_of import number_at
from tidemill.api.plan_payloads import NewPlan, PlanView
from tidemill.api.plan_views import plan_view
from tidemill.cli.errors import UsageMistake
from tidemill.cli.exits import OK
from tidemill.cli.in_process import open_runtime
from tidemill.cli.options import AsOf, Author, Json, Parameters, Partitions, Project, Reason, Rerun, Selection, Store, Url, connect
from tidemill.cli.output import open_output
from tidemill.cli.plan_view import picture
from tidemill.cli.values import login_name, read_parameters
from tidemill.cli.where import find_project, store_address
from tidemill.execution.planning import make_plan
from tidemill.execution.saved import SavedPlan, save_plan
from tidemill.model.runs import RunRequest
from tidemill.plan.stored import plan_id

OneBranch = Annotated[str, typer.Option("--branch", help="The branch to plan for (default: main; with --app, the one the app runs on).")]
Save = Annotated[bool, typer.Option("--save", help="Put the plan on record, so that `tidemill apply` can execute exactly it.")]
App = Annotated[bool, typer.Option("--app", help="Plan in the app: its definitions, its catalog. The plan is put on record there.")]


def plan(
    selection: Selection,
    partitions: Partitions = "*",
    param: Parameters = None,
    rerun: Rerun = False,
    as_of: AsOf = "",
    branch: OneBranch = "",
    save: Save = False,
    reason: Reason = "",
    author: Author = "",
    app: App = False,
    url: Url = "",
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Show what would run, why, and what it would take.

    Uses the definitions in this folder and the catalog in the store, unless told to ask the app; executes nothing.
    """
    output = open_output(as_json=as_json)
    wanted = NewPlan(
        selection=selection,
        partitions=partitions,
        parameters=read_parameters(param or ()),
        rerun=rerun,
        branch=branch,
        reason=reason,
        author=author or login_name(),
    )
    if as_of and (save or app or url):
        raise UsageMistake(
            "A plan against an earlier state of the catalog cannot be applied.", hint="Leave out --as-of, or --save, --app and --url."
        )
    view = _in_app(wanted, url, project) if app or url else _here(wanted, as_of, store, project, save=save)
    output.result(view, lambda: picture(view, local=not (app or url)))
    return OK


def _here(wanted: NewPlan, as_of: str, store: str, project: str, *, save: bool) -> PlanView:
    folder = find_project(Path.cwd(), project)
    runtime = open_runtime(folder, store_address(store, os.environ, folder), wanted.branch or "main")
    request = RunRequest(
        run_id="plan",
        selection=wanted.selection,
        partitions=wanted.partitions,
        parameters=wanted.parameters,
        rerun=wanted.rerun,
        branch=runtime.branch,
        requested_at=datetime.now(UTC),
    )
    made = make_plan(runtime, request, view=runtime.catalog.view(number_at(runtime.catalog, as_of)))
    if save:
        record = save_plan(runtime, made, planned_at=request.requested_at, author=wanted.author, reason=wanted.reason)
    else:
        record = SavedPlan(plan=plan_id(made), planned_at=request.requested_at, author=wanted.author, reason=wanted.reason)
    return plan_view(runtime, made, record, saved=save)


def _in_app(wanted: NewPlan, url: str, project: str) -> PlanView:
    with connect(url, project=project) as client:
        view = page = client.make_plan(wanted)
        units = list(page.units)
        while page.next_cursor:
            page = client.plan(view.plan, cursor=page.next_cursor)
            units += page.units
    return msgspec.structs.replace(view, units=tuple(units), next_cursor=None)
