"""The Functions host that runs the app: ours (`devhost`) or Microsoft's (`func`). The app cannot tell which.

Both get the same settings through the environment; neither gets a file of its own.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.bootstrap import ROOT
from tools.stack.child import Child, StackError
from tools.stack.ports import LOOPBACK, choose, is_free

USUAL_PORT = 7071
_SLOWEST_START_SECONDS = 120


class HostKind(StrEnum):
    """Which host runs the app."""

    DEVHOST = "devhost"
    """Ours, from this checkout."""

    FUNC = "func"
    """Azure Functions Core Tools, where installed."""


class Host:
    """A running host whose app answers `/api/health`. Use it as a context manager, or call `stop`."""

    def __init__(self, child: Child, port: int) -> None:
        self.child = child
        self.port = port

    @property
    def url(self) -> str:
        """The address of the app, without a trailing slash."""
        return f"http://{LOOPBACK}:{self.port}"

    @classmethod
    def start(
        cls,
        *,
        connection_string: str,
        log: Path,
        kind: HostKind = HostKind.DEVHOST,
        app: Path = ROOT,
        port: int | None = None,
        options: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
        health: str | None = "/api/health",
    ) -> Self:
        """Start a host and wait until its app is healthy.

        Args:
            connection_string: storage for `AzureWebJobsStorage`.
            log: file for its output.
            kind: which host.
            app: folder with function_app.py and host.json.
            port: the port it must take; None means 7071 if free, else any.
            options: more options for the host's own command line.
            settings: more environment variables.
            health: the route that answers 200 when the app is ready; None waits for any answer from the host.

        Raises:
            StackError: the host is not installed, its port is taken, the app did not load, or it is silent for too long.
        """
        if port is not None and not is_free(port):
            raise StackError(
                f"Port {port} is taken by another program. Choose another (`make run PORT=...`), or leave PORT out to get a free one."
            )
        environment = _environment(connection_string, settings or {})
        ready_file = log.with_suffix(".ready.json")
        # A port that was free a moment ago may be lost while the host starts; unless it was asked for by number, another will do.
        for preferred in [port] if port is not None else [USUAL_PORT, 0, 0]:
            candidate = port or choose(preferred)
            ready_file.unlink(missing_ok=True)
            command = [*_command(kind, app, candidate, ready_file), *options]
            host = cls(Child(f"the host ({kind})", command, log=log, environment=environment, folder=app), candidate)
            try:
                if host._is_up(health, ready_file if kind is HostKind.DEVHOST else None):
                    return host
            except BaseException:
                host.stop()
                raise
        raise StackError(f"The app did not start; {host.child.name} found no port.\n{host.child.tail(20)}")

    def stop(self) -> None:
        """Let it finish what it does, then end it."""
        self.child.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _is_up(self, health: str | None, ready_file: Path | None) -> bool:
        """Wait until the app is healthy. False when another program was quicker to take the port.

        Args:
            health: the route to ask.
            ready_file: written by the host once it listens, with its process id; an answer on the port could be another host's.

        Raises:
            StackError: the host ended for another reason, or the app is not healthy for too long.
        """
        deadline = time.monotonic() + _SLOWEST_START_SECONDS
        while True:
            if self.child.exit_code is not None:
                if not is_free(self.port):
                    return False
                raise StackError(
                    f"The app did not start; {self.child.name} ended with {self.child.how_it_ended()} and said:\n{self.child.tail(20)}"
                )
            listens = ready_file is None or _pid_in(ready_file) == self.child.pid
            status = _status(self.port, health or "/") if listens else None
            if status == 200 or (health is None and status is not None):
                return True
            if time.monotonic() > deadline:
                answer = "nothing" if status is None else f"HTTP {status}"
                raise StackError(
                    f"The app is not healthy after {_SLOWEST_START_SECONDS} s: {self.url}{health or '/'} answers {answer}. "
                    f"Its log: {self.child.log}\n{self.child.tail(20)}"
                )
            time.sleep(0.05)


def _pid_in(ready_file: Path) -> int | None:
    try:
        return int(json.loads(ready_file.read_text(encoding="utf-8"))["pid"])
    except (OSError, ValueError, KeyError):
        return None


def _command(kind: HostKind, app: Path, port: int, ready_file: Path) -> list[str]:
    if kind is HostKind.DEVHOST:
        return [sys.executable, "-m", "devhost", "start", "--app", str(app), "--port", str(port), "--ready-file", str(ready_file)]
    program = shutil.which("func")
    if program is None:
        raise StackError(
            "HOST=func needs Azure Functions Core Tools, and there is no `func` on the PATH. Install them, or use the host in this checkout (plain `make run`)."
        )
    return [program, "start", "--port", str(port)]


def _environment(connection_string: str, settings: Mapping[str, str]) -> dict[str, str]:
    variables = dict(os.environ)
    programs = str(Path(sys.executable).parent)
    variables.update(
        AzureWebJobsStorage=connection_string,
        FUNCTIONS_WORKER_RUNTIME="python",
        PYTHONUNBUFFERED="1",
        # func starts whatever `python` is first on the PATH, and devhost its own; both must be the one with the packages.
        VIRTUAL_ENV=str(Path(programs).parent),
        PATH=os.pathsep.join([programs, variables.get("PATH", os.defpath)]),
        # devhost is found from any app's folder.
        PYTHONPATH=os.pathsep.join(part for part in (str(ROOT), variables.get("PYTHONPATH")) if part),
    )
    variables.update(settings)
    return variables


def _status(port: int, path: str) -> int | None:
    """The HTTP status of a GET, or None when nobody answers in time."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
