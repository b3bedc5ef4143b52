"""Entities: order, state, errors, what readers see."""

from __future__ import annotations

import json

from tests.devhost.durable.rig import Host, eventually
from tests.devhost.durable.scenarios import RUNS, in_host


def test_an_operations_error_is_raised_and_its_state_is_kept(storage: str) -> None:
    async def story(host: Host) -> None:
        found = await host.wait(await host.start_new("entity_fails"))
        assert found["output"] == ["entity failed", 1000]

    in_host(storage, story)


def test_operations_of_one_sender_run_in_order_and_once(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new("entity_many", None, {"n": 120})
        assert (await host.wait(instance))["output"] == 120

    in_host(storage, story)


def test_json_over_http_is_an_operation_error_unless_doubly_encoded(storage: str) -> None:
    async def story(host: Host) -> None:
        assert (await host.ask("GET", "/entities/counter/plain")).status == 404
        assert (await host.ask("POST", "/entities/counter/plain?op=add", 5)).status == 202
        await host.until_state("plain", b"null")
        assert (await host.ask("POST", "/entities/Counter/plain?op=add", "5")).status == 202
        await host.until_state("plain", b"5")
        assert (await host.ask("POST", "/entities/counter/plain?op=gone", "null")).status == 202
        await host.until_state("plain", b"null")

    in_host(storage, story)


def test_an_unknown_entity_is_refused(storage: str) -> None:
    async def story(host: Host) -> None:
        reply = await host.ask("POST", "/entities/nothing/k?op=x")
        assert reply.status == 400
        assert json.loads(reply.body)["Message"].startswith(
            "The function 'nothing' doesn't exist, is disabled, or is not an entity function."
        )

    in_host(storage, story)


def test_a_batch_whose_function_fails_is_repeated_and_never_committed(storage: str) -> None:
    async def story(host: Host) -> None:
        assert (await host.ask("POST", "/entities/broken/k?op=x", "1")).status == 202
        await eventually(lambda: RUNS["broken k"] >= 2)
        assert (await host.ask("GET", "/entities/broken/k")).status == 404

    in_host(storage, story)


def test_entities_are_listed(storage: str) -> None:
    async def story(host: Host) -> None:
        for key in ("a", "b"):
            await host.ask("POST", f"/entities/counter/{key}?op=add", "1")
            await host.until_state(key, b"1")
        reply = await host.ask("GET", "/entities/counter?fetchState=true")
        found = json.loads(reply.body)
        assert [entity["entityId"] for entity in found] == [{"name": "counter", "key": "a"}, {"name": "counter", "key": "b"}]
        assert [entity["state"] for entity in found] == [1, 1]
        assert [item["instanceId"] for item in json.loads((await host.ask("GET", "/instances")).body)] == ["@counter@a", "@counter@b"]
        assert len(json.loads((await host.ask("GET", "/entities?top=1")).body)) == 1

    in_host(storage, story)
