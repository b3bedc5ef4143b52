"""Options that several commands share, and what they come to."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from tidemill.cli.client import AppClient
from tidemill.cli.where import app_url, find_project, store_address

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Url = Annotated[
    str, typer.Option("--url", help="The app's address (default: TIDEMILL_URL, else the running local stack)", show_default=False)
]
Local = Annotated[bool, typer.Option("--local", help="Read the local store instead of asking the app.")]
Store = Annotated[
    str,
    typer.Option(
        "--store",
        help="The local store: a folder or a storage address (default: TIDEMILL_STORAGE, else .tidemill/local)",
        show_default=False,
    ),
]
Project = Annotated[
    str, typer.Option("--project", help="The folder that holds pipelines/ (default: found upwards from here)", show_default=False)
]
Selection = Annotated[str, typer.Argument(help="Assets, such as 'flights/*', gold.delay_report or '+gold.route_day'.", show_default=False)]
Unit = Annotated[str, typer.Argument(metavar="ASSET[@PARTITION]", help="An asset, or one partition of it.", show_default=False)]
Branch = Annotated[
    str, typer.Option("--branch", help="The branch (default: the one the app runs on; with --local, main)", show_default=False)
]
AsOf = Annotated[
    str,
    typer.Option(
        "--as-of",
        help="As it was then: a log number, a snapshot's hash, an instant such as 2026-11-21T09:30Z, or a run id (default: now)",
        show_default=False,
    ),
]
Changes = Annotated[int, typer.Option("--limit", "-n", min=0, max=10_000, help="Differences to show.")]
Partitions = Annotated[str, typer.Option("--partitions", "-p", help="Partitions, such as 2013-01, 2013-01..2013-06 or '*'.")]
Parameters = Annotated[
    list[str] | None, typer.Option("--param", help="A parameter of this run, as name=value; may be repeated.", show_default=False)
]
Rerun = Annotated[bool, typer.Option("--rerun", help="Run units even if nothing they are made from has changed.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the run and its commit.", show_default=False)]
Author = Annotated[
    str, typer.Option("--author", help="Who asks; kept with the run and its commit (default: your login name)", show_default=False)
]


def connect(url: str, *, local: bool = False, store: str = "", project: str = "") -> AppClient:
    """The app, or the same API over the local store.

    Args:
        url: the option.
        local: the option; a given store means the same.
        store: the option.
        project: the option.
    """
    folder = find_project(Path.cwd(), project)
    if not local and not store:
        return AppClient(app_url(url, os.environ, folder), key=os.environ.get("TIDEMILL_KEY", ""))
    in_process: Any = importlib.import_module("tidemill.cli.in_process")  # Arrow and DuckDB load only when they are needed
    transport: httpx.BaseTransport = in_process.InProcessTransport(
        in_process.open_runtime(folder, store_address(store, os.environ, folder))
    )
    return AppClient(in_process.URL, transport=transport)
