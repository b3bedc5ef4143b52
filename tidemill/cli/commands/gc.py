"""`tidemill gc`: let go of what nothing reaches, slowly and in two steps."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from tidemill.catalog.gc import GRACE, Collection, collect
from tidemill.cli.exits import OK
from tidemill.cli.in_process import open_runtime
from tidemill.cli.options import Json, Project, Store
from tidemill.cli.output import open_output
from tidemill.cli.where import find_project, store_address
from tidemill.cli.words import plural
from tidemill.execution.collecting import held_by_runs

Really = Annotated[bool, typer.Option("--collect", help="Take the step. Without it, only say what it would do.")]
Days = Annotated[
    float, typer.Option("--grace-days", min=0.1, help="How long what is announced waits before it is deleted; longer than any run.")
]

_TOLD = {
    "condemned": "Announced; the first collection after the grace period deletes them.",
    "waiting": "The grace period of what was announced is not over.",
    "swept": "Deleted what was announced before, and announced anew.",
    "partial": "There was too much for one go: collect again.",
    "busy": "Another collector is at work.",
}
_WOULD = {
    "condemned": "This was a dry run; --collect would announce them.",
    "swept": "This was a dry run; --collect would delete what was announced before, once its grace period is over, and announce the rest.",
}


def gc(
    really: Really = False,
    grace_days: Days = GRACE / timedelta(days=1),
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Let go of what nothing reaches.

    Announces what may go, and deletes it only if it is still so after the grace period. What a branch, its history or a run reaches always stays.
    """
    output = open_output(as_json=as_json)
    folder = find_project(Path.cwd(), project)
    runtime = open_runtime(folder, store_address(store, os.environ, folder))
    done = collect(runtime.store, now=runtime.now(), extra=held_by_runs(runtime), grace=timedelta(days=grace_days), dry_run=not really)
    output.result(done._asdict() | {"dry_run": not really}, lambda: _sentence(done, really=really))
    return OK


def _sentence(done: Collection, *, really: bool) -> str:
    if done.phase in ("waiting", "busy"):
        return f"{plural(len(done.condemned), 'object')} announced. {_TOLD[done.phase]}"
    deleted = f"{plural(len(done.deleted), 'object')} {'deleted' if really else 'would be deleted'}, " if done.deleted else ""
    counted = f"{plural(done.reachable, 'object')} reachable, {deleted}{plural(len(done.condemned), 'object')} that nothing reaches."
    return f"{counted}\n{(_TOLD if really else _TOLD | _WOULD)[done.phase]}"
