"""`tidemill export-events`: a run as OpenLineage events, into a file or to a lineage backend."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from tidemill.cli.client import AppClient
from tidemill.cli.errors import UsageMistake
from tidemill.cli.event_targets import post, write
from tidemill.cli.exits import OK
from tidemill.cli.options import Json, Local, Project, Store, Url, connect
from tidemill.cli.output import open_output
from tidemill.cli.words import plural
from tidemill.settings import LineageBackend

Run = Annotated[str, typer.Argument(help="A run.", show_default=False)]
File = Annotated[str, typer.Option("--file", help="Write them here, one JSON document a line.", show_default=False)]
To = Annotated[
    str, typer.Option("--to", help="Post them here, one by one, such as http://localhost:5000/api/v1/lineage.", show_default=False)
]
Namespace = Annotated[
    str,
    typer.Option(
        "--namespace", help="Namespace of the jobs and datasets (default: OPENLINEAGE_NAMESPACE, else tidemill).", show_default=False
    ),
]


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What `tidemill export-events RUN --json` prints."""

    run_id: str
    events: int
    to: str
    """The file or address."""


def export_events(
    run: Run,
    file: File = "",
    to: To = "",
    namespace: Namespace = "",
    url: Url = "",
    local: Local = False,
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Hand a run over as OpenLineage events.

    The same run gives the same events, with the same ids, however often they are exported, and also those that it sent itself while it went on. Without --file
    or --to they go where TIDEMILL_OPENLINEAGE or OPENLINEAGE_URL says; a backend's key is taken from TIDEMILL_OPENLINEAGE_KEY or OPENLINEAGE_API_KEY.
    """
    backend = LineageBackend.from_environment(os.environ)
    if not file and not to and backend is not None and backend.path is None:
        to = backend.address
    if bool(file) == bool(to):
        raise UsageMistake(
            "Say where the events shall go: either --file or --to.", hint="Try `tidemill export-events RUN --file events.jsonl`."
        )
    output = open_output(as_json=as_json)
    with connect(url, local=local, store=store, project=project) as client:
        events = _events(client, run, namespace or LineageBackend.namespace_in(os.environ))
        count = write(Path(file), events) if file else post(to, events, LineageBackend.key_in(os.environ), tell=output.line)
    done = Exported(run_id=run, events=count, to=file or to)
    output.result(done, lambda: Text(f"{plural(count, 'event')} of run {run} to {done.to}"))
    return OK


def _events(client: AppClient, run: str, namespace: str) -> Iterator[dict[str, Any]]:
    cursor: str | None = ""
    while cursor is not None:
        page = client.run_events(run, namespace=namespace, cursor=cursor)
        yield from page.events
        cursor = page.next_cursor
