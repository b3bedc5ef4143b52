"""`tidemill export-events`: a run as OpenLineage events, into a file or to a lineage backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import msgspec
import typer
from rich.text import Text

from tidemill.cli.client import AppClient
from tidemill.cli.errors import ExportFailed, UsageMistake
from tidemill.cli.exits import OK
from tidemill.cli.options import Json, Local, Project, Store, Url, connect
from tidemill.cli.output import open_output
from tidemill.cli.words import plural

Run = Annotated[str, typer.Argument(help="A run.", show_default=False)]
File = Annotated[str, typer.Option("--file", help="Write them here, one JSON document a line.", show_default=False)]
To = Annotated[
    str, typer.Option("--to", help="Post them here, one by one, such as http://localhost:5000/api/v1/lineage.", show_default=False)
]
Namespace = Annotated[str, typer.Option("--namespace", help="Namespace of the jobs and datasets.")]

_SECONDS = 30.0


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
    namespace: Namespace = "tidemill",
    url: Url = "",
    local: Local = False,
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Hand a run over as OpenLineage events.

    The same run gives the same events, with the same ids, however often they are exported.
    """
    if bool(file) == bool(to):
        raise UsageMistake(
            "Say where the events shall go: either --file or --to.", hint="Try `tidemill export-events RUN --file events.jsonl`."
        )
    output = open_output(as_json=as_json)
    with connect(url, local=local, store=store, project=project) as client:
        events = _events(client, run, namespace)
        count = _write(Path(file), events) if file else _post(to, events)
    done = Exported(run_id=run, events=count, to=file or to)
    output.result(done, lambda: Text(f"{plural(count, 'event')} of run {run} to {done.to}"))
    return OK


def _events(client: AppClient, run: str, namespace: str) -> Iterator[dict[str, Any]]:
    cursor: str | None = ""
    while cursor is not None:
        page = client.run_events(run, namespace=namespace, cursor=cursor)
        yield from page.events
        cursor = page.next_cursor


def _write(path: Path, events: Iterator[dict[str, Any]]) -> int:
    """Writes beside the file and renames, so that a failure half way leaves no half file."""
    part = path.with_name(path.name + ".part")
    count = 0
    try:
        with part.open("wb") as out:
            for event in events:
                out.write(msgspec.json.encode(event) + b"\n")
                count += 1
        part.replace(path)
    except OSError as error:
        raise ExportFailed(str(path), error.strerror or str(error), sent=0) from None
    finally:
        part.unlink(missing_ok=True)
    return count


def _post(address: str, events: Iterator[dict[str, Any]]) -> int:
    count = 0
    with httpx.Client(headers={"Content-Type": "application/json"}, timeout=_SECONDS) as http:
        for event in events:
            try:
                reply = http.post(address, content=msgspec.json.encode(event))
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise ExportFailed(address, str(error) or type(error).__name__, sent=count) from None
            if not reply.is_success:
                raise ExportFailed(address, f"it answers HTTP {reply.status_code}", sent=count)
            count += 1
    return count
