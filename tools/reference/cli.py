"""The page about the command line, from the commands themselves."""

from __future__ import annotations

import inspect
from typing import Any

from tidemill.cli.exits import MEANINGS
from tidemill.cli.main import COMMANDS, load_command
from tools.reference.fields import cell

_HEAD = """\
<!-- Written by `python -m tools.reference`; change the code, not this page. -->
# Command line

`tidemill` speaks to the app over HTTP, except `plan`, `apply` and `fingerprint`, which use the definitions in this folder, and `verify`, `export` and `gc`,
which work on a store themselves. With `--local` (or `--store`) the other commands work on the local store instead of asking the app.

Every command takes `--json` and then prints exactly one JSON document on standard output: the result, or `{"error": {"code": …, "message": …, "hint": …}}`.
Without it, results go to standard output, and remarks, progress and errors to standard error.

| | |
|---|---|
"""


def cli_page() -> str:
    """The page."""
    parts = [_HEAD + "".join(f"| [`tidemill {name}`](#tidemill-{name}) | {entry.summary} |\n" for name, entry in COMMANDS.items())]
    for name in COMMANDS:
        command: Any = load_command(name)
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        options = [each for each in command.params if each.param_type_name == "option" and not each.hidden and each.name != "help"]
        usage = " ".join([f"tidemill {name}", *(_argument(each) for each in arguments), "[OPTIONS]"])
        parts.append(f"## tidemill {name}\n\n```text\n{usage}\n```\n\n{inspect.cleandoc(command.help or '')}\n")
        rows = [f"| `{_argument(each)}` | {cell(each.help or '')} |" for each in arguments]
        rows += [f"| {', '.join(f'`{spelling}`' for spelling in sorted(each.opts, key=len))} | {cell(_option(each))} |" for each in options]
        parts.append("\n".join(["| | |", "|---|---|", *rows]) + "\n")
    parts.append("## Exit codes\n\n| | |\n|---|---|\n" + "".join(f"| {code} | {meaning} |\n" for code, meaning in MEANINGS.items()))
    return "\n".join(parts)


def _argument(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required else f"[{name}]"


def _option(option: Any) -> str:
    default = option.default
    told = f" Default: `{default}`." if option.show_default and default not in (None, "", False) else ""
    return f"{option.help}{told}"
