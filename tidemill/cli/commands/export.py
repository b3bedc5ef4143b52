"""`tidemill export`: a branch with its whole history as a folder, to keep, hand over or verify without a network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from tidemill.catalog.bundle import export as copy
from tidemill.cli.exits import OK
from tidemill.cli.in_process import open_runtime
from tidemill.cli.options import Json, Project, Store
from tidemill.cli.output import open_output
from tidemill.cli.where import find_project, store_address
from tidemill.cli.words import plural, size
from tidemill.model.keys import branch_name

Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="Where to write; made if it is not there.", show_default=False)]
OneBranch = Annotated[str, typer.Option("--branch", help="The branch.")]


def export(folder: Folder, branch: OneBranch = "main", store: Store = "", project: Project = "", as_json: Json = False) -> int:
    """Copy a branch with its whole history into a folder.

    Cut short, it is completed by the next one. Keep the checkpoint that it tells you elsewhere, and the bundle can be held to it.
    """
    output = open_output(as_json=as_json)
    root = find_project(Path.cwd(), project)
    source = open_runtime(root, store_address(store, os.environ, root)).store
    done = copy(source, open_runtime(root, str(Path(folder).resolve())).store, branch_name(branch))
    told = f"{plural(done.objects, 'object')} ({size(done.size_bytes)}) of {branch} up to commit {done.number}"
    checked = f"tidemill verify --bundle {folder} --branch {branch} --checkpoint {done.number}:{done.entry}"
    output.result(done._asdict(), lambda: f"{told}\n{checked}")
    return OK
