"""A shell in which `tidemill` is the real command line, and only the clock, the author and the run ids are fixed."""

from __future__ import annotations

import importlib
import io
import itertools
import json
import os
import shlex
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from tidemill.cli import main as cli
from tidemill.cli.commands import apply as apply_command
from tidemill.execution.runtime import Runtime

WIDTH = 118
_FIRST = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_BETWEEN_COMMANDS = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Screen:
    """What a terminal shows: commands, each with what it printed, colours and all."""

    commands: tuple[tuple[str, str], ...]

    def __add__(self, other: Screen) -> Screen:
        return Screen(self.commands + other.commands)


class Shell:
    """Gives commands in a folder.

    Args:
        folder: the project.
        settings: more environment.
    """

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self._folder = folder
        self._settings = settings
        self._now = _FIRST
        self._tokens = (f"{number:08x}" for number in itertools.count(1))

    def run(self, command: str, *, code: int = 0) -> Screen:
        """Gives one command and keeps what it prints; its remarks only where it is to fail.

        Raises:
            RuntimeError: it ends with another exit code.
        """
        said, remarks, ended = self._give(command, remarking=code != 0)
        if ended != code:
            raise RuntimeError(f"`{command}` ended with {ended}:\n{said}{remarks}")
        return Screen(((command, (said + (remarks if code else "")).rstrip("\n")),))

    def ask(self, command: str) -> Any:
        """Gives one command with `--json`; its answer."""
        said, remarks, _ = self._give(f"{command} --json")
        try:
            return json.loads(said)
        except ValueError:
            raise RuntimeError(f"`{command}` answers no JSON:\n{said}{remarks}") from None

    def _give(self, command: str, *, remarking: bool = False) -> tuple[str, str, int]:
        program, *words = shlex.split(command)
        if program != "tidemill":
            raise ValueError(f"this shell knows only `tidemill`: {command}")
        said, remarks = _Terminal(), _Terminal() if remarking else io.StringIO()
        self._now += _BETWEEN_COMMANDS
        with self._fixed(), redirect_stdout(said), redirect_stderr(remarks):
            code = cli.run(words)
        return said.getvalue(), remarks.getvalue(), code

    @contextmanager
    def _fixed(self) -> Iterator[None]:
        terminal = {"COLUMNS": str(WIDTH), "TERM": "xterm-256color", "COLORTERM": "truecolor", "LOGNAME": "ada"}
        before = Path.cwd()
        with ExitStack() as undo:
            undo.enter_context(patch.dict(os.environ, terminal | self._settings))
            for name in [
                name for name in os.environ if name.startswith(("TIDEMILL_", "AzureWebJobs")) or name in ("NO_COLOR", "FORCE_COLOR")
            ]:
                del os.environ[name]
            undo.enter_context(patch.dict(Runtime.__init__.__kwdefaults__ or {}, {"now": lambda: self._now}))
            undo.enter_context(patch.object(apply_command, "secrets", SimpleNamespace(token_hex=lambda _: next(self._tokens))))
            undo.enter_context(patch("time.perf_counter", _Ticks().now))
            for entry in cli.COMMANDS.values():
                undo.enter_context(_clock_of(entry.module, self._now))
            undo.callback(os.chdir, before)
            os.chdir(self._folder)
            yield


class _Ticks(threading.local):
    """A stopwatch that moves a little whenever it is read, in every thread on its own: whatever is timed takes equally long each time."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def now(self) -> float:
        """Seconds since some time."""
        self._seconds += 0.05
        return self._seconds


class _Terminal(io.StringIO):
    """Takes colours."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def _clock_of(module: str, now: datetime) -> AbstractContextManager[Any]:
    """Stops the clock of one module that imports `datetime`; does nothing to any other."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            """The fixed instant."""
            return now.astimezone(tz)

    found = importlib.import_module(module)
    return patch.object(found, "datetime", Stopped) if hasattr(found, "datetime") else nullcontext()
