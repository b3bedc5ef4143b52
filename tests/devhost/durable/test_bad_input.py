"""What cannot be read, does not answer or kills its worker is set aside or repeated by itself; nothing else is harmed by it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from devhost.durable.history import Event, Kind
from devhost.invocation import Invocation, TimedOut
from devhost.storage.account import StorageAccount
from devhost.storage.errors import StorageUnavailable
from tests.devhost.durable.rig import Host, InProcessInvoker, eventually, fresh_hub
from tests.devhost.durable.scenarios import build, in_host


async def scramble(storage: str, hub: str, partition: str) -> None:
    account = StorageAccount.from_connection_string(storage)
    row = await account.tables.get(f"{hub}History", partition, "0000000000000001")
    assert row is not None
    broken = {"PartitionKey": partition, "RowKey": row["RowKey"], "ExecutionId": row["ExecutionId"], "EventType": "Scrambled", "EventId": 1}
    await account.tables.put(f"{hub}History", broken)
    await account.close()


def test_a_corrupt_entity_does_not_keep_the_host_from_starting(storage: str, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        hub, invoker = fresh_hub(), InProcessInvoker(build())
        host = Host(invoker, storage, hub)
        await host.start()
        assert (await host.wait(await host.start_new("entity_many", "many", {"n": 3})))["output"] == 3
        waiting = await host.start_new("waits")
        await host.wait(waiting, until=("Running",))
        await host.kill()
        await scramble(storage, hub, "@counter@many")
        other = Host(invoker, storage, hub)
        await other.storage.tables.create(f"{hub}History")
        kept = await other.extension.client._store.add_message("@counter@many", _request("1"))
        await other.storage.close()
        host = Host(invoker, storage, hub)
        await host.start()
        (problem,) = host.extension.problems
        assert problem.startswith(
            "instance '@counter@many' is set aside: history row '0000000000000001' of instance '@counter@many' is not an"
        )
        assert (await host.ask("POST", f"/instances/{waiting}/raiseEvent/go", 7)).status == 202
        assert (await host.wait(waiting))["output"] == 7
        rows = [row async for row in host.storage.tables.query(f"{hub}History", f"RowKey eq '{kept.row}'")]
        assert len(rows) == 1  # what was sent to it waits for better days
        assert (await host.ask("DELETE", "/instances/@counter@many")).status == 200
        assert host.extension.problems == []
        await host.stop()
        invoker.close()

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    told = [record.getMessage() for record in caplog.records if "is set aside" in record.getMessage()]
    assert len(told) == 1


def _request(number: str) -> Any:
    return Event(
        Kind.EventRaised,
        {"Name": "op", "Input": '{"op":"add","signal":true,"input":"1","id":"' + number + '"}', "ParentTraceContext": None},
    )


def test_a_lost_large_input_sets_one_instance_aside(storage: str) -> None:
    async def run() -> None:
        hub, invoker = fresh_hub(), InProcessInvoker(build())
        host = Host(invoker, storage, hub)
        await host.start()
        large = await host.start_new("waits", None, "x" * 100_000)
        sound = await host.start_new("waits")
        for instance in (large, sound):
            await host.wait(instance, until=("Running",))
        await host.extension._rows.flush()
        await host.kill()
        account = StorageAccount.from_connection_string(storage)
        container = f"{hub.lower()}-largemessages"
        async for blob in account.blobs.list(container, f"{large}/"):
            await account.blobs.delete(container, blob.name)
        await account.close()
        host = Host(invoker, storage, hub)
        await host.start()
        assert (await host.ask("POST", f"/instances/{sound}/raiseEvent/go", 7)).status == 202
        assert (await host.wait(sound))["output"] == 7
        await eventually(lambda: host.extension.problems)
        (problem,) = host.extension.problems
        assert problem.startswith(f"instance '{large}' is set aside: The large value ")
        assert " is gone, although the " in problem
        assert (await host.ask("GET", "/instances")).status == 200  # one lost value does not spoil the list
        await host.stop()
        invoker.close()

    asyncio.run(run())


def test_an_orchestrator_that_never_answers_can_be_terminated(storage: str) -> None:
    async def story(host: Host) -> None:
        def late(invocation: Invocation) -> None:
            if invocation.function == "waits":
                raise TimedOut("waits ran longer than functionTimeout (1 s)")

        host.invoker.before = late
        stuck = await host.start_new("waits")
        await eventually(lambda: len(host.invoker.calls("waits")) >= 2)
        assert [call.lost_a_worker for call in host.invoker.calls("waits")][:2] == [False, True]
        assert (await host.wait(await host.start_new("chain")))["output"] == [1, 2]
        assert (await host.ask("POST", f"/instances/{stuck}/terminate?reason=enough")).status == 202
        found = await host.wait(stuck, seconds=1.5)  # the pause before the next attempt is cut short
        assert (found["runtimeStatus"], found["output"]) == ("Terminated", "enough")

    in_host(storage, story)


@pytest.mark.parametrize("what", ["the commit's answer", "the reply"])
def test_an_entity_is_right_whatever_is_lost_around_its_commit(storage: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch with a signal from outside and a call: the signal must not count twice, nor the caller wait for ever."""

    async def story(host: Host) -> None:
        entities, lose = host.extension._entities, [True]

        def losing(wrapped: Any) -> Any:
            async def lost(*given: Any, **options: Any) -> Any:
                answer = await wrapped(*given, **options)
                if lose and (what == "the reply" or given[0].key == "@counter@k"):
                    lose.clear()
                    raise StorageUnavailable("storage does not answer")
                return answer

            return lost

        if what == "the reply":
            monkeypatch.setattr(entities, "_reply", losing(entities._reply))
        else:
            monkeypatch.setattr(entities._store, "commit", losing(entities._store.commit))
        entities._slots = asyncio.Semaphore(0)  # nothing runs until all of it is there
        caller = await host.start_new("entity_many", "k", {"n": 3})
        assert (await host.ask("POST", "/entities/counter/k?op=add", "5")).status == 202
        await eventually(lambda: len(entities._entities["@counter@k"].queue) == 5)
        entities._slots.release()
        assert (await host.wait(caller, seconds=10))["output"] in (3, 8)
        assert not lose
        await eventually(lambda: not entities._entities["@counter@k"].queue)
        assert (await host.ask("GET", "/entities/counter/k")).body == b"8"

    in_host(storage, story)


def test_ten_megabytes_in_and_out_hold_nobody_up(storage: str) -> None:
    async def story(host: Host) -> None:
        large = "x" * 10_000_000
        instance = await host.start_new("waits", None, large)
        assert (await host.ask("POST", f"/instances/{instance}/raiseEvent/go", large)).status == 202
        assert (await host.wait(await host.start_new("chain")))["output"] == [1, 2]
        found = await host.wait(instance, seconds=30)
        assert (found["runtimeStatus"], found["input"] == large, found["output"] == large) == ("Completed", True, True)

    in_host(storage, story)
