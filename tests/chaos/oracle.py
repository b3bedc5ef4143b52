"""What must be true of storage after every kill, and of the record of executions at the end."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from devhost.durable.episode import standing
from devhost.durable.history import CorruptRow, Event, Kind
from devhost.durable.large import LostValue
from devhost.durable.names import from_key
from devhost.durable.state import InstanceState
from devhost.durable.store import HubStore, Partition
from devhost.durable.validity import history_problems, status_problems
from devhost.storage.account import StorageAccount

REPEATED = ("/flaky", "/doomed")
"""Steps that run more than once by design."""


@dataclass(frozen=True)
class Run:
    """One execution of an activity, as it put itself on record."""

    moment: int
    """Nanoseconds since the epoch."""
    pid: int
    key: str


@dataclass
class Snapshot:
    """The hub as a dead host left it."""

    problems: list[str]
    partitions: int
    events: int
    finished: set[str]
    """Keys of activities whose result is in the history, or was in one that a later generation has overwritten."""
    waiting: set[str]
    """Keys of activities that the history leaves open."""


def read_record(text: str) -> list[Run]:
    return [Run(int(moment), int(pid), key) for moment, pid, key in (line.split(" ", 2) for line in text.splitlines())]


def take_snapshot(connection: str, hub: str, *, settled: bool = False) -> Snapshot:
    """Reads the whole hub and checks everything in it."""
    return asyncio.run(_take(connection, hub, settled=settled))


async def _take(connection: str, hub: str, *, settled: bool) -> Snapshot:
    account = StorageAccount.from_connection_string(connection)
    store = HubStore(account, hub)
    taken = Snapshot([], 0, 0, set(), set())
    try:
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        async for row in account.tables.query(store.history_table):
            rows[row["PartitionKey"]].append(row)
        states: dict[str, InstanceState] = {}
        async for row in account.tables.query(store.instances_table):
            state = await store._instance(row)
            states[state.instance_id] = state
        for key, found in rows.items():
            instance = from_key(key)
            try:
                partition = await store.assemble(instance, found)
            except (CorruptRow, LostValue) as problem:
                taken.problems.append(f"{instance}: {problem}")
                continue
            taken.partitions += 1
            taken.events += len(partition.events)
            taken.problems += [f"{instance}: {problem}" for problem in _problems(states.get(instance), partition, settled=settled)]
            _read_activities(taken, instance, partition.events)
        lost = [
            state.instance_id for state in states.values() if state.instance_id not in map(from_key, rows) and state.status != "Pending"
        ]
        taken.problems += [f"{instance}: it has a row and no history" for instance in lost]
    finally:
        await account.close()
    return taken


def _problems(state: InstanceState | None, partition: Partition, *, settled: bool) -> Iterator[str]:
    yield from history_problems(partition.events)
    if state is not None:
        yield from status_problems(state, partition, settled=settled)
    elif partition.events and not from_key(partition.key).startswith("@"):
        yield "it has a history and no row"  # only an entity's first batch is committed before its row is written
    if settled and partition.messages:
        yield f"{len(partition.messages)} messages are left"


def _read_activities(taken: Snapshot, instance: str, events: Sequence[Event]) -> None:
    keys = {event.id: str(json.loads((event.private or {})["TaskInput"])["key"]) for event in events if event.kind is Kind.TaskScheduled}
    now = standing(events)
    taken.finished |= {keys[event.task_id] for event in events if event.kind is Kind.TaskCompleted and event.task_id in keys}
    if now.completion is None:
        taken.waiting |= {keys[number] for number in now.open if number in keys}
    if instance.startswith("generations-") and events:
        given = json.loads(str(events[1].members["Input"]))
        given = json.loads(given) if isinstance(given, str) else given
        taken.finished |= {f"{instance}/g{number}" for number in range(given["g"])}


def repetitions(runs: Sequence[Run], kills: Iterable[int]) -> tuple[int, list[str]]:
    """How many executions were repetitions, and those that no kill between the two explains."""
    by_key: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if not run.key.endswith(REPEATED):
            by_key[run.key].append(run)
    moments = sorted(kills)
    unexplained = [
        f"{key} ran twice with no kill in between, in processes {first.pid} and {second.pid}"
        for key, executions in by_key.items()
        for first, second in itertools.pairwise(executions)
        if not any(first.moment <= moment <= second.moment for moment in moments)
    ]
    return sum(len(executions) - 1 for executions in by_key.values()), unexplained


def run_again(runs: Sequence[Run], finished_at: Iterable[tuple[int, set[str]]]) -> list[str]:
    """Executions of activities whose result was on record already; `finished_at` is (length of the record, keys) for each snapshot."""
    first: dict[str, int] = {}
    for length, keys in finished_at:
        for key in keys:
            first.setdefault(key, length)
    return [
        f"{run.key} ran again in process {run.pid} after its result was in the history"
        for position, run in enumerate(runs)
        if position >= first.get(run.key, len(runs))
    ]


def tally(runs: Sequence[Run]) -> dict[str, int]:
    """Executions and distinct activities."""
    return {"executions": len(runs), "activities": len(Counter(run.key for run in runs))}
