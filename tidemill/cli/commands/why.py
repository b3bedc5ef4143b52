"""`tidemill why`: the exact chain behind what a unit holds."""

from __future__ import annotations

from typing import Annotated

import typer

from tidemill.cli.exits import OK
from tidemill.cli.explain_pictures import why as picture
from tidemill.cli.options import AsOf, Branch, Json, Local, Project, Store, Unit, Url, connect
from tidemill.cli.output import open_output
from tidemill.model.keys import unit_key

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Versions of the chain to show.")]


def why(
    unit: Unit,
    as_of: AsOf = "",
    branch: Branch = "",
    limit: Limit = 200,
    url: Url = "",
    local: Local = False,
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Explain what a unit was made from, to the sources.

    From the record: this code, these parameters, these versions of its inputs, that run.
    """
    output = open_output(as_json=as_json)
    asset, partition = unit_key(unit)
    with connect(url, local=local, store=store, project=project) as client:
        found = client.why(asset, partition=partition, as_of=as_of, branch=branch, limit=limit)
    output.result(found, lambda: picture(found))
    return OK
