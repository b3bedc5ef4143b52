"""What the kill campaign starts, what every part of it must come to, and the client that starts it and never gives up."""

from __future__ import annotations

import collections
import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.devhost.shell.support import Reply, RunningHost

API = "/runtime/webhooks/durabletask"
SHARED = ("north", "south", "west")
BIG = 90_000
KINDS = ("fan", "steps", "rolling", "tree", "sleeper", "listener", "tally", "generations", "stubborn")


@dataclass
class Family:
    """One orchestration with everything below it."""

    id: str
    kind: str
    given: dict[str, Any]
    output: Any
    counts: dict[str, int] = field(default_factory=dict)
    """Entity key → what this family adds to it."""
    events: list[tuple[str, int]] = field(default_factory=list)
    """Events that are still to be sent."""
    is_asked: bool = False
    """A start has been sent; what became of it may be unknown."""
    is_known: bool = False
    """The host has acknowledged it, so that it must not be lost."""


def new_family(number: int, dice: random.Random) -> Family:
    """The next family; all chance comes from `dice`."""
    kind = dice.choice(KINDS)
    name = f"{kind}-{number}"
    n, ms = dice.randint(2, 12), dice.choice((0, 3, 20))
    if kind == "fan":
        n, large = dice.choice((4, 15, 60, 130)), dice.choice((0, 0, 2))
        keys = [*(f"{name}/{i}" for i in range(n)), *(f"{name}/large{i}" + "z" * BIG for i in range(large))]
        return Family(name, kind, {"n": n, "ms": ms, "large": large}, [len(keys), len(keys), sum(map(len, keys))])
    if kind == "steps":
        return Family(name, kind, {"n": n, "ms": ms}, n)
    if kind == "rolling":
        return Family(name, kind, {"n": n, "ms": ms}, [n, n])
    if kind == "tree":
        wide, total = dice.randint(1, 3), 1
        for _ in range(2):
            total = wide * total + 2
        return Family(name, kind, {"depth": 2, "wide": wide}, total)
    if kind == "sleeper":
        return Family(name, kind, {"n": dice.randint(0, 2)}, "late")
    if kind == "listener":
        values = [dice.randint(1, 99) for _ in range(dice.randint(1, 4))]
        events = [*((f"go{i}", value) for i, value in enumerate(values)), ("last", len(values))]
        return Family(name, kind, {"n": len(values)}, [sum(values), len(values)], events=events)
    if kind == "tally":
        shared = dice.choice(SHARED)
        return Family(name, kind, {"n": n, "shared": shared}, n, {name: n, shared: n + 10 * len(range(0, n, 4))})
    if kind == "generations":
        return Family(name, kind, {"n": n, "g": 0}, n - 1, {name: n})
    return Family(name, kind, {"fails": dice.randint(0, 2)}, ["flaky", True])


class Client(threading.Thread):
    """Keeps so many families in flight, whatever happens to the host, and notes every broken promise."""

    def __init__(self, dice: random.Random, in_flight: int, *, tolerant: bool = False) -> None:
        """With `tolerant` a 500 or 503 is no answer: the host may have failed to reach storage."""
        super().__init__(daemon=True)
        self._tolerant = tolerant
        self._dice = dice
        self._in_flight = in_flight
        self._enough = threading.Event()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.host: RunningHost | None = None
        """The host to speak to; None while there is none."""
        self.families: list[Family] = []
        self.open: dict[str, Family] = {}
        self.problems: list[str] = []
        self.signals = collections.Counter[str]()
        """Signals from outside: how many were sent, and how many of them acknowledged."""

    # What the campaign asks

    def open_ids(self) -> set[str]:
        with self._lock:
            return set(self.open)

    def finish(self, seconds: float) -> None:
        """Starts nothing more and waits until everything has ended."""
        self._enough.set()
        deadline = time.monotonic() + seconds
        while self.open and not self.problems and time.monotonic() < deadline:
            time.sleep(0.05)
        for family in list(self.open.values()):
            self.problems.append(f"{family.id} has not ended after {seconds:.0f} s: {self._shown(family)}")
        self.stop()

    def stop(self) -> None:
        self._stopped.set()
        self.join(60)

    def expected_counts(self) -> dict[str, int]:
        counts: collections.Counter[str] = collections.Counter()
        for family in self.families:
            counts.update(family.counts)
        return dict(counts)

    def count(self, key: str) -> int | None:
        reply = self._ask("GET", f"{API}/entities/counter/{key}")
        return None if reply is None or reply.status != 200 else int(reply.json())

    # What it does

    def run(self) -> None:
        for _ in self._turns():
            if self._stopped.wait(0.01):
                return

    def _turns(self) -> Iterator[None]:
        while True:
            yield
            if self.host is None:
                continue
            while self._wants_more():
                with self._lock:
                    family = new_family(len(self.families), self._dice)
                    self.families.append(family)
                    self.open[family.id] = family
                self._begin(family)
            if not self._enough.is_set() and self._dice.random() < 0.2:
                self.signals["sent"] += 1
                reply = self._ask("POST", f"{API}/entities/counter/outside?op=add", '"1"')
                self.signals["acknowledged"] += reply is not None and reply.status == 202
            for family in list(self.open.values()):
                if not family.is_known:
                    self._begin(family)
                elif family.events:
                    self._raise(family)
                else:
                    self._look(family)
                yield

    def _wants_more(self) -> bool:
        return self.host is not None and not self._enough.is_set() and len(self.open) < self._in_flight

    def _begin(self, family: Family) -> None:
        if family.is_asked:
            there = self._ask("GET", f"{API}/instances/{family.id}")
            if there is None:
                return
            if there.status != 404:
                family.is_known = True
                return
        family.is_asked = True
        reply = self._ask("POST", f"{API}/orchestrators/{family.kind}/{family.id}", json.dumps(family.given))
        if reply is None:
            return
        family.is_known = reply.status == 202
        if reply.status != 202:
            self._note(f"{family.id}: its start was answered {reply.status}: {reply.text}")

    def _raise(self, family: Family) -> None:
        name, value = family.events[0]
        reply = self._ask("POST", f"{API}/instances/{family.id}/raiseEvent/{name}", json.dumps(value))
        if reply is None:
            return
        if reply.status in (202, 410):  # 410: it came at the first attempt, whose answer was lost, and was all that was missing
            family.events.pop(0)
        else:
            self._note(f"{family.id}: the event {name} was answered {reply.status}: {reply.text}")

    def _look(self, family: Family) -> None:
        reply = self._ask("GET", f"{API}/instances/{family.id}")
        if reply is None:
            return
        if reply.status == 404:
            self._note(f"{family.id} was acknowledged and is gone")
            return
        found = reply.json()
        if found["runtimeStatus"] in ("Pending", "Running"):
            return
        with self._lock:
            del self.open[family.id]
        if (found["runtimeStatus"], found["output"]) != ("Completed", family.output):
            self._note(f"{family.id} ended {found['runtimeStatus']} with {found['output']!r}, not Completed with {family.output!r}")

    def _note(self, problem: str) -> None:
        self.problems.append(problem)

    def _shown(self, family: Family) -> str:
        reply = self._ask("GET", f"{API}/instances/{family.id}?showHistory=true")
        return "no answer" if reply is None else reply.text[:3000]

    def _ask(self, method: str, target: str, body: str | None = None) -> Reply | None:
        """The host's answer; None when it gave none and nobody knows what it did."""
        host = self.host
        if host is None:
            return None
        try:
            reply = host.request(method, target, body, {"Content-Type": "application/json"}, timeout=20)
        except (OSError, http.client.HTTPException):
            if host is self.host:
                time.sleep(0.02)
            return None
        return None if self._tolerant and reply.status in (500, 503) else reply


def settle(read: Callable[[], object], wanted: object, *, seconds: float) -> object:
    """What `read` gives once it gives `wanted`, or when time is up."""
    deadline = time.monotonic() + seconds
    while (found := read()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
