"""`tidemill what-if`: what would come of a change of code, of an input, or of a contract."""

from __future__ import annotations

from typing import Annotated

import typer

from tidemill.api.plan_payloads import ColumnChange, Supposition
from tidemill.cli.errors import UsageMistake
from tidemill.cli.exits import OK
from tidemill.cli.explain_pictures import what_if as picture
from tidemill.cli.options import Branch, Json, Local, Parameters, Partitions, Project, Store, Url, connect
from tidemill.cli.output import open_output
from tidemill.cli.values import read_parameters

Code = Annotated[
    list[str] | None, typer.Option("--code", metavar="ASSET", help="Its code would change; may be repeated.", show_default=False)
]
Content = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="ASSET[@PARTITION]", help="Its content would change; may be repeated.", show_default=False),
]
Drop = Annotated[
    list[str] | None, typer.Option("--drop", metavar="ASSET:COLUMN", help="The column would be gone; may be repeated.", show_default=False)
]
Retype = Annotated[
    list[str] | None,
    typer.Option("--retype", metavar="ASSET:COLUMN=TYPE", help="The column would have another type; may be repeated.", show_default=False),
]


def what_if(
    code: Code = None,
    content: Content = None,
    drop: Drop = None,
    retype: Retype = None,
    partitions: Partitions = "*",
    param: Parameters = None,
    branch: Branch = "",
    url: Url = "",
    local: Local = False,
    store: Store = "",
    project: Project = "",
    as_json: Json = False,
) -> int:
    """Tell what would come of a change.

    Which units would run, which only if something they read comes out otherwise, why, what it would take, and which readers of a column would break. From the
    same planner as `plan`. Looks at the sources; runs nothing. With --local, the definitions in this folder count; otherwise those of the app.
    """
    output = open_output(as_json=as_json)
    columns = [_column(text, "") for text in drop or ()] + [_column(*_typed(text)) for text in retype or ()]
    supposed = Supposition(
        code=tuple(code or ()),
        inputs=tuple(content or ()),
        columns=tuple(columns),
        partitions=partitions,
        parameters=read_parameters(param or ()),
        branch=branch,
    )
    with connect(url, local=local, store=store, project=project) as client:
        found = client.what_if(supposed)
    output.result(found, lambda: picture(found))
    return OK


def _typed(text: str) -> tuple[str, str]:
    column, equals, kind = text.partition("=")
    if not equals or not kind:
        raise UsageMistake(f"`--retype {text}` names no type.", hint="Write --retype ASSET:COLUMN=TYPE, such as gold.total:amount=double.")
    return column, kind


def _column(text: str, kind: str) -> ColumnChange:
    asset, colon, column = text.partition(":")
    if not colon or not column:
        raise UsageMistake(f"`{text}` names no column.", hint="Write ASSET:COLUMN, such as gold.total:amount.")
    return ColumnChange(asset=asset, column=column, type=kind)
