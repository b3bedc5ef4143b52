"""`make run`: bring the stack up, run the main job, show where to look, stay until Ctrl-C; or stop after the job (`DETACH=1`).

Everything that must survive is in storage, so stopping is always safe, and the next start goes on where this one was: the host recovers
unfinished runs by itself, and the job's idempotency key makes us follow that run instead of asking for a second one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tools.bootstrap import ROOT
from tools.stack.azurite import USUAL_PORTS, Azurite
from tools.stack.child import Child, StackError, die_with_us
from tools.stack.host import Host, HostKind
from tools.stack.made import worth_a_look
from tools.stack.state import Process, Stack, StateFolder

MAIN_JOB = "flights/*"
"""What `make run` materializes: every asset of pipelines/flights."""

UNANSWERED = 3
"""The command line's exit code when the app stopped answering: the run has no outcome yet."""


class _Stopped(BaseException):
    """Somebody asked us to stop: Ctrl-C, a closed terminal, or `kill`."""


@dataclass(frozen=True)
class Wishes:
    """What the person asked for on the command line of `make run`."""

    host: HostKind
    port: int | None
    detach: bool
    job: str
    state: Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stack of this checkout.

    Returns:
        0 when the job succeeded or somebody stopped a healthy stack, 1 when something did not start or died, the command line's own
        code when the job failed under `--detach`, 130 when somebody stopped it before the job had ended.
    """
    wishes = _parse(arguments)
    state = StateFolder(wishes.state)
    try:
        with state.alone(), _stoppable():
            return _run(wishes, state)
    except StackError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except _Stopped:
        print("\nStopped. `make run` goes on from here.")
        return 130


def _run(wishes: Wishes, state: StateFolder) -> int:
    leftovers = state.end_leftovers()
    if leftovers:
        print(f"An earlier start was killed; stopped what it left running: {', '.join(leftovers)}.")
    with contextlib.ExitStack() as running:
        begun = time.monotonic()
        azurite = Azurite.start(log=state.logs / "azurite.log", location=state.azurite_data, ports=USUAL_PORTS)
        running.callback(_stop_quietly, azurite, state)
        state.write(Stack(os.getpid(), "", azurite.connection_string, [Process.of("Azurite", azurite.child.pid)]))
        ports = azurite.endpoints
        _say("storage", f"Azurite on ports {ports.blob}, {ports.queue}, {ports.table}; data in {_short(state.azurite_data)}")
        host = Host.start(kind=wishes.host, port=wishes.port, connection_string=azurite.connection_string, log=state.logs / "host.log")
        running.callback(host.stop)
        processes = [Process.of("the host", host.child.pid), Process.of("Azurite", azurite.child.pid)]
        state.write(Stack(os.getpid(), host.url, azurite.connection_string, processes))
        _say("app", f"{host.url} on {wishes.host}; up in {time.monotonic() - begun:.1f} s")
        children = [azurite.child, host.child]
        outcome = _run_job(wishes.job, host.url, state, children)
        _say_where_to_look(host.url, wishes.job, state)
        if wishes.detach:
            print("\nStopping, because of DETACH=1.")
            return outcome
        _stay(children)
    return 0


def _run_job(job: str, url: str, state: StateFolder, children: Sequence[Child]) -> int:
    """Run the main job through the command line, as a person would, and watch the stack meanwhile.

    Returns:
        The command line's exit code.

    Raises:
        StackError: a part of the stack died; the sentence says which and what to do.
    """
    key, again = state.job_key()
    _say("job", f"{job}{', going on with the run that an earlier start left unfinished' if again else ''}\n")
    with _start(job_command(job, url, key)) as process:
        try:
            while process.poll() is None:
                _require_alive(children)
                time.sleep(0.1)
        except BaseException:
            process.terminate()
            raise
        code = process.returncode
    _require_alive(children)
    if code >= 0 and code not in {UNANSWERED, 130}:
        state.job_ended()
    return code


def job_command(job: str, url: str, key: str) -> list[str]:
    """The command that runs the main job: the one a person would type, in this environment."""
    return [str(Path(sys.executable).parent / "tidemill"), "run", job, "--url", url, "--idempotency-key", key]


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, cwd=ROOT, preexec_fn=die_with_us())  # noqa: PLW1509 - one system call, no threads here
    except OSError as error:
        raise StackError(f"The command `tidemill` could not be started ({error.strerror}). Run `make setup`.") from error


def _stay(children: Sequence[Child]) -> None:
    """Wait until somebody stops us.

    Raises:
        StackError: a part of the stack died.
    """
    try:
        print("\nRunning. Ctrl-C stops it; `make run` goes on from here.", flush=True)
        while True:
            _require_alive(children)
            time.sleep(0.2)
    except _Stopped:
        print("\nStopping.", flush=True)


def _require_alive(children: Sequence[Child]) -> None:
    for child in children:
        if child.exit_code is not None:
            raise StackError(
                f"{child.name[0].upper()}{child.name[1:]} ended unexpectedly ({child.how_it_ended()}), so everything was stopped. "
                f"Nothing that was committed is lost: `make run` goes on from here. Its log: {_short(child.log)}\n{child.tail()}"
            )


def _stop_quietly(azurite: Azurite, state: StateFolder) -> None:
    azurite.stop()
    state.clear()


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Turn the signals that mean "stop" into `_Stopped`, once; while we are stopping, more of them change nothing."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise _Stopped

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, stop) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _say(what: str, text: str) -> None:
    print(f"  {what:<9}{text}", flush=True)


def _say_where_to_look(url: str, job: str, state: StateFolder) -> None:
    made = worth_a_look(url, job)
    print("\nWhere to look")
    _say("runs", f"{url}/api/runs")
    _say("assets", f"{url}/api/assets")
    _say("graph", f"{url}/api/graph")
    if made:
        _say("table", f".venv/bin/tidemill show {made}")
    _say("logs", _short(state.logs))


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _parse(arguments: Sequence[str] | None) -> Wishes:
    parser = argparse.ArgumentParser(prog="make run", description="Start Azurite and the app, run the main job, stay until Ctrl-C.")
    parser.add_argument("--host", choices=[str(kind) for kind in HostKind], default=str(HostKind.DEVHOST), help="which Functions host")
    parser.add_argument("--port", type=int, default=None, help="port of the app; without it 7071, or a free one when that is taken")
    parser.add_argument("--detach", action="store_true", help="stop after the job, with its exit code")
    parser.add_argument("--job", default=MAIN_JOB, help="which assets to materialize")
    parser.add_argument("--state", type=Path, default=ROOT / ".tidemill", help="folder that keeps the store and the logs")
    options = parser.parse_args(arguments)
    return Wishes(HostKind(options.host), options.port, options.detach, options.job, options.state.resolve())
