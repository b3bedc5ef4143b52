"""`tidemill graph`: the asset graph as text that other programs draw or read."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
import typer
from rich.text import Text

from tidemill.api.drawing import adjacency, to_dot, to_mermaid
from tidemill.api.payloads import GraphView
from tidemill.cli.exits import OK
from tidemill.cli.options import Json, Local, Project, Store, Url, connect
from tidemill.cli.output import open_output


class GraphFormat(StrEnum):
    """What `--format` takes."""

    MERMAID = "mermaid"
    DOT = "dot"
    JSON = "json"


Format = Annotated[GraphFormat, typer.Option("--format", "-f", help="json: for each asset, the assets that read it.")]


def graph(
    format: Format = GraphFormat.MERMAID,  # noqa: A002 - the option's name
    url: Url = "",
    local: Local = False,
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Draw which asset reads which.

    With --json the graph comes as GET /api/graph gives it, with mappings and groups.
    """
    output = open_output(as_json=as_json)
    with connect(url, local=local, store=store, project=project) as client:
        view = client.graph()
    output.result(view, lambda: Text(_drawn(view, format), no_wrap=True, overflow="ignore"))
    return OK


def _drawn(view: GraphView, wanted: GraphFormat) -> str:
    match wanted:
        case GraphFormat.MERMAID:
            return to_mermaid(view).rstrip("\n")
        case GraphFormat.DOT:
            return to_dot(view).rstrip("\n")
        case GraphFormat.JSON:
            return msgspec.json.format(msgspec.json.encode(adjacency(view)), indent=2).decode()
