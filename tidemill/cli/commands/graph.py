"""`tidemill graph`: the asset graph as text or a table that other programs draw or read, or explained for people."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.text import Text

from tidemill.api.drawing import adjacency, to_dot, to_mermaid
from tidemill.api.payloads import GraphView
from tidemill.cli.client import AppClient
from tidemill.cli.errors import NotWritten, UsageMistake
from tidemill.cli.exits import OK
from tidemill.cli.options import AsOf, Branch, Json, Local, Project, Store, Url, connect
from tidemill.cli.output import open_output


class GraphFormat(StrEnum):
    """What `--format` takes."""

    MERMAID = "mermaid"
    DOT = "dot"
    JSON = "json"
    PARQUET = "parquet"
    EXPLAIN = "explain"


Format = Annotated[
    GraphFormat,
    typer.Option("--format", "-f", help="json, parquet: adjacency lists. explain: a tree, with what every asset holds."),
]
File = Annotated[str, typer.Option("--output", "-o", help="Write it here instead of to standard output.", show_default=False)]
Units = Annotated[bool, typer.Option("--units", help="With parquet: a row for each unit instead of each asset.")]


def graph(
    format: Format = GraphFormat.MERMAID,  # noqa: A002 - the option's name
    file: File = "",
    units: Units = False,
    as_of: AsOf = "",
    branch: Branch = "",
    url: Url = "",
    local: Local = False,
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Draw which asset reads which.

    With --json the graph comes as GET /api/graph gives it, with mappings and groups.
    """
    if units and format is not GraphFormat.PARQUET:
        raise UsageMistake("--units goes with parquet only.", hint="Add `--format parquet`.")
    if format is GraphFormat.PARQUET and not file and not as_json and sys.stdout.isatty():
        raise UsageMistake("Parquet is not for a terminal.", hint="Write it to a file: `--output graph.parquet`.")
    output = open_output(as_json=as_json)
    with connect(url, local=local, store=store, project=project) as client:
        if as_json and not file:
            view = client.graph()
            output.result(view, lambda: Text(""))
            return OK
        data = _data(client, format, units=units, as_of=as_of, branch=branch)
    if file:
        _write(Path(file), data)
        output.result({"format": format.value, "size_bytes": len(data), "output": file}, lambda: Text(f"The graph is in {file}."))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    return OK


def _data(client: AppClient, wanted: GraphFormat, *, units: bool, as_of: str, branch: str) -> bytes:
    match wanted:
        case GraphFormat.PARQUET | GraphFormat.EXPLAIN:
            return client.graph_as(wanted.value, units=units, as_of=as_of, branch=branch)
        case _:
            return _drawn(client.graph(), wanted).encode()


def _drawn(view: GraphView, wanted: GraphFormat) -> str:
    match wanted:
        case GraphFormat.DOT:
            return to_dot(view)
        case GraphFormat.JSON:
            return msgspec.json.format(msgspec.json.encode(adjacency(view)), indent=2).decode() + "\n"
        case _:
            return to_mermaid(view)


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise NotWritten(str(path), error.strerror or str(error)) from None
