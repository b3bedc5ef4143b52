"""`kill -9` of hosts and workers at random moments, with real processes and a real Azurite, under a workload that never pauses.

A campaign is a number of rounds; each has a task hub, a workload and dice of its own, so that a round that failed can be run alone: its
seed is printed. Chance decides the same things for the same seed; where exactly a kill meets the work is up to the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.chaos.oracle import Run, Snapshot, read_record, repetitions, run_again, take_snapshot, tally
from tests.chaos.workload import Client, settle
from tests.devhost.durable.rig import fresh_hub
from tests.devhost.shell.support import RunningHost, is_alive, launch, wait_until

APP = Path(__file__).with_name("function_app.py")
WORKERS = 2
ALARMS = ("set aside", "unexpected error", "Traceback", "background work of the task hub failed")
"""What must not be in the host's log, whatever is killed."""


@dataclass
class Report:
    """What a campaign saw; times in seconds."""

    seed: str
    kills: Counter[str] = field(default_factory=Counter)
    ready: list[float] = field(default_factory=list)
    """From the start of the host's process to its word that it is ready."""
    progress: list[float] = field(default_factory=list)
    """From the start of the host's process to the first execution of an activity that the dead host had left open."""
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        self.kills.update(other.kills)
        self.counts.update(other.counts)
        self.ready += other.ready
        self.progress += other.progress
        self.problems += other.problems

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {what}" for what, count in self.counts.items())
        kills = ", ".join(f"{count} of {what}" for what, count in sorted(self.kills.items()))
        lines = [
            f"seed {self.seed}: {self.kills.total()} kills ({kills}); {counts}",
            f"  restart to ready:              {_spread(self.ready)}",
            f"  restart to work left open:     {_spread(self.progress)}",
        ]
        return "\n".join([*lines, *(f"  PROBLEM {problem}" for problem in self.problems)])


def _spread(values: Sequence[float]) -> str:
    if len(values) < 2:
        return f"{len(values)} measured"
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return f"p50 {statistics.median(values):.2f} s, p95 {cuts[-1]:.2f} s, longest {max(values):.2f} s ({len(values)} measured)"


class Round:
    """One hub, one workload, so many kills."""

    def __init__(self, storage: str, folder: Path, seed: str, *, kills: int, in_flight: int) -> None:
        self._storage = storage
        self._folder = folder
        self._kills = kills
        self._hub = fresh_hub()
        self._dice = random.Random(f"{seed} kills")
        self._record = folder / "record"
        self._client = Client(random.Random(f"{seed} work"), in_flight)
        self._killed_at: list[int] = []
        self._finished: list[tuple[int, set[str]]] = []
        self._started = 0
        """When the host that runs now was started, nanoseconds since the epoch."""
        self._left: set[str] | None = None
        """Activities that the host before it had left open; None once one of them has been seen to run."""
        self._host: RunningHost
        self.report = Report(seed)

    def run(self) -> Report:
        """Kills as often as asked, lets everything end, and looks at all of it once more."""
        self._prepare()
        self._host = self._launch()
        self._client.start()
        try:
            while self.report.kills.total() < self._kills and not self.report.problems and not self._client.problems:
                self._kill_once()
            if not self._client.problems:
                self._wait_until_ready()
            self._client.finish(90)
            self._audit()
        finally:
            self._client.stop()
            self._host.end()
        self.report.problems += self._client.problems
        return self.report

    def _prepare(self) -> None:
        shutil.copy(APP, self._folder / "function_app.py")
        (self._folder / "host.json").write_text(json.dumps({"version": "2.0", "extensions": {"durableTask": {"hubName": self._hub}}}))
        self._record.touch()

    def _launch(self) -> RunningHost:
        self._started = time.time_ns()
        settings = {"AzureWebJobsStorage": self._storage, "CHAOS_RECORD": str(self._record)}
        return launch(self._folder, "--workers", str(WORKERS), settings=settings)

    def _wait_until_ready(self) -> None:
        if self._client.host is None:
            self._host.wait_until_ready()
            self.report.ready.append((self._host.ready_file.stat().st_mtime_ns - self._started) / 1e9)
            self._client.host = self._host

    # Kills

    def _kill_once(self) -> None:
        victim = self._dice.choices(("host", "worker", "host and worker"), (5, 3, 2))[0]
        early = self._dice.random() < 0.15
        pause = self._dice.uniform(0.05, 1.2)
        if victim == "worker" or not early:
            self._wait_until_ready()
        else:
            victim = "host that was starting"
        time.sleep(pause)
        self._note_progress()
        workers = children(self._host.process.pid)
        self.report.kills[victim] += 1
        self.report.counts["families in flight at kills"] += len(self._client.open_ids())
        if "worker" in victim and workers:
            self._kill_worker(self._dice.choice(workers))
        if victim != "worker":
            self._client.host = None
            self._host.kill()
            wait_until(lambda: not any(map(is_alive, workers)), what="end of the workers", seconds=10)
            self._killed_at.append(time.time_ns())
            self._look()
            self._host = self._launch()

    def _kill_worker(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), what="end of the worker", seconds=10, step=0.001)
        self._killed_at.append(time.time_ns())

    def _look(self) -> None:
        """Checks storage while nobody works on it."""
        time.sleep(0.2)  # what the dead host had sent is still being carried out
        length = len(self._runs())
        snapshot = take_snapshot(self._storage, self._hub)
        self._take(snapshot)
        self._finished.append((length, snapshot.finished))
        self._left = snapshot.waiting

    def _take(self, snapshot: Snapshot) -> None:
        self.report.problems += snapshot.problems
        self.report.counts["histories checked"] += snapshot.partitions
        self.report.counts["events checked"] += snapshot.events

    def _note_progress(self) -> None:
        """Measures how long it took the running host to go on with what was left open."""
        if self._left:
            moments = [run.moment for run in self._runs() if run.key in self._left and run.moment > self._started]
            if moments:
                self.report.progress.append((min(moments) - self._started) / 1e9)
                self._left = None

    # The end

    def _runs(self) -> list[Run]:
        return read_record(self._record.read_text())

    def _audit(self) -> None:
        self._note_progress()
        report, client = self.report, self._client
        for key, wanted in client.expected_counts().items():
            found = settle(partial(client.count, key), wanted, seconds=15)
            if found != wanted:
                report.problems.append(f"entity {key} has counted {found}, not {wanted}")
        sent, acknowledged = client.signals["sent"], client.signals["acknowledged"]
        outside = (client.count("outside") if sent else None) or 0  # an entity that no signal has reached does not exist
        if not acknowledged <= outside <= sent:
            report.problems.append(f"of {sent} signals {acknowledged} were acknowledged, but the entity has counted {outside}")
        if self._host.terminate() != 0:
            report.problems.append("the last host did not end well")
        self._take(take_snapshot(self._storage, self._hub, settled=True))
        runs = self._runs()
        repeated, unexplained = repetitions(runs, self._killed_at)
        report.problems += unexplained + run_again(runs, self._finished)
        report.problems += [line for line in self._host.log.splitlines() if any(alarm in line for alarm in ALARMS)][:5]
        report.counts.update(tally(runs))
        report.counts["executions repeated"] += repeated
        report.counts["families"] += len(client.families)
        report.counts["signals from outside"] += sent


def children(pid: int) -> list[int]:
    """The processes that a host has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return sorted(found)


def run_campaign(storage: str, folder: Path, seed: str, *, rounds: int, kills: int, in_flight: int) -> Report:
    """Runs the rounds one after the other, `kills` in each; stops at the first that finds a problem."""
    whole = Report(seed)
    for number in range(rounds):
        place = folder / f"round{number}"
        place.mkdir()
        whole.add(Round(storage, place, f"{seed}/{number}", kills=kills, in_flight=in_flight).run())
        if whole.problems:
            whole.problems.append(f"in round {number} of seed {seed}; the host's log is {place / '.host.log'}")
            break
    return whole
