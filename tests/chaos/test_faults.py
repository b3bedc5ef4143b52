"""A real host whose table, queue and blob services all misbehave at once: nothing is lost, nothing counts twice, everything ends."""

from __future__ import annotations

import asyncio
import base64
import collections
import json
import os
import random
import shutil
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from devhost.storage.account import StorageAccount
from tests.chaos.oracle import read_record, take_snapshot
from tests.chaos.workload import Client, settle
from tests.devhost.durable.faults import FAULTS, Trouble, troubled
from tests.devhost.durable.rig import fresh_hub
from tests.devhost.shell.support import RunningHost, running

pytestmark = [pytest.mark.e2e, pytest.mark.proof, pytest.mark.timeout(900)]

T = TypeVar("T")
HERE = Path(__file__).parent
SECONDS = 60.0
MESSAGES, BLOBS = 80, 30
HOST_ID = "faults"
SILENCE = 20.0
"""Longer than the host waits for an answer."""


@contextmanager
def proxy(storage: str, seed: int) -> Iterator[tuple[str, Trouble]]:
    """The proxy on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    context = troubled(storage, seed, patience=SILENCE)
    try:
        yield asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(30)
    finally:
        asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def send_work(account: StorageAccount) -> None:
    for queue in ("inbox", "outbox"):
        await account.queues.create(queue)
    for container in ("incoming", "copies"):
        await account.blobs.create_container(container)
    for number in range(MESSAGES):
        await account.queues.put("inbox", base64.b64encode(f"{number}".encode()).decode())
    for number in range(BLOBS):
        await account.blobs.put("incoming", f"{number}", f"content {number}".encode())


async def find_work(account: StorageAccount) -> tuple[list[int], collections.Counter[str], set[str], list[str]]:
    """Messages still in the inbox and for the blob trigger, texts in the outbox, names of copies, and the poison queues that hold something."""
    left = [await account.queues.length(queue) or 0 for queue in ("inbox", f"azure-webjobs-blobtrigger-{HOST_ID}")]
    out: collections.Counter[str] = collections.Counter()
    while found := await account.queues.receive("outbox", count=32, visibility_seconds=600):
        out.update(base64.b64decode(message.text).decode() for message in found)
    copies = {blob.name async for blob in account.blobs.list("copies")}
    poison = [queue for queue in ("inbox-poison", "webjobs-blobtrigger-poison") if await account.queues.length(queue)]
    return left, out, copies, poison


async def with_account(storage: str, work: Callable[[StorageAccount], Awaitable[T]]) -> T:
    account = StorageAccount.from_connection_string(storage)
    try:
        return await work(account)
    finally:
        await account.close()


def test_a_real_host_lives_through_faults_of_all_three_services(storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    hub, record = fresh_hub(), tmp_path / "record"
    shutil.copy(HERE / "function_app.py", tmp_path / "workload_app.py")
    shutil.copy(HERE / "triggers_app.py", tmp_path / "function_app.py")
    (tmp_path / "host.json").write_text(json.dumps({"version": "2.0", "extensions": {"durableTask": {"hubName": hub}}}))
    client = Client(random.Random(f"{seed} work"), in_flight=16, tolerant=True)
    with proxy(storage, seed) as (connection, trouble):
        settings = {"AzureWebJobsStorage": connection, "CHAOS_RECORD": str(record), "AzureFunctionsWebHost__hostid": HOST_ID}
        with running(tmp_path, "--workers", "2", settings=settings) as host:
            live_through(host, client, trouble, storage)
            assert client.problems == []
            check_counts(client)
            assert host.terminate() == 0
            log = host.log
    snapshot = take_snapshot(storage, hub, settled=True)
    assert snapshot.problems == []
    assert [line for line in log.splitlines() if "set aside" in line or "Traceback" in line] == []
    runs = collections.Counter(run.key for run in read_record(record.read_text()))
    (left, blobs_left), out, copies, poison = asyncio.run(with_account(storage, find_work))
    done = {number for number in range(MESSAGES) if runs[f"queue/{number}"]}
    assert len(done) + left >= MESSAGES  # a message whose delivery was lost on the way comes again in ten minutes
    assert {str(number) for number in done} <= out.keys()
    seen = {str(number) for number in range(BLOBS) if runs[f"incoming/{number}"]}
    assert seen <= copies
    assert len(seen) + blobs_left >= BLOBS
    assert poison == []
    assert {fault for service, fault in trouble.met if service == "table"} == set(FAULTS)
    assert {service for service, _ in trouble.met} == {"table", "queue", "blob"}
    with capsys.disabled():
        met = collections.Counter[str]()
        for (service, _), count in trouble.met.items():
            met[service] += count
        sys.stdout.write(
            f"\nCHAOS_SEED={seed}: {sum(met.values())} faults in {sum(trouble.seen.values())} requests ({dict(met)}); "
            f"{len(client.families)} families, {snapshot.partitions} histories, {snapshot.events} events; {len(done)} of {MESSAGES} messages "
            f"handled, {left} still in the queue, {out.total() - len(out)} put twice; {len(copies)} of {BLOBS} blobs copied\n"
        )


def live_through(host: RunningHost, client: Client, trouble: Trouble, storage: str) -> None:
    client.host = host
    trouble.share = 0.1
    client.start()
    asyncio.run(with_account(storage, send_work))
    time.sleep(SECONDS)
    client.finish(240)
    trouble.share = 0.0


def check_counts(client: Client) -> None:
    for key, wanted in client.expected_counts().items():
        assert (key, settle(partial(client.count, key), wanted, seconds=60)) == (key, wanted)
    outside = client.count("outside") or 0
    assert client.signals["acknowledged"] <= outside <= client.signals["sent"]
