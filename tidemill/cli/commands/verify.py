"""`tidemill verify`: walk everything a store's branches reach, and name the first thing that is not what it should be."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from tidemill.catalog.signing import KEY
from tidemill.catalog.verify import Verified
from tidemill.catalog.verify import verify as walk
from tidemill.cli.errors import UsageMistake
from tidemill.cli.exits import DEFECT, OK
from tidemill.cli.in_process import open_runtime
from tidemill.cli.options import Json, Project, Store
from tidemill.cli.output import open_output
from tidemill.cli.where import find_project, store_address
from tidemill.cli.words import plural, size
from tidemill.execution.checking import check_objects, check_records
from tidemill.model.keys import branch_name

Bundle = Annotated[str, typer.Option("--bundle", help="Verify an exported bundle instead: its folder.", show_default=False)]
OneBranch = Annotated[str, typer.Option("--branch", help="Only this branch (default: all).", show_default=False)]
Checkpoint = Annotated[
    str,
    typer.Option(
        "--checkpoint",
        metavar="NUMBER:HASH",
        help="A log entry that the branch (default: main) is known to have reached, as `tidemill export` told it.",
        show_default=False,
    ),
]
Trust = Annotated[
    str,
    typer.Option(
        "--trust",
        metavar="KEY",
        help="A public key that every branch must be vouched for by, itself or through keys it signed for (default: believe the first).",
        show_default=False,
    ),
]
Rows = Annotated[bool, typer.Option("--rows", help="Also decode every file and hash its rows again.")]

_CHECKPOINT = re.compile(r"([0-9]{1,12}):([0-9a-f]{64})")


def verify(
    bundle: Bundle = "",
    branch: OneBranch = "",
    checkpoint: Checkpoint = "",
    rows: Rows = False,
    trust: Trust = "",
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Check that everything stored is what it should be.

    Reads the store itself and trusts nobody, not the app either. Names the first object that is missing, altered, out of its place or not signed by whom it should be, and then exits with 4.
    """
    output = open_output(as_json=as_json)
    folder = find_project(Path.cwd(), project)
    where = bundle or store_address(store, os.environ, folder)
    if bundle and not Path(bundle).is_dir():
        raise UsageMistake(f"There is no folder {bundle}.", hint="Give --bundle the folder that `tidemill export` has written.")
    known = _checkpoint(checkpoint)
    runtime = open_runtime(folder, where)
    found = walk(
        runtime.store,
        branches=[branch_name(branch)] if branch else None,
        checkpoints={branch or "main": known} if known else None,
        rows=rows,
        trusted=_key(trust),
        also=check_objects if bundle else partial(check_records, now=runtime.now()),
    )
    if not found.entries and found.problem is None:
        raise UsageMistake("There is nothing to verify: nothing was ever committed there.", hint="Say where with --store or --bundle.")
    output.result(found._asdict() | {"problem": found.problem._asdict() if found.problem else None}, lambda: _picture(found, trust))
    return DEFECT if found.problem else OK


def _checkpoint(text: str) -> tuple[int, str] | None:
    if not text:
        return None
    read = _CHECKPOINT.fullmatch(text)
    if read is None:
        raise UsageMistake(f"--checkpoint {text} is not NUMBER:HASH.", hint="Copy it from what `tidemill export` said.")
    return int(read[1]), read[2]


def _key(text: str) -> str:
    if text and not KEY.fullmatch(text):
        raise UsageMistake(f"--trust {text[:80]} is not a public key.", hint="It has 64 hexadecimal digits; see `tidemill keys list`.")
    return text


def _picture(found: Verified, trust: str) -> RenderableType:
    looked = (
        f"{found.branches} branch{'' if found.branches == 1 else 'es'}, {found.entries:,} log {'entry' if found.entries == 1 else 'entries'}, "
        f"{plural(found.nodes, 'node')}, {plural(found.records, 'record')}, {plural(found.files, 'file')}, {size(found.size_bytes)}"
    )
    if found.signed:
        began = "" if trust else f", beginning with the key {', '.join(found.first_keys)} (believed; --trust holds them to one you know)"
        looked += f"\n{plural(found.signed, 'snapshot')} signed by keys in force{began}"
    if found.problem is None:
        return Text.assemble(("All is as it should be: ", "green"), looked)
    return Text.assemble((f"{found.problem}\n", "red"), f"Looked at before: {looked}")
