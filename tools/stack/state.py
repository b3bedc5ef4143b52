"""What a checkout's stack leaves in `.tidemill/`, so that the next start can see it: who runs, what was left behind, which job is unfinished.

.tidemill/stack.lock     held by the launcher while it runs; the kernel lets go of it, however the launcher ends
.tidemill/stack.json     address, ports and processes of the running stack
.tidemill/job-key        idempotency key of the main job until it ends: the next start follows the same run instead of asking for another
.tidemill/azurite-data/  the store; the one thing here that is worth keeping
.tidemill/logs/          what Azurite, the host and set-up said
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tools.stack.child import StackError


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one with the same number."""

    name: str
    pid: int
    started: str
    """The kernel's own words for when it started."""

    @classmethod
    def of(cls, name: str, pid: int) -> Process:
        """Describe a process that is running now."""
        return cls(name, pid, _started(pid) or "")

    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        return self.started != "" and _started(self.pid) == self.started

    def end(self, patience_seconds: float) -> None:
        """SIGTERM, wait, SIGKILL; nothing when it has already ended."""
        for number, patience in ((signal.SIGTERM, patience_seconds), (signal.SIGKILL, 5.0)):
            if not self.is_alive():
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            deadline = time.monotonic() + patience
            while self.is_alive() and time.monotonic() < deadline:
                time.sleep(0.05)


@dataclass(frozen=True)
class Stack:
    """A running stack, as written to stack.json."""

    launcher: int
    url: str
    """Address of the app; the command line finds it here. Empty until it is healthy."""

    connection_string: str
    processes: list[Process] = field(default_factory=list)
    """In the order in which they must be stopped: the host before the storage it writes to."""


class StateFolder:
    """The folder `.tidemill` of one checkout, or another that takes its place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.azurite_data = self.folder / "azurite-data"
        self.logs = self.folder / "logs"
        self._stack = self.folder / "stack.json"
        self._job_key = self.folder / "job-key"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only launcher in this checkout.

        Raises:
            StackError: another one runs; the sentence says where and how to stop it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "stack.lock").open("a", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackError(_already_running(self.read())) from None
            yield

    def read(self) -> Stack | None:
        """The stack that runs or ran last without cleaning up; None when there is none, or its record is unreadable."""
        try:
            raw = json.loads(self._stack.read_text(encoding="utf-8"))
            return Stack(raw["launcher"], raw["url"], raw["connection_string"], [Process(**each) for each in raw["processes"]])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, stack: Stack) -> None:
        """Record the running stack; a reader sees the old record or the new one."""
        draft = self._stack.with_suffix(".new")
        draft.write_text(json.dumps(asdict(stack), indent=2), encoding="utf-8")
        draft.replace(self._stack)

    def clear(self) -> None:
        """Forget the stack: it was stopped in good order."""
        self._stack.unlink(missing_ok=True)

    def end_leftovers(self) -> list[str]:
        """Stop what a launcher that was killed left running. Two Azurites on one folder would destroy it. Returns the names."""
        stack = self.read()
        alive = [process for process in (stack.processes if stack else []) if process.is_alive()]
        for process in alive:
            process.end(patience_seconds=30)
        self.clear()
        return [process.name for process in alive]

    def job_key(self) -> tuple[str, bool]:
        """The idempotency key of the main job, and whether an earlier start already used it for a job that has not ended."""
        with contextlib.suppress(OSError):
            key = self._job_key.read_text(encoding="utf-8").strip()
            if key:
                return key, True
        key = f"make-run-{uuid.uuid4().hex}"
        self._job_key.write_text(key, encoding="utf-8")
        return key, False

    def job_ended(self) -> None:
        """The main job has an outcome; the next start asks for a new one."""
        self._job_key.unlink(missing_ok=True)


def _already_running(stack: Stack | None) -> str:
    if stack is None or not stack.url:
        return "Another `make run` is just starting in this checkout. Wait for it, or stop it first."
    return (
        f"Tidemill already runs in this checkout: {stack.url} (process {stack.launcher}). "
        f"Use it, or stop it with Ctrl-C there or `kill {stack.launcher}`. Another checkout can run beside it."
    )


def _started(pid: int) -> str | None:
    """When the process started, in words that stay the same; None when there is no such process, or only its zombie."""
    if Path("/proc/self/stat").exists():
        with contextlib.suppress(OSError):
            # The name in brackets may hold spaces; what follows it is fixed: state is field 3, start time in clock ticks field 22.
            fields: Sequence[str] = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            return None if fields[0] in {"Z", "X"} else fields[19]
        return None
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None
