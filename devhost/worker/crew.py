"""The threads that run sync functions, one of which listens to the host at any time.

Handing a call from a reading thread to a running one costs more than a short function itself: two switches of threads and a struggle for the
interpreter's lock. So the listener runs a call itself when the function was quick the last few times, and keeps what it has to say until
it has run everything that had come. Should such a call last longer after all, a watchman makes another thread the listener, and the late
one becomes an ordinary runner: nothing a function does keeps the host from being heard for longer than a few hundredths of a second.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

QUICK_SECONDS: Final = 0.002
_QUICK_RUNS: Final = 2
"""So often in a row a function has to be quick before the listener runs it itself."""
_LONGEST_INLINE_SECONDS: Final = 0.02
_WATCH_SECONDS: Final = 0.02
_KEEP_SECONDS: Final = 0.001
"""How long an answer may be kept back for others."""
_IDLE_WATCHES: Final = 20


class Job(Protocol):
    """One call of a function: `run` never raises, and returns the frame that answers it."""

    name: str

    def run(self) -> bytes: ...


class Crew:
    """`threads` runners and a listener.

    `receive` blocks for the next bytes and returns none at the end; `split` makes jobs of them (calls for others it passes on itself);
    `send` may be called by any thread; `hung_up` is called at the end.
    """

    def __init__(
        self,
        threads: int,
        *,
        receive: Callable[[], bytes],
        split: Callable[[bytes], list[Any]],
        send: Callable[[bytes], None],
        hung_up: Callable[[], None],
    ) -> None:
        self._threads = threads
        self._receive, self._split, self._send, self._hung_up = receive, split, send, hung_up
        self._changed = threading.Condition()
        self._count = 0
        self._resting = 0
        self._listener: threading.Thread | None = None
        self._arrived: deque[Job] = deque()
        """What the listener has still to look at; only the listener of the moment touches it."""
        self._queue: deque[Job] = deque()
        self._kept: list[bytes] = []
        self._kept_since = 0.0
        self._inline_since: float | None = None
        self._quick_runs: dict[str, int] = {}
        self._watching = threading.Event()
        self.running = 0
        """Calls that run now."""

    def start(self) -> None:
        """Begins to listen."""
        threading.Thread(target=self._watch, name="watch", daemon=True).start()
        with self._changed:
            self._reinforce()

    # ---- a thread's life

    def _reinforce(self) -> None:
        """Sees to it that a thread takes up what there is to do. The lock is held."""
        if self._resting:
            self._resting -= 1  # here and not where it wakes up: two things to do need two threads
            self._changed.notify()
        elif self._count <= self._threads:
            self._count += 1
            threading.Thread(target=self._live, name=f"function_{self._count - 1}", daemon=True).start()

    def _live(self) -> None:
        me = threading.current_thread()
        while True:
            job: Job | None = None
            with self._changed:
                while self._listener is not None and not self._queue:
                    self._resting += 1
                    self._changed.wait()
                if self._listener is None:
                    self._listener = me
                else:
                    job = self._queue.popleft()
                    self.running += 1
            if job is None:
                self._listen(me)
            else:
                answer = self._timed(job)
                with self._changed:
                    self.running -= 1
                self._send(answer)

    def _timed(self, job: Job) -> bytes:
        began = time.monotonic()
        answer = job.run()
        was_quick = time.monotonic() - began < QUICK_SECONDS
        self._quick_runs[job.name] = self._quick_runs.get(job.name, 0) + 1 if was_quick else 0
        return answer

    # ---- listening

    def _listen(self, me: threading.Thread) -> None:
        """Reads and runs until another thread is the listener."""
        while True:
            while self._arrived:
                job = self._arrived.popleft()
                if not self._begin_inline(job):
                    self.hand_over(job)
                    continue
                answer = self._timed(job)
                with self._changed:
                    self.running -= 1
                    is_listener = self._listener is me
                    if is_listener:
                        self._inline_since = None
                if not is_listener:
                    self._send(answer)
                    return
                self._keep(answer)
            self._flush()
            data = self._receive()
            if not data:
                self._hung_up()
                return
            self._arrived.extend(self._split(data))

    def _begin_inline(self, job: Job) -> bool:
        if self._quick_runs.get(job.name, 0) < _QUICK_RUNS:
            return False
        with self._changed:
            if self.running + len(self._queue) >= self._threads:
                return False
            self.running += 1
            self._inline_since = time.monotonic()
        if not self._watching.is_set():
            self._watching.set()
        return True

    def hand_over(self, job: Job) -> None:
        """Has another thread run a job; may be called from anywhere."""
        with self._changed:
            self._queue.append(job)
            self._reinforce()

    def _keep(self, answer: bytes) -> None:
        now = time.monotonic()
        if not self._kept:
            self._kept_since = now
        self._kept.append(answer)
        if now - self._kept_since > _KEEP_SECONDS:
            self._flush()

    def _flush(self) -> None:
        if self._kept:
            kept, self._kept = self._kept, []
            self._send(b"".join(kept))

    # ---- watching

    def _watch(self) -> None:
        idle = 0
        while True:
            self._watching.wait()
            time.sleep(_WATCH_SECONDS)
            with self._changed:
                since = self._inline_since
                idle = idle + 1 if since is None else 0
                is_late = since is not None and time.monotonic() - since > _LONGEST_INLINE_SECONDS
                if is_late:
                    self._listener = self._inline_since = None
                    self._flush()
                    self._reinforce()
                elif idle > _IDLE_WATCHES:
                    idle = 0
                    self._watching.clear()
