"""One program that we start, watch and stop.

A child has a session of its own: Ctrl-C in the terminal reaches the launcher alone, which then stops its children in the right order.
A child never outlives the launcher: on Linux the kernel sends it SIGTERM when the *thread* that started it ends, even by `kill -9`, so
start children from the main thread. Elsewhere the next start finds what is left (see `state`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class StackError(Exception):
    """The stack cannot start or go on; the text is the whole answer for the person who started it."""


class Child:
    """A running program, its output in a log file.

    Args:
        name: what people call it, for messages.
        command: program and arguments.
        log: file that gets its output; made afresh.
        environment: its whole environment.
        folder: its working folder.

    Raises:
        StackError: the program cannot be started.
    """

    def __init__(self, name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            try:
                self._process = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=die_with_us(),  # noqa: PLW1509 - one system call, made before any thread of ours exists
                )
            except OSError as error:
                raise StackError(f"{name} could not be started: {error.strerror or error} ({command[0]}).") from error

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; after that its exit code, negative when a signal ended it."""
        return self._process.poll()

    def how_it_ended(self) -> str:
        """Words for its exit, for example `killed by SIGKILL`. Only for a child that has ended."""
        return describe_exit(self._process.wait())

    def tail(self, lines: int = 12) -> str:
        """The last lines of its output, indented, for an error message; empty when it said nothing."""
        with contextlib.suppress(OSError), self.log.open(encoding="utf-8", errors="replace") as output:
            return "".join(f"    {line.rstrip()}\n" for line in deque((line for line in output if line.strip()), maxlen=lines))
        return ""

    def stop(self, patience_seconds: float = 15) -> None:
        """Ask it to end with SIGTERM, wait, then end it and whatever it left in its session. Doing it twice does no harm."""
        if self.exit_code is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=patience_seconds)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def kill(self) -> None:
        """End it and its whole session at once, as a crash would. For tests that prove recovery."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def describe_exit(code: int) -> str:
    """Words for an exit code as subprocess gives it."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def die_with_us() -> Callable[[], None] | None:
    """What a child does between fork and exec, as `preexec_fn`: ask for SIGTERM when we die, and see whether we already have."""
    libc, parent = _LIBC, os.getpid()
    if libc is None:
        return None

    def tether() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return tether
