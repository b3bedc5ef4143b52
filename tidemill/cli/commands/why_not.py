"""`tidemill why-not`: why the next plan would or would not run a unit."""

from __future__ import annotations

from tidemill.cli.exits import OK
from tidemill.cli.explain_pictures import why_not as picture
from tidemill.cli.options import AsOf, Branch, Json, Local, Project, Store, Unit, Url, connect
from tidemill.cli.output import open_output
from tidemill.model.keys import unit_key


def why_not(
    unit: Unit,
    as_of: AsOf = "",
    branch: Branch = "",
    url: Url = "",
    local: Local = False,
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Explain why the next plan would or would not run a unit.

    Compares what it was made from with what it would be made from now, here and upstream. Looks at the sources; runs nothing. With --local, the
    definitions in this folder count; otherwise those of the app.
    """
    output = open_output(as_json=as_json)
    asset, partition = unit_key(unit)
    with connect(url, local=local, store=store, project=project) as client:
        found = client.why_not(asset, partition=partition, as_of=as_of, branch=branch)
    output.result(found, lambda: picture(found))
    return OK
