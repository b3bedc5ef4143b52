"""`tidemill assets`: what is defined, and how much of it is there."""

from __future__ import annotations

from tidemill.cli.asset_pictures import listing
from tidemill.cli.exits import OK
from tidemill.cli.options import AsOf, Branch, Json, Local, Project, Store, Url, connect
from tidemill.cli.output import open_output


def assets(
    as_of: AsOf = "",
    branch: Branch = "",
    url: Url = "",
    local: Local = False,
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """List the assets."""
    output = open_output(as_json=as_json)
    with connect(url, local=local, store=store, project=project) as client:
        found = client.assets(as_of=as_of, branch=branch)
    output.result(found, lambda: listing(found))
    return OK
