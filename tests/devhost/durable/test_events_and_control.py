"""External events, continue-as-new, suspend, terminate, rewind, restart, purge."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.devhost.durable.rig import Host, eventually
from tests.devhost.durable.scenarios import GATES, RUNS, in_host

pytestmark = pytest.mark.filterwarnings("ignore:Potential duplicate Task completion")


async def raise_event(host: Host, instance: str, name: str, data: Any) -> None:
    reply = await host.ask("POST", f"/instances/{instance}/raiseEvent/{name}", data)
    assert reply.status == 202


async def running_instance(host: Host, name: str, given: Any = None) -> str:
    instance = await host.start_new(name, None, given)
    await host.wait(instance, until=("Running",))
    return instance


@pytest.mark.parametrize(
    ("data", "output"), [({"x": 1}, {"x": 1}), ('{"x": 1}', '{"x": 1}'), (None, None), (5, 5), ("z" * 100_000, "z" * 100_000)]
)
def test_an_event_is_delivered_as_it_was_sent(storage: str, data: Any, output: Any) -> None:
    async def story(host: Host) -> None:
        instance = await running_instance(host, "waits")
        reply = await host.ask("POST", f"/instances/{instance}/raiseEvent/go", raw=json.dumps(data).encode())
        assert reply.status == 202
        assert output == (await host.wait(instance))["output"]

    in_host(storage, story)


def test_two_waits_of_one_name_are_served_last_in_first_out(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await running_instance(host, "waits_pair")
        await raise_event(host, instance, "go", 1)
        await raise_event(host, instance, "go", 2)
        assert (await host.wait(instance))["output"] == [2, 1]

    in_host(storage, story)


def test_early_events_are_repeated_as_the_sdk_does(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await running_instance(host, "waits_late")
        await raise_event(host, instance, "go", 1)
        await raise_event(host, instance, "go", 2)
        GATES[instance].set()
        assert (await host.wait(instance))["output"] == [2, 2]

    in_host(storage, story)


def test_one_early_event_and_two_waits_leave_the_instance_running(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await running_instance(host, "waits_late")
        await raise_event(host, instance, "go", 1)
        GATES[instance].set()
        await asyncio.sleep(0.6)
        assert (await host.status(instance))["runtimeStatus"] == "Running"

    in_host(storage, story)


def test_an_event_of_another_case_is_swallowed(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await running_instance(host, "waits")
        await raise_event(host, instance, "GO", 1)
        await asyncio.sleep(0.4)
        assert (await host.status(instance))["runtimeStatus"] == "Running"
        await raise_event(host, instance, "go", 2)
        assert (await host.wait(instance))["output"] == 2

    in_host(storage, story)


def test_events_between_generations_arrive_when_they_come_slowly(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await running_instance(host, "generations")
        first = await host.status(instance)
        await asyncio.sleep(1.1)
        for number, total in ((1, 1), (2, 3), (3, 6)):
            await raise_event(host, instance, "n", number)
            await host.until_shown(instance, "input", str(total))
        assert (await host.status(instance))["runtimeStatus"] == "Running"
        assert first["createdTime"] < (await host.status(instance))["createdTime"]
        await raise_event(host, instance, "n", 0)
        found = await host.wait(instance)
        assert (found["output"], found["customStatus"]) == (6, 6)

    in_host(storage, story)


@pytest.mark.filterwarnings("ignore:Potential duplicate Task completion")
def test_events_that_meet_a_busy_generation_are_lost(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await running_instance(host, "busy_generations")
        await raise_event(host, instance, "n", 1)
        await eventually(lambda: host.invoker.calls("gated"))
        for number in (2, 3):
            await raise_event(host, instance, "n", number)
        GATES[instance].set()
        await host.until_shown(instance, "input", "1")
        await raise_event(host, instance, "n", 0)
        assert (await host.wait(instance))["output"] == 1

    in_host(storage, story)


def test_signals_survive_continue_as_new(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new("counts_down", None, {"left": 4})
        assert (await host.wait(instance))["output"] == 0
        await host.until_state(instance, b"5")

    in_host(storage, story)


def test_suspend_holds_progress_and_resume_goes_on(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await running_instance(host, "waits")
        assert (await host.ask("POST", f"/instances/{instance}/suspend?reason=hold")).status == 202
        held = await host.wait(instance, until=("Suspended",))
        assert held["output"] == "hold"
        assert (await host.ask("POST", f"/instances/{instance}/suspend?reason=again")).status == 500
        await raise_event(host, instance, "go", "kept")
        await asyncio.sleep(0.4)
        assert (await host.status(instance))["runtimeStatus"] == "Suspended"
        assert (await host.ask("POST", f"/instances/{instance}/resume?reason=on")).status == 202
        found = await host.wait(instance)
        assert (found["runtimeStatus"], found["output"]) == ("Completed", "kept")

    in_host(storage, story)


def test_a_suspended_instance_can_be_terminated(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await running_instance(host, "waits")
        await host.ask("POST", f"/instances/{instance}/suspend?reason=hold")
        await host.wait(instance, until=("Suspended",))
        assert (await host.ask("POST", f"/instances/{instance}/terminate?reason=stop")).status == 202
        found = await host.wait(instance)
        assert (found["runtimeStatus"], found["output"]) == ("Terminated", "stop")

    in_host(storage, story)


def test_a_custom_status_can_be_taken_back(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new("unsays")
        await eventually(lambda: host.invoker.calls("gated"))
        assert (await host.status(instance))["customStatus"] == "busy"
        GATES[instance].set()
        await eventually(lambda: len(host.invoker.calls("unsays")) == 2)
        await raise_event(host, instance, "go", 1)
        found = await host.wait(instance)
        assert (found["output"], found["customStatus"]) == (instance, None)

    in_host(storage, story)


def test_an_end_without_a_result_leaves_the_reason_where_it_was(storage: str) -> None:
    async def story(host: Host) -> None:
        ended, stopped = [await running_instance(host, "waits") for _ in range(2)]
        for instance in (ended, stopped):
            await host.ask("POST", f"/instances/{instance}/suspend?reason=hold")
            await host.wait(instance, until=("Suspended",))
        await host.ask("POST", f"/instances/{stopped}/terminate")
        await host.ask("POST", f"/instances/{ended}/resume?reason=on")
        await host.ask("POST", f"/instances/{ended}/raiseEvent/go", raw=b"null")
        assert [(found["runtimeStatus"], found["output"]) for found in [await host.wait(ended), await host.wait(stopped)]] == [
            ("Completed", "on"),
            ("Terminated", "hold"),
        ]

    in_host(storage, story)


def test_a_terminated_child_fails_its_parent(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new("catches")
        child = f"{instance}-child"
        await host.wait(child, until=("Running",))
        await host.ask("POST", f"/instances/{child}/terminate?reason=stop")
        assert (await host.wait(instance))["output"] == "stop \n None"

    in_host(storage, story)


def test_a_terminated_parent_leaves_its_child_alone(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new("catches")
        child = f"{instance}-child"
        await host.wait(child, until=("Running",))
        await host.ask("POST", f"/instances/{instance}/terminate?reason=stop")
        await host.wait(instance)
        await raise_event(host, child, "go", 1)
        assert (await host.wait(child))["runtimeStatus"] == "Completed"

    in_host(storage, story)


def test_rewind_runs_only_the_failed_step_again(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new("once_fails")
        assert (await host.wait(instance))["runtimeStatus"] == "Failed"
        echoes = RUNS["echo"]
        assert (await host.ask("POST", f"/instances/{instance}/rewind?reason=try")).status == 202
        found = await host.wait(instance)
        assert (found["runtimeStatus"], found["output"]) == ("Completed", ["first", 2])
        assert echoes == RUNS["echo"]
        assert (await host.ask("POST", f"/instances/{instance}/rewind?reason=again")).status == 410

    in_host(storage, story)


def test_rewind_reaches_a_failed_child(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new("grandparent")
        assert (await host.wait(instance))["runtimeStatus"] == "Failed"
        assert (await host.ask("POST", f"/instances/{instance}/rewind?reason=try")).status == 202
        found = await host.wait(instance)
        assert (found["runtimeStatus"], found["output"]) == ("Completed", ["first", 2])

    in_host(storage, story)


def test_restart_takes_the_stored_input(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new("fan", None, {"n": 3})
        await host.wait(instance)
        reply = await host.ask("POST", f"/instances/{instance}/restart")
        other = json.loads(reply.body)["id"]
        assert reply.status == 202
        assert instance != other
        assert (await host.wait(other))["output"] == 3
        assert instance == json.loads((await host.ask("POST", f"/instances/{instance}/restart?restartWithNewInstanceId=false")).body)["id"]
        assert (await host.wait(instance))["output"] == 3
        started = (await host.history(instance))[0]
        assert started["Generation"] == 1

    in_host(storage, story)


def test_an_id_in_use_is_refused(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await running_instance(host, "waits")
        for _ in range(2):
            reply = await host.ask("POST", f"/orchestrators/chain/{instance}")
            assert (
                reply.status,
                json.loads(reply.body)["ExceptionMessage"],
            ) == (500, "An Orchestration instance with the status Running already exists.")
        reply = await host.ask("POST", f"/instances/{instance}/restart?restartWithNewInstanceId=false")
        assert reply.status == 500

    in_host(storage, story)


def test_any_state_lets_a_start_replace_a_running_instance(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await running_instance(host, "waits")
        assert (await host.ask("POST", f"/orchestrators/chain/{instance}")).status == 202
        found = await host.wait(instance)
        assert (found["name"], found["output"]) == ("chain", [1, 2])

    in_host(storage, story, overridable="AnyState")


def test_purge_removes_a_running_instance(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await running_instance(host, "waits")
        assert ((reply := await host.ask("DELETE", f"/instances/{instance}")).status, reply.body) == (200, b'{"instancesDeleted":1}')
        assert (await host.ask("GET", f"/instances/{instance}")).status == 404
        assert (await host.ask("DELETE", f"/instances/{instance}")).status == 404
        assert instance == await host.start_new("chain", instance)
        assert (await host.wait(instance))["output"] == [1, 2]

    in_host(storage, story)


def test_purge_without_a_terminal_status_deletes_everything(storage: str) -> None:
    async def story(host: Host) -> None:
        await running_instance(host, "waits")
        done = await host.start_new("chain")
        await host.wait(done)
        assert (await host.ask("DELETE", "/instances?runtimeStatus=Completed")).status == 400
        assert (await host.ask("DELETE", "/instances?createdTimeFrom=2020-01-01T00:00:00Z&runtimeStatus=Failed")).status == 404
        reply = await host.ask("DELETE", "/instances?createdTimeFrom=2020-01-01T00:00:00Z&runtimeStatus=Completed")
        assert reply.body == b'{"instancesDeleted":1}'
        reply = await host.ask("DELETE", "/instances/?createdTimeFrom=2020-01-01T00:00:00Z&runtimeStatus=Running")
        assert reply.body == b'{"instancesDeleted":1}'
        assert (await host.ask("GET", "/instances/")).body == b"[]"

    in_host(storage, story)
