"""The one place that prints: for people with Rich, for programs as JSON. A command hands over a value and how to picture it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from tidemill.cli.errors import AppProblem, InternalError
from tidemill.errors import DefinitionError, TidemillError

Picture = Callable[[], RenderableType]
Watch = Callable[[RenderableType, str], None]
"""Shows how things stand: as a picture that moves, or as a line where there is no terminal."""

_LINE_SECONDS = 2.0
_PIPE_WIDTH = 160


class Output(Protocol):
    """What a command may say."""

    def result(self, value: Any, picture: Picture) -> None:
        """The outcome of the command: a struct or JSON value, and its picture."""
        ...

    def line(self, text: str) -> None:
        """A remark on the way."""
        ...

    def watch(self) -> AbstractContextManager[Watch]:
        """Something that changes while it is looked at."""
        ...

    def error(self, error: TidemillError) -> None:
        """Why the command ends."""
        ...


class TextOutput:
    """For people. Results go to standard output, remarks, progress and errors to standard error."""

    def __init__(self) -> None:
        # A file or a pipe has no edge to wrap at.
        self._out = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH)
        self._err = Console(stderr=True, highlight=False, markup=False)

    def result(self, value: Any, picture: Picture) -> None:  # noqa: ARG002 - the other output prints it
        """Prints the picture."""
        self._out.print(picture())

    def line(self, text: str) -> None:
        """Prints the line, unbroken, so that what it quotes can be copied."""
        self._err.print(Text(text), soft_wrap=True)

    def watch(self) -> AbstractContextManager[Watch]:
        """A picture that is redrawn in place; a line at a time where standard error is no terminal."""
        return _LivePicture(self._err) if self._err.is_terminal else nullcontext(_Lines(self._err))

    def error(self, error: TidemillError) -> None:
        """One panel: what happened, what to do, and the code."""
        parts: list[RenderableType] = [Text(_message(error))]
        parts += [Text.assemble("  • ", place, *((" ", text) if place else (text,))) for place, text in _parts(error)]
        if error.hint:
            parts.append(Text(error.hint, style="cyan"))
        self._err.print(Panel(Group(*parts), title=Text(error.code, style="bold red"), title_align="left", border_style="red"))
        if isinstance(error, InternalError) and os.environ.get("TIDEMILL_TRACE"):
            self._err.print(Text(error.trace, style="dim"))


class JsonOutput:
    """For programs: exactly one JSON document on standard output, whatever happens."""

    def result(self, value: Any, picture: Picture) -> None:  # noqa: ARG002 - the other output prints it
        """Prints the value."""
        self._print(value)

    def line(self, text: str) -> None:
        """Says nothing."""

    def watch(self) -> AbstractContextManager[Watch]:
        """Shows nothing."""
        return nullcontext(_show_nothing)

    def error(self, error: TidemillError) -> None:
        """The error as `{"error": {...}}`."""
        problems = [{"place": place, "detail": text} for place, text in _parts(error)]
        told: dict[str, Any] = {"code": error.code, "message": _message(error), "hint": error.hint}
        self._print({"error": told | ({"problems": problems} if problems else {})})

    def _print(self, value: Any) -> None:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
        sys.stdout.flush()


class _LivePicture:
    """Redraws in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Watch:
        self._live.start()
        return self._show

    def _show(self, picture: RenderableType, line: str) -> None:  # noqa: ARG002 - the picture says more than the line
        self._live.update(picture, refresh=True)

    def __exit__(self, *_: object) -> None:
        self._live.stop()


class _Lines:
    """Prints a line now and then, if it says something new."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""
        self._at = -_LINE_SECONDS

    def __call__(self, picture: RenderableType, line: str) -> None:  # noqa: ARG002 - nobody would see it move
        if line != self._last and time.monotonic() - self._at >= _LINE_SECONDS:
            self._console.print(Text(line), soft_wrap=True)
            self._last, self._at = line, time.monotonic()


def _show_nothing(picture: RenderableType, line: str) -> None:
    """The watcher of programs."""


def open_output(*, as_json: bool) -> Output:
    """The output for people, or the one for programs."""
    return JsonOutput() if as_json else TextOutput()


def _message(error: TidemillError) -> str:
    if isinstance(error, DefinitionError):
        return error.message.partition(":\n")[0] + "."
    return error.message


def _parts(error: TidemillError) -> list[tuple[str, str]]:
    """Everything that is wrong, as (place, text), where it is more than the message says."""
    if isinstance(error, DefinitionError):
        return [(problem.place, str(problem)) for problem in error.problems]
    if isinstance(error, AppProblem):
        return [(part.place, f"{part.detail} {part.hint}".rstrip()) for part in error.problem.problems]
    return []
