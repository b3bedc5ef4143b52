"""The threads of a worker: quick calls one after the other on the listening thread, slow ones beside each other, and nothing that stops the listening."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from devhost.worker.crew import Crew


@dataclass
class Job:
    name: str
    answer: bytes
    work: Callable[[], None] = lambda: None

    def run(self) -> bytes:
        self.work()
        return self.answer


@dataclass
class Line:
    """Both ends of a pretended socket."""

    threads: int
    jobs: queue.Queue[list[Job]] = field(default_factory=queue.Queue)
    answers: queue.Queue[bytes] = field(default_factory=queue.Queue)
    sends: list[bytes] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)
    coming: list[Job] = field(default_factory=list)

    def receive(self) -> bytes:
        self.coming = self.jobs.get()
        return b"data" if self.coming else b""

    def send(self, answers: bytes) -> None:
        self.sends.append(answers)
        for answer in answers.split(b";"):
            if answer:
                self.answers.put(answer)

    def ask(self, *jobs: Job) -> None:
        self.jobs.put(list(jobs))

    def hear(self, seconds: float = 5.0) -> bytes:
        return self.answers.get(timeout=seconds)


@contextmanager
def crew_of(threads: int) -> Iterator[tuple[Line, Crew]]:
    line = Line(threads)
    crew = Crew(threads, receive=line.receive, split=lambda _: line.coming, send=line.send, hung_up=line.hung_up.set)
    crew.start()
    yield line, crew
    line.jobs.put([])
    assert line.hung_up.wait(5), "nobody listens any more"


def warmed_up(line: Line, name: str) -> None:
    for _ in range(3):
        line.ask(Job(name, b"warm;"))
        assert line.hear() == b"warm"


def test_quick_calls_share_a_thread_and_their_answers_a_write() -> None:
    with crew_of(4) as (line, _):
        warmed_up(line, "f")
        names: list[str] = []
        line.sends.clear()
        line.ask(*(Job("f", b"%d;" % number, lambda: names.append(threading.current_thread().name)) for number in range(5)))
        assert [line.hear() for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
        assert len(set(names)) == 1
        assert len(line.sends) < 5


def test_calls_of_a_function_not_known_to_be_quick_run_beside_each_other() -> None:
    with crew_of(4) as (line, _):
        together = threading.Barrier(4, timeout=5)
        line.ask(*(Job("slow", b"x;", lambda: (together.wait(), None)[1]) for _ in range(4)))
        assert [line.hear() for _ in range(4)] == [b"x"] * 4


def test_a_quick_function_that_hangs_for_once_holds_up_nobody_else() -> None:
    with crew_of(2) as (line, _):
        warmed_up(line, "f")
        release = threading.Event()
        line.ask(Job("f", b"first;"), Job("f", b"late;", lambda: (release.wait(5), None)[1]), Job("f", b"next;"))
        assert line.hear() == b"first"  # kept back for others, but not for a call that does not end
        assert line.hear() == b"next"
        line.ask(Job("g", b"other;"))
        assert line.hear() == b"other"
        release.set()
        assert line.hear() == b"late"


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_never_more_calls_at_once_than_threads(threads: int) -> None:
    now, most = 0, 0
    lock = threading.Lock()

    def work(seconds: float) -> Callable[[], None]:
        def run() -> None:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(seconds)
            with lock:
                now -= 1

        return run

    with crew_of(threads) as (line, crew):
        for name in ("quick", "moody"):
            warmed_up(line, name)
        jobs = [Job("quick", b"q;", work(0)) for _ in range(40)]
        jobs[5::8] = [Job("moody", b"m;", work(0.05)) for _ in jobs[5::8]]  # outlasts the watchman's patience
        jobs[6::8] = [Job("slow", b"s;", work(0.03)) for _ in jobs[6::8]]
        for start in range(0, 40, 4):
            line.ask(*jobs[start : start + 4])
        for _ in range(40):
            line.hear()
        assert most <= threads
        deadline = time.monotonic() + 2
        while crew.running and time.monotonic() < deadline:
            time.sleep(0.005)
        assert crew.running == 0
