"""`tidemill branch`: list, make, compare, merge, update and end branches."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from tidemill.api.catalog_payloads import CatalogMoved, MergeRequest, NewBranch
from tidemill.catalog.writer import MAIN
from tidemill.cli.catalog_pictures import branches, difference
from tidemill.cli.client import AppClient
from tidemill.cli.errors import UsageMistake
from tidemill.cli.exits import OK
from tidemill.cli.options import Author, Changes, Json, Local, Project, Reason, Store, Url, connect
from tidemill.cli.output import Output, open_output
from tidemill.cli.values import login_name
from tidemill.cli.words import plural


class Action(StrEnum):
    """What to do."""

    LIST = "list"
    CREATE = "create"
    DIFF = "diff"
    MERGE = "merge"
    UPDATE = "update"
    DELETE = "delete"


What = Annotated[Action, typer.Argument(metavar="ACTION", help="list, create, diff, merge, update or delete.", show_default=False)]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The branch; needed for all but list.", show_default=False)]
Other = Annotated[
    str,
    typer.Option(
        "--from",
        "--into",
        "--against",
        help="The other branch: where it starts, what it is merged into, compared with or updated from (default: the one the app runs on).",
        show_default=False,
    ),
]
Start = Annotated[str, typer.Option("--at", help="create: where on the other branch it starts (default: its end).", show_default=False)]
Keep = Annotated[
    bool,
    typer.Option(
        "--keep", help="merge, update: where both changed a unit, leave what the branch that takes over holds; run it again then."
    ),
]


def branch(
    action: What = Action.LIST,
    name: Name = "",
    other: Other = "",
    start: Start = "",
    keep: Keep = False,
    limit: Changes = 50,
    reason: Reason = "",
    author: Author = "",
    url: Url = "",
    local: Local = False,
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """List, make, compare, merge, update or end branches.

    A branch starts where another one is and copies nothing. What is written to it is not seen elsewhere until it is merged, and what is written elsewhere is not
    seen on it until it is updated.
    """
    if bool(name) == (action is Action.LIST):
        raise UsageMistake(
            "`tidemill branch list` takes no name." if name else f"`tidemill branch {action}` needs the name of a branch.",
            hint="Write, for example, `tidemill branch create trial`.",
        )
    output = open_output(as_json=as_json)
    who = author or login_name()
    with connect(url, local=local, store=store, project=project) as client:
        match action:
            case Action.LIST:
                found = client.branches()
                output.result(found, lambda: branches(found))
            case Action.CREATE:
                made = client.create_branch(NewBranch(name=name, start=start, origin=other, author=who, reason=reason))
                output.result(
                    made, lambda: f"{name} holds {plural(made.units, 'unit')}. Run on it with TIDEMILL_BRANCH={name}, or --branch {name}."
                )
            case Action.DIFF:
                changes = client.diff_branch(name, against=other, limit=limit)
                output.result(changes, lambda: difference(changes))
            case Action.MERGE:
                _merge(output, client, name, MergeRequest(into=other, keep=keep, author=who, reason=reason))
            case Action.UPDATE:
                _merge(output, client, other or _parent(client, name), MergeRequest(into=name, keep=keep, author=who, reason=reason))
            case Action.DELETE:
                _tell(output, client.delete_branch(name, author=who, reason=reason), "is no more; its log stays")
    return OK


def _merge(output: Output, client: AppClient, source: str, wanted: MergeRequest) -> None:
    _tell(output, client.merge_branch(source, wanted), f"took over {source}")


def _parent(client: AppClient, name: str) -> str:
    """What a branch is updated from: the branch the app runs on, or main if it is that one."""
    current = next((each.name for each in client.branches().branches if each.current), MAIN)
    return MAIN if current == name else current


def _tell(output: Output, done: CatalogMoved, what: str) -> None:
    output.result(done, lambda: f"{done.branch} {what} (commit {done.number}, {plural(done.changed, 'unit')} changed).")
