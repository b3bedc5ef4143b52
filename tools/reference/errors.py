"""The page about errors: every class of the tree, and every code that a run may report about itself or a unit."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import tidemill
from tidemill.api.problems import NAMED_IN_BODY, status_of, title_of
from tidemill.cli.exits import exit_code
from tidemill.errors import InvalidKey, PlanError, TidemillError
from tools.reference.fields import cell

_HEAD = """\
<!-- Written by `python -m tools.reference`; change the code, not this page. -->
# Errors

Every error has a stable code, a sentence (what, which, why) and mostly a hint (what next). The API answers with a problem document whose `code` it is and
whose `type` is `urn:tidemill:problem:<code>`; the command line shows it in a panel, or as `{"error": {…}}` with `--json`, and exits with the code below.
Status `404/422` means: 404 where the URL names the thing, 422 where the body does. Marked ↻: trying again may help.
"""


class Reported(NamedTuple):
    """A code that is not raised but recorded: in a run's result, or with a unit."""

    code: str
    message: str
    hint: str


def errors_page() -> str:
    """The page."""
    rows = [
        f"| `{kind.code}`{' ↻' if kind.retryable else ''} | {_status(kind)} | {exit_code(_sample(kind))} | {cell(title_of(kind))}. |"
        for kind in _raised()
    ]
    reported = [f"| `{each.code}` | {cell(each.message)} | {cell(each.hint)} |" for each in sorted(_reported())]
    return "\n".join(
        [
            _HEAD,
            "## Raised",
            "",
            "| code | HTTP | exit | |",
            "|---|---|---|---|",
            *rows,
            "",
            "## Reported by runs",
            "",
            "In `error` and `failures` of `GET /api/runs/{run_id}`. Every code above may appear there too.",
            "",
            "| code | message | hint |",
            "|---|---|---|",
            *reported,
            "",
        ]
    )


def error_classes() -> list[type[TidemillError]]:
    """Every error class of the product, by code."""
    for module in pkgutil.walk_packages(tidemill.__path__, "tidemill."):
        if module.name != "tidemill.__main__":
            importlib.import_module(module.name)
    found: set[type[TidemillError]] = set()
    front: list[type[TidemillError]] = [TidemillError]
    while front:
        kind = front.pop()
        front += kind.__subclasses__()
        if kind.__module__.startswith("tidemill."):
            found.add(kind)
    return sorted(found, key=lambda kind: (kind.code, kind.__name__))


def _raised() -> list[type[TidemillError]]:
    """The classes with a code of their own."""
    return [kind for kind in error_classes() if "code" in kind.__dict__ and kind is not TidemillError]


def _status(kind: type[TidemillError]) -> str:
    if kind.__module__.startswith("tidemill.cli."):
        return "-"
    by_url = status_of(_sample(kind))
    return f"{by_url}/{NAMED_IN_BODY}" if issubclass(kind, PlanError | InvalidKey) and by_url != NAMED_IN_BODY else str(by_url)


def _sample(kind: type[TidemillError]) -> TidemillError:
    """An instance without its constructor: only its class matters here."""
    return kind.__new__(kind)


def _reported() -> set[Reported]:
    found: set[Reported] = set()
    for path in sorted(Path(tidemill.__path__[0]).rglob("*.py")):
        found.update(_codes_in(ast.parse(path.read_text(encoding="utf-8"))))
    return found


def _codes_in(tree: ast.AST) -> Iterator[Reported]:
    """Codes spelled out in a call: `ErrorInfo(code="…", message=…, hint=…)`, or an exception that takes the three in this order."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        arguments = {keyword.arg: keyword.value for keyword in node.keywords}
        if node.func.id == "Rejected":
            arguments |= dict(zip(("code", "message", "hint"), node.args, strict=False))
        elif node.func.id != "ErrorInfo":
            continue
        code = arguments.get("code")
        if isinstance(code, ast.Constant) and isinstance(code.value, str):
            yield Reported(code.value, _text(arguments.get("message")), _text(arguments.get("hint")))


def _text(node: ast.expr | None) -> str:
    """The words of a string in the source, with `…` for what is filled in."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_text(each) if isinstance(each, ast.Constant) else "…" for each in values)
        case ast.IfExp(body=body):
            return _text(body)
        case None:
            return ""
        case _:
            return "…"
