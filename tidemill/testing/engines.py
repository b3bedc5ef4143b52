"""Engines for tests: one that only remembers, and one that really executes runs, on threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from tidemill.api.engine import EngineState, EngineStatus
from tidemill.execution.finish import refuse_run
from tidemill.execution.local import apply_local
from tidemill.execution.run_plans import REFUSED
from tidemill.execution.runtime import Runtime
from tidemill.model.keys import RunId
from tidemill.model.outcomes import ErrorInfo


class RememberingEngine:
    """Starts nothing: a test says what has become of each run."""

    def __init__(self) -> None:
        self.started: list[RunId] = []
        self.woken: list[RunId] = []
        self.statuses: dict[RunId, EngineStatus] = {}
        """What the engine claims, by run."""
        self.fault: Exception | None = None
        """Raised by every call while it is set."""

    async def start(self, run: RunId) -> None:
        """Remembers the run and calls it pending."""
        self._check()
        if run not in self.statuses:
            self.started.append(run)
            self.statuses[run] = EngineStatus(state=EngineState.PENDING)

    async def status(self, run: RunId) -> EngineStatus | None:
        """What was set, or pending if it was only started."""
        self._check()
        return self.statuses.get(run)

    async def wake(self, run: RunId) -> None:
        """Remembers the call."""
        self._check()
        self.woken.append(run)

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault


class ThreadEngine:
    """Executes every run with the in-process executor, on a thread of its own."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._threads: dict[RunId, threading.Thread] = {}
        self._counts: dict[RunId, Mapping[str, list[int]]] = {}
        self._failed: dict[RunId, Exception] = {}
        self._lock = threading.Lock()

    async def start(self, run: RunId) -> None:
        """Starts a thread, unless the run has one."""
        with self._lock:
            if run in self._threads:
                return
            thread = threading.Thread(target=self._execute, args=(run,), name=f"run-{run}", daemon=True)
            self._threads[run] = thread
        thread.start()

    async def status(self, run: RunId) -> EngineStatus | None:
        """Where its thread is."""
        thread = self._threads.get(run)
        if thread is None:
            return None
        custom = {"phase": "running", "assets": dict(self._counts.get(run, {}))}
        if thread.is_alive():
            return EngineStatus(state=EngineState.RUNNING, custom_status=custom)
        return EngineStatus(state=EngineState.FAILED if run in self._failed else EngineState.COMPLETED, custom_status=custom)

    async def wake(self, run: RunId) -> None:
        """Nothing waits here."""

    def join(self, run: RunId, seconds: float = 30.0) -> None:
        """Waits for the end of a run.

        Raises:
            TimeoutError: it takes longer.
        """
        self._threads[run].join(seconds)
        if self._threads[run].is_alive():
            raise TimeoutError(f"run {run} takes longer than {seconds} s")

    def _execute(self, run: RunId) -> None:
        try:
            self._apply(run)
        except Exception as error:  # noqa: BLE001 - a failed engine is what the test then sees
            self._failed[run] = error

    def _apply(self, run: RunId) -> None:
        try:
            apply_local(self._runtime, self._runtime.runs.request(run), on_progress=lambda counts: self._counts.__setitem__(run, counts))
        except REFUSED as error:  # as the activity `build_plan` does
            refuse_run(self._runtime, run, ErrorInfo(code=error.code, message=error.message, hint=error.hint, retryable=False))
