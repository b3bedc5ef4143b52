"""Telling a lineage backend of runs as they go: OpenLineage events, sent where something was put on record, by a thread beside the run.

A run never fails and hardly waits for it: activities only leave a note of what is on record, and the thread reads the records, makes the events and sends
them. At its end a run waits some seconds for what was noted, because a process may be gone soon afterwards. A backend that does not answer is left alone
for a minute. What was not taken is told once for each run, and can be sent at any time: the same run gives the same events.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tidemill.execution.event_targets import Event, EventTarget, FileTarget, HttpTarget, NotTaken
from tidemill.execution.run_history import run_history
from tidemill.execution.runtime import Runtime
from tidemill.lineage.openlineage import Part, end_event, start_event, unit_events
from tidemill.model.keys import RunId
from tidemill.redact import redact
from tidemill.settings import LineageBackend

log = logging.getLogger("tidemill.openlineage")

PATIENCE_SECONDS = 5.0
"""How long the end of a run waits for its events to be taken."""

_ANSWER_SECONDS = 3.0
_REST_SECONDS = 60.0
"""How long a backend that does not take events is left alone."""

_NOTES = 10_000
_REMEMBERED = 10_000


class _Note(NamedTuple):
    """What was put on record."""

    run: RunId
    events: Callable[[], Iterator[Event]]
    done: threading.Event


class Teller:
    """Sends the events of runs. See `listening.RunListener`.

    Args:
        runtime: where runs are on record.
        backend: where to send them.
        patience: seconds that the end of a run waits.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        runtime: Runtime,
        backend: LineageBackend,
        *,
        patience: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runtime, self._backend, self._patience, self._clock = runtime, backend, patience, clock
        self._notes: queue.Queue[_Note] = queue.Queue(_NOTES)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._resting_until = 0.0
        self._why = ""
        self._told: dict[RunId, None] = {}

    def started(self, run: RunId) -> None:
        """Notes the START of a run."""
        self._note(run, lambda: self._start(run))

    def recorded(self, run: RunId, tranche: int) -> None:
        """Notes the events of a tranche."""
        self._note(run, lambda: self._tranche(run, tranche))

    def ended(self, run: RunId) -> None:
        """Notes the end of a run and of the units that ended with it, and waits some seconds for everything that was noted."""
        done = self._note(run, lambda: self._end(run))
        if not done.wait(self._patience):
            self._lost(run, f"not all of them were taken within {self._patience:g} s; this process goes on sending while it lives")

    def _start(self, run: RunId) -> Iterator[Event]:
        yield start_event(run_history(self._runtime, run, namespace=self._backend.namespace, tranches=()))

    def _tranche(self, run: RunId, tranche: int, part: Part = Part.RECORDED) -> Iterator[Event]:
        history = run_history(self._runtime, run, namespace=self._backend.namespace, tranches=(tranche,))
        yield from unit_events(history, history.started, part)

    def _end(self, run: RunId) -> Iterator[Event]:
        history = run_history(self._runtime, run, namespace=self._backend.namespace, tranches=())
        planned = self._runtime.runs.plan(run)
        for tranche in range(len(self._runtime.plans.head(planned.plan).starts) if planned else 0):
            yield from self._tranche(run, tranche, Part.ENDED)
        last = end_event(history)
        if last is not None:
            yield last

    def _note(self, run: RunId, events: Callable[[], Iterator[Event]]) -> threading.Event:
        note = _Note(run, events, threading.Event())
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._send_all, name="openlineage", daemon=True)
                self._thread.start()
        try:
            self._notes.put_nowait(note)
        except queue.Full:
            self._lost(run, f"{_NOTES:,} notes of runs wait already")
            note.done.set()
        return note.done

    def _send_all(self) -> None:
        target: EventTarget | None = None
        while True:
            note = self._notes.get()
            try:
                if self._clock() < self._resting_until:
                    raise NotTaken(self._why)
                target = target or open_target(self._backend)
                for event in note.events():
                    target.send(event)
            except NotTaken as error:
                if self._clock() >= self._resting_until:
                    self._resting_until, self._why = self._clock() + _REST_SECONDS, str(error)
                self._lost(note.run, str(error))
            except Exception as error:  # noqa: BLE001 - whatever is wrong here is no reason for a run to end
                self._lost(note.run, f"they could not be made: {error}")
            finally:
                note.done.set()

    def _lost(self, run: RunId, why: str) -> None:
        with self._lock:
            if run in self._told:
                return
            self._told[run] = None
            while len(self._told) > _REMEMBERED:
                del self._told[next(iter(self._told))]
        log.warning(
            "OpenLineage events of run %s were not handed to %s: %s. The run goes on without them; send them later with `tidemill export-events %s`.",
            run,
            redact(self._backend.address),
            why.rstrip("."),
            run,
        )


def open_target(backend: LineageBackend) -> EventTarget:
    """The target that a setting names."""
    return FileTarget(backend.path) if backend.path else HttpTarget(backend.address, backend.key, seconds=_ANSWER_SECONDS)


def tell_of_runs(runtime: Runtime, backend: LineageBackend | None, *, patience: float = PATIENCE_SECONDS) -> Runtime:
    """The runtime, with a lineage backend listening to its runs if there is one."""
    if backend is not None:
        runtime.listener = Teller(runtime, backend, patience=patience)
    return runtime
