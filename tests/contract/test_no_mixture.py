"""Readers poll while runs are made, and killed at any moment: no view ever shows two runs at once, and none shows half of one.

The small version is part of every test run; `-m proof` makes a hundred runs on each store and prints what it saw.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.contract import stamper
from tidemill.catalog import Catalog
from tidemill.catalog.verify import verify
from tidemill.execution.runs import Runs
from tidemill.storage import open_store
from tidemill.storage.memory import MemoryStore

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
COMMAND = [sys.executable, str(Path(stamper.__file__))]


class Writers:
    """Processes that make runs, and are killed at random."""

    def __init__(self, address: str, container: str, count: int, seed: int) -> None:
        self._where = (address, container)
        self._chance = random.Random(seed)
        self._stamp = 0
        self.kills = 0
        self._running = [self._start() for _ in range(count)]

    def _start(self) -> subprocess.Popen[bytes]:
        self._stamp += 1000
        command = [*COMMAND, "write", *self._where, str(self._stamp), "1"]
        return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill_one(self, *, again: bool = True) -> None:
        """kill -9 to one of them, wherever it is; another takes its place."""
        victim = self._running.pop(self._chance.randrange(len(self._running)))
        victim.kill()
        victim.wait()
        self.kills += 1
        if again:
            self._running.append(self._start())

    def pause(self) -> None:
        time.sleep(self._chance.uniform(1.0, 4.0))

    def stop(self) -> None:
        while self._running:
            self.kill_one(again=False)


def test_a_mixture_would_be_seen() -> None:
    """The readers are able to fail: units that are published one by one are a mixture on the way."""
    store = MemoryStore()
    assert stamper.make(store, 1) == "succeeded"
    assert stamper.make(store, 2, commit="unit") == "succeeded"
    catalog = Catalog(store)
    mixed = [number for number in range(1, catalog.head().number + 1) if stamper.stamps(catalog, catalog.view(number)) == [1, 2]]
    assert len(mixed) == stamper.UNITS - 1


@pytest.mark.timeout(60)
def test_a_reader_sees_one_run_or_another_whatever_is_killed(tmp_path: Path) -> None:
    address = str(tmp_path / "store")
    store = open_store(address)
    assert stamper.make(store, 1) == "succeeded"
    writers = Writers(address, "unused", 1, seed=1)
    try:
        seen = 0
        for _ in range(2):
            deadline = time.monotonic() + 20
            head = Catalog(store).head().number
            while Catalog(store).head().number < head + 2 and time.monotonic() < deadline:  # two runs, and the next under way
                seen += stamper.read(store, 0.1)["stamps"]
            writers.kill_one()
            seen += stamper.read(store, 0.1)["stamps"]
    finally:
        writers.stop()
    assert seen >= 4
    assert Catalog(store).head().number >= 5
    assert verify(store).problem is None


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_a_hundred_runs_with_random_kills(shared: tuple[str, str]) -> None:
    address, container = shared
    store = open_store(address, container=container)
    assert stamper.make(store, 1) == "succeeded"
    started = time.monotonic()
    runs = Runs(store)
    writers = Writers(address, container, 2, seed=int(os.environ.get("TIDEMILL_TEST_SEED", "7")))
    reports: list[dict[str, int]] = []
    readers: list[subprocess.Popen[str]] = []
    command = [*COMMAND, "read", address, container, "15"]
    try:
        while writers.kills < 30 or len(runs.recent(sys.maxsize)) < 100:
            if not readers:
                readers = [subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
            writers.pause()
            writers.kill_one()
            if all(each.poll() is not None for each in readers):
                reports += _collect(readers)
                readers = []
    finally:
        writers.stop()
        for each in readers:
            each.wait(60)
    reports += _collect(readers)
    views, stamps = sum(each["views"] for each in reports), sum(each["stamps"] for each in reports)
    results = [runs.result(each) for each in runs.recent(sys.maxsize)]
    ended = Counter(each.status.value if each else "killed" for each in results)
    assert views > 100
    assert stamps > 20
    assert ended["succeeded"] > 20
    found = verify(store, rows=True)
    assert found.problem is None
    sys.stderr.write(
        f"\n{type(store).__name__}: {len(results)} runs ({', '.join(f'{count} {status}' for status, count in sorted(ended.items()))}), "
        f"{writers.kills} kills, {views:,} views by {len(reports)} readers of which {stamps} showed another run than before, no mixture, "
        f"{time.monotonic() - started:.0f} s\n"
    )


def _collect(readers: list[subprocess.Popen[str]]) -> list[dict[str, int]]:
    outputs = [each.communicate()[0] for each in readers]
    assert [each.returncode for each in readers] == [0] * len(readers), "a reader saw a mixture (above)"
    return [json.loads(each) for each in outputs]
