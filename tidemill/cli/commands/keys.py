"""`tidemill keys`: who may sign the history. Works on the store itself: a private key never travels to the app."""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from tidemill.catalog.catalog import Catalog
from tidemill.catalog.keys import TrustedKey
from tidemill.catalog.signing import KEY, Signer, create_key_file
from tidemill.catalog.trust import SHORT
from tidemill.cli.catalog_pictures import table
from tidemill.cli.errors import UsageMistake
from tidemill.cli.exits import OK
from tidemill.cli.in_process import open_runtime
from tidemill.cli.options import Author, Json, Project, Reason, Store
from tidemill.cli.output import open_output
from tidemill.cli.values import login_name
from tidemill.cli.where import find_project, store_address
from tidemill.cli.words import plural
from tidemill.execution.runtime import Runtime
from tidemill.model.keys import branch_name


class Action(StrEnum):
    """What to do."""

    LIST = "list"
    CREATE = "create"
    ADD = "add"
    ROTATE = "rotate"
    RETIRE = "retire"


What = Annotated[Action, typer.Argument(metavar="ACTION", help="list, create, add, rotate or retire.", show_default=False)]
Key = Annotated[
    str,
    typer.Argument(
        metavar="KEY",
        help="create: the file to make. rotate: the new key's file. add, retire: a public key (64 hex digits), or a key file.",
        show_default=False,
    ),
]
OneBranch = Annotated[str, typer.Option("--branch", help="Only this branch (default: all).", show_default=False)]
Off = Annotated[bool, typer.Option("--off", help="retire: the last key may go, and with it signing ends.")]


class Made(NamedTuple):
    """What `tidemill keys create --json` prints."""

    key: str
    file: str


class Changed(NamedTuple):
    """What became of one branch."""

    branch: str
    number: int
    """Its last log entry."""
    keys: tuple[str, ...]
    """In force from now on."""


def keys(
    action: What = Action.LIST,
    key: Key = "",
    branch: OneBranch = "",
    off: Off = False,
    reason: Reason = "",
    author: Author = "",
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """List, make, trust, rotate or retire the keys that sign the history.

    Once a branch trusts a key, all that is committed to it is signed. Changes are signed with the key in TIDEMILL_SIGNING_KEY, which must be trusted already;
    the first key signs for itself. Works on the store itself, never through the app.
    """
    if bool(key) == (action is Action.LIST):
        raise UsageMistake(
            "`tidemill keys list` takes no key." if key else f"`tidemill keys {action}` needs a key.",
            hint="Write, for example, `tidemill keys create signing.pem`.",
        )
    output = open_output(as_json=as_json)
    if action is Action.CREATE:
        made = Made(create_key_file(Path(key)).key, key)
        output.result(made._asdict(), lambda: f"{made.file} holds a new private key: keep it secret. Its public key is\n{made.key}")
        return OK
    folder = find_project(Path.cwd(), project)
    runtime = open_runtime(folder, store_address(store, os.environ, folder))
    chosen = [branch_name(branch)] if branch else list(runtime.catalog.branches()) or [runtime.catalog.branch]
    catalogs = [_signing(runtime, each, action, key) for each in chosen]
    if action is Action.LIST:
        found = {each.branch: each.signing_keys() for each in catalogs}
        output.result({name: [each._asdict() for each in known] for name, known in found.items()}, lambda: _list(found))
        return OK
    changed = _change(runtime, catalogs, action, key, off=off, author=author or login_name(), reason=reason or f"{action} a key")
    output.result([each._asdict() for each in changed], lambda: _told(changed))
    return OK


def _signing(runtime: Runtime, branch: str, action: Action, key: str) -> Catalog:
    """A branch, with the key that signs the change: the one that is set; else the first key itself, if its file is given."""
    itself = action is Action.ADD and runtime.catalog.signer is None and not KEY.fullmatch(key)
    return runtime.catalog.on(branch, signer=Signer.load(key) if itself else None)


def _change(
    runtime: Runtime, catalogs: Iterable[Catalog], action: Action, key: str, *, off: bool, author: str, reason: str
) -> list[Changed]:
    public = key if KEY.fullmatch(key) and action is not Action.ROTATE else Signer.load(key).key
    done = []
    for catalog in catalogs:
        add = [] if action is Action.RETIRE else [public]
        retire = [public] if action is Action.RETIRE else []
        if action is Action.ROTATE:
            if catalog.signer is None:
                raise UsageMistake("No signing key is set to rotate from.", hint="Set TIDEMILL_SIGNING_KEY to the key in use.")
            retire = [catalog.signer.key] if catalog.signer.key != public else []
        place = catalog.change_keys(add=add, retire=retire, off=off, author=author, reason=reason, at=runtime.now())
        done.append(Changed(catalog.branch, place.number, tuple(each.key for each in catalog.signing_keys() if not each.until)))
    return done


def _list(found: dict[str, list[TrustedKey]]) -> RenderableType:
    parts: list[RenderableType] = []
    for branch, known in found.items():
        if not known:
            parts.append(Text(f"Branch {branch} is not signed."))
            continue
        made = table(("key", "trusted since", "vouched for by", "retired"))
        for each in known:
            made.add_row(each.key, each.since[:19], "itself" if each.by == each.key else each.by[:SHORT], each.until[:19] or "-")
        parts += [Text(f"Branch {branch}:", style="bold"), made]
    return Group(*parts)


def _told(changed: list[Changed]) -> str:
    lines = []
    for each in changed:
        in_force = f"takes what is signed by {plural(len(each.keys), 'key')}" if each.keys else "is not signed any more"
        lines += [f"Branch {each.branch} {in_force} (commit {each.number}).", *(f"  {key}" for key in each.keys)]
    return "\n".join(lines)
