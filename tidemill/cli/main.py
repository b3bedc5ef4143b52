"""The entry point: finds the command, runs it, and turns whatever goes wrong into one panel and an exit code."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, ParamSpec

import typer
from typer._click import Command, Context
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import Abort, TyperException

from tidemill.cli.errors import InternalError, Interrupted, UsageMistake
from tidemill.cli.exits import exit_code
from tidemill.cli.output import open_output
from tidemill.errors import TidemillError
from tidemill.version import VERSION

P = ParamSpec("P")


class _Entry(NamedTuple):
    """A command before it is imported: what the overview needs."""

    module: str
    summary: str


COMMANDS: dict[str, _Entry] = {
    "plan": _Entry("tidemill.cli.commands.plan", "Show what would run, why, and what it would take."),
    "run": _Entry("tidemill.cli.commands.run", "Run assets in the app, and watch."),
    "apply": _Entry("tidemill.cli.commands.apply", "Execute exactly a saved plan, or refuse if anything has changed since."),
    "status": _Entry("tidemill.cli.commands.status", "Show the latest runs, or one run."),
    "cancel": _Entry("tidemill.cli.commands.cancel", "Cancel a run."),
    "assets": _Entry("tidemill.cli.commands.assets", "List the assets."),
    "show": _Entry("tidemill.cli.commands.show", "Show an asset and its rows."),
    "why": _Entry("tidemill.cli.commands.why", "Explain what a unit was made from, to the sources."),
    "why-not": _Entry("tidemill.cli.commands.why_not", "Explain why the next plan would or would not run a unit."),
    "what-if": _Entry("tidemill.cli.commands.what_if", "Tell what would come of a change."),
    "fingerprint": _Entry("tidemill.cli.commands.fingerprint", "Show what counts when it is decided whether a unit has to run."),
    "history": _Entry("tidemill.cli.commands.history", "Show what was committed, newest first."),
    "diff": _Entry("tidemill.cli.commands.diff", "Show which units differ between two states."),
    "rollback": _Entry("tidemill.cli.commands.rollback", "Go back to an earlier state."),
    "branch": _Entry("tidemill.cli.commands.branch", "List, make, compare, merge, update or end branches."),
    "keys": _Entry("tidemill.cli.commands.keys", "List, make, trust, rotate or retire the keys that sign the history."),
    "verify": _Entry("tidemill.cli.commands.verify", "Check that everything stored is what it should be."),
    "export": _Entry("tidemill.cli.commands.export", "Copy a branch with its whole history into a folder."),
    "gc": _Entry("tidemill.cli.commands.gc", "Let go of what nothing reaches."),
    "graph": _Entry("tidemill.cli.commands.graph", "Draw which asset reads which."),
    "lineage": _Entry("tidemill.cli.commands.lineage", "Show what a unit was made from, or what from it."),
    "export-events": _Entry("tidemill.cli.commands.export_events", "Hand a run over as OpenLineage events."),
}


class _LazyGroup(TyperGroup):
    """Commands that are imported when they are called; until then a name and a summary stand for them."""

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002 - the signature is Typer's
        return list(COMMANDS)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:  # noqa: ARG002
        entry = COMMANDS.get(cmd_name)
        return None if entry is None else TyperCommand(cmd_name, help=entry.summary)

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        self.commands = {name: TyperCommand(name) for name in COMMANDS}  # what Typer looks through for the nearest name
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None or command is None else load_command(name), rest


def load_command(name: str) -> Command:
    """The command of a name, imported."""
    module: Any = importlib.import_module(COMMANDS[name].module)
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name=name, no_args_is_help=False)(_interruptible(getattr(module, name.replace("-", "_"))))
    return typer.main.get_command(single)


def _interruptible(function: Callable[P, int]) -> Callable[P, int]:
    """Ctrl-C as one of our errors: Typer would make a bare exit code of it."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt:
            raise Interrupted from None

    return call


# Help without Rich: its markup, tracebacks and Markdown would take three times as long to import as all else together.
app = typer.Typer(
    cls=_LazyGroup,
    name="tidemill",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        open_output(as_json=False).result({"version": VERSION}, lambda: f"tidemill {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
) -> None:
    """Durable data pipelines: plan, run and look at assets.

    Every command takes --json and then prints exactly one JSON document.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Runs the command line; its exit code. Prints every error itself."""
    try:
        code = typer.main.get_command(app).main(list(arguments), prog_name="tidemill", standalone_mode=False)
    except TyperException as error:
        return _tell(arguments, UsageMistake.of(error))
    except TidemillError as error:
        return _tell(arguments, error)
    except (KeyboardInterrupt, Abort):
        return _tell(arguments, Interrupted())
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep Python from complaining while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the last door before the terminal
        return _tell(arguments, InternalError(error, traceback.format_exc()))
    return code if isinstance(code, int) else 0


def _tell(arguments: Sequence[str], error: TidemillError) -> int:
    open_output(as_json="--json" in arguments).error(error)
    return exit_code(error)
