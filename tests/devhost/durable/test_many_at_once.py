"""With many instances at work, the first commit of each waits for what its first activity brings: same histories, nothing lost when that commit fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from devhost.durable.history import Kind
from devhost.durable.state import InstanceState
from devhost.durable.store import Partition
from devhost.storage.errors import StorageUnavailable
from tests.devhost.durable.rig import Host, InProcessInvoker, fresh_hub, running
from tests.devhost.durable.scenarios import GATES, RUNS, build

MANY = 20


def in_host(storage: str, story: Callable[[Host], Awaitable[None]]) -> None:
    """Runs a story against a host whose app has a thread for everybody."""

    async def run() -> None:
        invoker = InProcessInvoker(build(), threads=3 * MANY)
        async with running(invoker, storage, max_activities=2 * MANY) as host:
            await story(host)
        invoker.close()

    asyncio.run(run())


def kinds(partition: Partition) -> list[str]:
    return [event.kind.name for event in partition.events]


async def stored(host: Host, instance_id: str) -> Partition:
    return await host.extension._store.load(instance_id)


def commits(host: Host) -> list[tuple[str, list[Kind]]]:
    """Every commit from now on: which partition, and what is in it."""
    seen: list[tuple[str, list[Kind]]] = []
    store = host.extension._store
    commit = store.commit

    async def noted(partition: Partition, new: Sequence[Any], **options: Any) -> None:
        start = 0 if options.get("execution_id") else partition.committed
        await commit(partition, new, **options)
        seen.append((partition.key, [event.kind for event in partition.events[start:]]))

    store.commit = noted  # type: ignore[method-assign]
    return seen


def test_a_crowd_has_the_histories_of_one_alone_in_fewer_commits(storage: str) -> None:
    async def story(host: Host) -> None:
        alone = await host.start_new("chain")
        await host.wait(alone)
        expected = kinds(await stored(host, alone))
        seen = commits(host)
        crowd = await asyncio.gather(*(host.start_new("chain") for _ in range(MANY)))
        for each in crowd:
            assert (await host.wait(each))["output"] == [1, 2]
            assert kinds(await stored(host, each)) == expected
        assert len(seen) < 3 * MANY

    in_host(storage, story)


def test_what_waits_is_committed_when_the_activity_takes_its_time(storage: str) -> None:
    async def story(host: Host) -> None:
        crowd = await asyncio.gather(*(host.start_new("not_waited") for _ in range(MANY)))
        for each in crowd:
            await host.wait(each, until=("Running",))
            assert (await stored(host, each)).events[-1].kind is Kind.OrchestratorCompleted
        for each in crowd:
            GATES[each].set()
        for each in crowd:
            assert (await host.wait(each))["output"] == each
            assert RUNS[f"gated {each}"] == 1

    in_host(storage, story)


def test_an_answer_to_a_commit_that_failed_is_not_taken_for_another(storage: str) -> None:
    async def story(host: Host) -> None:
        store = host.extension._store
        commit, failed = store.commit, set[str]()

        async def troubled(partition: Partition, new: Sequence[Any], **options: Any) -> None:
            if partition.etag is None and partition.key not in failed:
                failed.add(partition.key)
                raise StorageUnavailable("the table service does not answer")
            await commit(partition, new, **options)

        store.commit = troubled  # type: ignore[method-assign]
        crowd = await asyncio.gather(*(host.start_new("chain") for _ in range(MANY)), *(host.start_new("not_waited") for _ in range(MANY)))
        await asyncio.sleep(0.5)
        for each in crowd:
            GATES[each].set()
        for each in crowd[:MANY]:
            assert (await host.wait(each, seconds=30))["output"] == [1, 2]
        for each in crowd[MANY:]:
            assert (await host.wait(each, seconds=30))["output"] == each
        assert len(failed) == 2 * MANY
        for each in crowd:
            partition = await stored(host, each)
            scheduled = [event.id for event in partition.events if event.kind is Kind.TaskScheduled]
            answered = [event.task_id for event in partition.events if event.kind is Kind.TaskCompleted]
            assert scheduled == answered == sorted(set(scheduled))

    in_host(storage, story)


def test_a_crash_before_that_commit_starts_the_instance_over(storage: str) -> None:
    async def run() -> None:
        hub, invoker = fresh_hub(), InProcessInvoker(build(), threads=40)
        host = Host(invoker, storage, hub)
        await host.start()
        store = host.extension._store
        never = asyncio.Event()

        async def stuck(partition: Partition, new: Sequence[Any], **options: Any) -> None:
            await never.wait()

        store.commit = stuck  # type: ignore[method-assign]
        crowd = await asyncio.gather(*(host.start_new("chain") for _ in range(MANY)))
        await asyncio.sleep(0.5)
        states = [await host.extension.client.status(each) for each in crowd]
        assert {state.status for state in states if isinstance(state, InstanceState)} == {"Pending"}  # what is not committed is not shown
        await host.kill()
        host = Host(invoker, storage, hub)
        await host.start()
        for each in crowd:
            assert (await host.wait(each))["output"] == [1, 2]
        await host.stop()
        invoker.close()

    asyncio.run(run())
