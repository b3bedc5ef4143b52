"""How fast the local host is, and on what it spends its time: every target beside a floor or a peer from the same run.

    python benchmarks/host.py [--only NAME …] [--rounds N] [--json]

Each scenario has a host and an Azurite (in memory) of its own and speaks HTTP to the host. Wall seconds depend on what else the machine does; CPU milliseconds
per activity or instance, read from the operating system for host, worker and Azurite apart, hardly do. Floors: the transactions that a scenario
cannot do without, written by the bare table client; peers: the in-memory engine of the `durabletask` package, which keeps nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


from benchmarks.host_rig import Client, Stack, counted, resident_mb
from devhost.storage.account import StorageAccount
from devhost.storage.tables import Operation

Figures = dict[str, Any]
CHAIN = 3
IN_FLIGHT = 100


# ---- the host


async def fan_out(rounds: int) -> Figures:
    """One orchestration over 1,000 activities that do nothing."""
    with Stack.running() as stack:
        client = Client(stack.start_host().host.port)
        await _fan(client, 100)
        before = stack.cpu()
        seconds = [await _timed(_fan(client, 1000)) for _ in range(rounds)]
        cpu = stack.cpu().since(before).each(1000 * rounds)
        floor = await _transactions(stack.connection_string, count=21, rows=99, at_once=1)
        await client.close()
    peer = await _peer("fan_out", 1000)
    return {
        "activities_per_second": _rates(1000, seconds),
        "cpu_ms_per_activity": cpu,
        "floor": f"the same 2,000 rows written by the bare table client, {1000 / floor:,.0f}/s",
        "peer": f"durabletask in memory, {1000 / peer:,.0f}/s",
        "target": "400/s",
    }


async def chains(rounds: int) -> Figures:
    """Three activities in a row, a hundred instances in flight; then with the SDK as it is installed (`DEVHOST_PLAIN_SDK`)."""
    count, figures = 300, {}
    for name, is_plain in (("", False), ("_plain_sdk", True)):
        with Stack.running() as stack:
            client = Client(stack.start_host(plain_sdk=is_plain).host.port)
            one = functools.partial(_chain, client, CHAIN)
            await _in_flight(one, count)  # the first few hundred make Azurite's and everybody's code warm
            before = stack.cpu()
            seconds = [await _timed(_in_flight(one, count)) for _ in range(rounds)]
            figures[f"instances_per_second{name}"] = _rates(count, seconds)
            figures[f"cpu_ms_per_instance{name}"] = stack.cpu().since(before).each(count * rounds)
            await client.close()
            floor = await _transactions(stack.connection_string, count=3 * count, rows=5, at_once=IN_FLIGHT)
    peer = await _peer("chains", count)
    return figures | {
        "floor": f"three transactions an instance by the bare table client, {count / floor:,.0f}/s",
        "peer": f"durabletask in memory, {count / peer:,.0f}/s",
        "target": "150/s",
    }


async def latency(rounds: int) -> Figures:
    """From the request that starts an instance to its first line of code, and to a status of Running; one instance at a time."""
    until_code, until_seen, until_answer = [], [], []
    with Stack.running() as stack:
        client = Client(stack.start_host().host.port)
        for number in range(20 * rounds + 5):
            wall, began = time.time(), time.perf_counter()
            instance_id = await client.start("clocked", None)
            answered = time.perf_counter() - began
            while (found := await client.status(instance_id))["runtimeStatus"] == "Pending":  # noqa: ASYNC110 - as clients do
                await asyncio.sleep(0.001)
            seen = time.perf_counter() - began
            if number >= 5:  # the first ones warm the worker up
                until_code.append((found["customStatus"] - wall) * 1000)
                until_seen.append(seen * 1000)
                until_answer.append(answered * 1000)
            await client.request("POST", f"/runtime/webhooks/durabletask/instances/{instance_id}/raiseEvent/end", 1)
            await asyncio.sleep(0.02)
        floor = await _transactions(stack.connection_string, count=40, rows=3, at_once=1) / 20
        await client.close()
    return {
        "ms_to_answer": _spread(until_answer),
        "ms_to_first_line": _spread(until_code),
        "ms_to_running_seen": _spread(until_seen),
        "floor": f"two transactions by the bare table client, {floor * 1000:.1f} ms",
        "target": "p50 under 30 ms",
    }


async def long_chain(rounds: int) -> Figures:
    """Fifty activities in a row; then with the SDK as it is installed. The history is replayed by the SDK fifty-one times."""
    figures: Figures = {}
    for name, is_plain in (("", False), ("_plain_sdk", True)):
        with Stack.running() as stack:
            client = Client(stack.start_host(plain_sdk=is_plain).host.port)
            await _chain(client, 50)
            before = stack.cpu()
            seconds = [await _timed(_chain(client, 50)) for _ in range(rounds)]
            figures[f"seconds{name}"] = _spread(seconds, 2)
            figures[f"cpu_ms_per_activity{name}"] = stack.cpu().since(before).each(50 * rounds)
            await client.close()
            floor = await _transactions(stack.connection_string, count=51, rows=4, at_once=1)
    return figures | {
        "floor": f"51 transactions by the bare table client, {floor:.2f} s",
        "target": "the real host takes 1.5 s",
    }


async def restart(rounds: int) -> Figures:
    """`kill -9` of the host with twenty instances at work: from the start of the next host to the next activity that ends."""
    waits, started_in = [], []
    with Stack.running() as stack:
        for _ in range(rounds):
            client = Client(stack.start_host().host.port)
            running = [await client.start("naps", {"count": 30, "seconds": 0.05}) for _ in range(20)]
            await asyncio.sleep(1.0)
            await client.close()
            os.kill(stack.host.child.pid, signal.SIGKILL)
            stack.host.stop()
            stack.notes.write_text("")
            began = time.time()
            stack.start_host()
            started_in.append(time.time() - began)
            client = Client(stack.host.port)
            while any([(await client.status(each))["runtimeStatus"] != "Completed" for each in running]):  # noqa: ASYNC110 - as clients do
                await asyncio.sleep(0.1)
            waits.append(float(stack.notes.read_text().split()[0]) - began)
            await client.close()
            stack.host.stop()
    return {
        "seconds_to_next_activity": _spread(waits, 2),
        "seconds_to_answering": _spread(started_in, 2),
        "floor": "a host with nothing to recover has to start as well: seconds_to_answering",
        "target": "5 s",
    }


async def idle(_rounds: int) -> Figures:
    """A host with nothing to do, after a little work."""
    pause = 10.0
    with Stack.running() as stack:
        client = Client(stack.start_host().host.port)
        await _chain(client, CHAIN)
        await client.close()
        await asyncio.sleep(2)
        before = stack.cpu()
        await asyncio.sleep(pause)
        spent = stack.cpu().since(before)
        memory = {"host": resident_mb(stack.host.child.pid), "worker": sum(map(resident_mb, stack.workers))}
    return {
        "cpu_percent": {"host": round(spent.host / pause * 100, 2), "worker": round(spent.worker / pause * 100, 2)},
        "resident_mb": {name: round(value) for name, value in memory.items()},
        "floor": "an empty Python process: 10 MB",
        "target": "under 1 %, under 120 MB",
    }


async def calls(_rounds: int) -> Figures:
    """Requests to storage, counted by a relay in front of it."""
    found: Figures = {}
    with Stack.running() as stack:
        async with counted(stack.connection_string) as (through, counts):
            stack.connection_string = through
            client = Client((await asyncio.to_thread(stack.start_host)).host.port)
            await _chain(client, CHAIN)
            chain = functools.partial(_chain, client, CHAIN)
            works: tuple[tuple[str, Callable[[], Awaitable[None]], int], ...] = (
                ("per_100_activities", functools.partial(_fan, client, 1000), 10),
                ("per_chain_alone", chain, 1),
                ("per_chain_100_in_flight", functools.partial(_in_flight, chain, 300), 300),
            )
            for name, work, units in works:
                await asyncio.sleep(0.5)
                counts.clear()
                await work()
                await asyncio.sleep(0.5)
                leases = counts.pop("blob PUT", 0)  # the host renews its hold on the hub all the time
                found[name] = {"all": round(counts.total() / units, 2)} | {key: round(value / units, 2) for key, value in counts.items()}
                counts["blob PUT"] = leases
            await client.close()
            await asyncio.to_thread(stack.host.stop)
    return found | {"floor": "20 transactions of 100 rows for 1,000 activities: 2 per 100", "target": "15 per 100 activities"}


async def scale(rounds: int) -> Figures:
    """10,000 activities as 100 × 100 sub-orchestrations, beside 100 as one orchestration."""
    with Stack.running() as stack:
        client = Client(stack.start_host().host.port)
        await _fan(client, 100)
        before = stack.cpu()
        small = [await _timed(_fan(client, 100)) for _ in range(5 * rounds)]
        small_cpu = stack.cpu().since(before).each(500 * rounds)
        before = stack.cpu()
        large = await _timed(client.run("families", {"count": 100, "each": 100}, output=10_000))
        large_cpu = stack.cpu().since(before).each(10_000)
        await client.close()
    return {
        "ms_per_activity_at_100": round(statistics.median(small) * 10, 2),
        "ms_per_activity_at_10000": round(large / 10, 2),
        "cpu_ms_per_activity_at_100": small_cpu,
        "cpu_ms_per_activity_at_10000": large_cpu,
        "cpu_ratio": round(large_cpu["all"] / small_cpu["all"], 2),
        "wall_ratio": round(large / 10 / (statistics.median(small) * 10), 2),
        "target": "ratio within 1.2",
    }


async def width(_rounds: int) -> Figures:
    """One orchestration over more and more activities: the emulator compares every row of an instance for each row that is added to it."""
    found: Figures = {}
    with Stack.running() as stack:
        client = Client(stack.start_host().host.port)
        await _fan(client, 100)
        for count in (1_000, 2_000, 4_000, 8_000):
            before = stack.cpu()
            seconds = await _timed(_fan(client, count))
            found[f"{count}_activities"] = {"per_second": round(count / seconds)} | stack.cpu().since(before).each(count)
        await client.close()
    return found | {"floor": "see fan_out", "target": "none: give parts of so much work to sub-orchestrations (`scale`)"}


SCENARIOS: dict[str, Callable[[int], Coroutine[Any, Any, Figures]]] = {
    "fan_out": fan_out,
    "chains": chains,
    "latency": latency,
    "long_chain": long_chain,
    "restart": restart,
    "idle": idle,
    "calls": calls,
    "scale": scale,
    "width": width,
}


def _fan(client: Client, count: int) -> Awaitable[None]:
    return client.run("fan_out", {"count": count}, output=count)


def _chain(client: Client, count: int) -> Awaitable[None]:
    return client.run("chain", {"count": count}, output=sum(range(count)))


async def _timed(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def _in_flight(start: Callable[[], Awaitable[object]], count: int) -> None:
    """Runs `count` of something, always `IN_FLIGHT` at once."""
    left = iter(range(count))

    async def lane(numbers: Iterator[int]) -> None:
        for _ in numbers:
            await start()

    await asyncio.gather(*(lane(left) for _ in range(min(IN_FLIGHT, count))))


# ---- floors and peers


async def _transactions(connection_string: str, *, count: int, rows: int, at_once: int) -> float:
    """Seconds for `count` transactions of `rows` history rows each, by the host's own table client and nothing else around it."""
    account = StorageAccount.from_connection_string(connection_string)
    await account.tables.create("Floor")
    body = {"EventType": "TaskCompleted", "EventId": -1, "IsPlayed": True, "Result": "1", "TaskScheduledId": 1, "ExecutionId": "0" * 32}

    async def one(number: int) -> None:
        keys = [{"PartitionKey": f"p{number}", "RowKey": f"{row:016X}"} for row in range(rows)]
        operations = [Operation("PUT", key["PartitionKey"], key["RowKey"], json.dumps({**key, **body}).encode()) for key in keys]
        await account.tables.transact("Floor", operations)

    async def lane(numbers: Iterator[int]) -> None:
        for number in numbers:
            await one(number)

    await one(-1)
    left = iter(range(count))
    seconds = await _timed(asyncio.gather(*(lane(left) for _ in range(at_once))))
    await account.close()
    return seconds


async def _peer(name: str, count: int) -> float:
    """Seconds of the same work on the in-memory engine of `durabletask`."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("host_peer.py")), name, str(count),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    said, _ = await program.communicate()
    return float(said)


# ---- printing


def _rates(count: int, seconds: list[float]) -> dict[str, float]:
    return {"median": round(count / statistics.median(seconds)), "best": round(count / min(seconds))}


def _spread(values: list[float], digits: int = 1) -> dict[str, float]:
    return {"median": round(statistics.median(values), digits), "best": round(min(values), digits)}


def _print(name: str, figures: Figures) -> None:
    print(f"\n{name}")
    for key, value in figures.items():
        shown = ", ".join(f"{part} {number}" for part, number in value.items()) if isinstance(value, dict) else value
        print(f"  {key:<28} {shown}")


def main() -> None:
    parser = argparse.ArgumentParser(description="The local host beside its targets, floors and peers.")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), metavar="NAME", help=", ".join(SCENARIOS))
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of each; median and best are shown (default 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    found: dict[str, Figures] = {}
    for name in options.only:
        found[name] = asyncio.run(SCENARIOS[name](options.rounds))
        found[name]["load_average"] = round(os.getloadavg()[0], 1)
        if not options.json:
            _print(name, found[name])
    if options.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
