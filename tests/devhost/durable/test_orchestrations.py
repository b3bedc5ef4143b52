"""What orchestrations do on the engine: composition, endings, failures. Expectations are recordings of, or readings in, the real engine."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from devhost.durable import asking
from tests.devhost.durable.rig import Host, eventually
from tests.devhost.durable.scenarios import GATES, RUNS, in_host


@pytest.mark.parametrize(
    ("name", "given", "output"),
    [
        ("chain", None, [1, 2]),
        ("fan", {"n": 0}, None),
        ("fan", {"n": 7}, 21),
        ("fan", {"n": 250}, 31125),
        ("fan_any", {"n": 30}, 435),
        ("nested", None, ["a", "c"]),
        ("uses_async", None, [{"a": "hé ☃"}, "async"]),
        ("forgotten", None, 1),
        ("parent", {"activity": "echo", "input": [1]}, [True, [1]]),
        ("parents", {"n": 12}, 12),
        ("once_fails", None, None),
    ],
)
def test_an_orchestration_ends_with_its_output(storage: str, name: str, given: Any, output: Any) -> None:
    async def story(host: Host) -> None:
        found = await host.wait(await host.start_new(name, None, given))
        if name == "fan" and given == {"n": 0}:
            assert found["runtimeStatus"] == "Failed"
            assert "NoneType" in found["output"]  # task_all([]) is None, and sum(None) raises
        elif name == "once_fails":
            assert found["runtimeStatus"] == "Failed"
        else:
            assert ("Completed", output) == (found["runtimeStatus"], found["output"])

    in_host(storage, story)


def test_tasks_never_yielded_never_run(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new("forgotten")
        await host.wait(instance)
        assert RUNS[f"boom {instance}"] == 0

    in_host(storage, story)


def test_sequence_numbers_are_the_sdks(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new("numbers")
        found = await host.wait(instance)
        assert found["output"] == [3, "last"]
        events = await host.extension.client.history(instance)
        numbered = [(event.id, event.kind.name) for event in events if event.id >= 0]
        assert sorted(numbered) == [
            (0, "TaskScheduled"),
            (1, "TaskScheduled"),
            (2, "TimerCreated"),
            (3, "SubOrchestrationInstanceCreated"),
            (4, "TimerCreated"),
            (5, "TaskScheduled"),
            (6, "EventSent"),
            (7, "EventSent"),
            (8, "TaskScheduled"),
            (9, "ExecutionCompleted"),
        ]

    in_host(storage, story)


def test_what_follows_a_failed_wave_waits_for_the_whole_wave(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new("head_of_line")
        await eventually(lambda: host.invoker.calls("gated"))
        await asyncio.sleep(0.3)
        assert not host.invoker.calls("echo")
        GATES[instance].set()
        assert (await host.wait(instance))["output"] == "c"

    in_host(storage, story)


def test_nothing_completes_while_work_is_open(storage: str) -> None:
    async def story(host: Host) -> None:
        left = await host.start_new("race_leave", None, {"s": 2.5})
        failed_winner = await host.start_new("any_fail")
        error = await host.start_new("error_open")
        await eventually(lambda: host.invoker.calls("echo") and len(host.invoker.calls("gated")) == 2)
        await asyncio.sleep(0.3)
        for instance in (left, failed_winner, error):
            assert (await host.status(instance))["runtimeStatus"] == "Running"
        GATES[failed_winner].set()
        GATES[error].set()
        assert (await host.wait(failed_winner))["runtimeStatus"] == "Completed"
        assert (await host.wait(error))["output"] == "Orchestrator function 'error_open' failed: with work open"
        assert (await host.wait(left))["output"] == "quick"

    in_host(storage, story)


def test_a_retried_call_ends_with_the_dummy_timer(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new("retry_never")
        found = await host.wait(instance)
        assert found["runtimeStatus"] == "Failed"
        assert f"Activity function 'boom' failed:  ValueError: boom {instance}" in found["output"]
        assert RUNS[f"boom {instance}"] == 3
        kinds = [event["EventType"] for event in await host.history(instance)]
        assert ["ExecutionStarted", *["TaskFailed", "TimerCreated", "TimerFired"] * 3, "ExecutionCompleted"] == kinds

    in_host(storage, story)


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("error_empty", "Orchestrator function 'error_empty' failed: <class 'ValueError'>"),
        ("unserialisable", "Orchestrator function 'unserialisable' failed: Object of type set is not JSON serializable"),
        (
            "signal_unknown",
            (
                "Orchestrator function 'signal_unknown' failed: The function 'no_such' doesn't exist, is disabled, or is not an entity function. "
                "Additional info: The following are the known entity functions: 'broken', 'counter'."
            ),
        ),
    ],
)
def test_a_failure_is_told_in_plain_text(storage: str, name: str, output: str) -> None:
    async def story(host: Host) -> None:
        found = await host.wait(await host.start_new(name))
        assert ("Failed", output) == (found["runtimeStatus"], found["output"])

    in_host(storage, story)


def test_a_failure_without_a_state_carries_the_workers_text(storage: str) -> None:
    async def story(host: Host) -> None:
        found = await host.wait(await host.start_new("not_a_generator"))
        assert found["runtimeStatus"] == "Failed"
        assert found["output"].startswith("Orchestrator function 'not_a_generator' failed: ")
        assert "early" in found["output"]

    in_host(storage, story)


def test_a_result_that_is_not_json_fails_its_activity(storage: str) -> None:
    async def story(host: Host) -> None:
        found = await host.wait(await host.start_new("uses_bytes"))
        assert found["runtimeStatus"] == "Failed"
        assert "Activity function 'bytes_result' failed:  ValueError: activity trigger output must be json serializable" in found["output"]

    in_host(storage, story)


def test_a_failure_that_no_table_can_hold_is_told_all_the_same(storage: str) -> None:
    async def story(host: Host) -> None:
        found = await host.wait(await host.start_new("uses_half"))
        assert found["runtimeStatus"] == "Failed"
        assert "ValueError: half" in found["output"]
        await host.extension._rows.settle(found["instanceId"])
        assert "ValueError: half" in (await host.status(found["instanceId"]))["output"]

    in_host(storage, story)


@pytest.mark.filterwarnings("ignore:Potential duplicate Task completion")
@pytest.mark.parametrize("name", ["unknown_sub", "own_id"])
def test_a_rejected_call_hangs_and_is_logged_once(storage: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new(name)
        await eventually(lambda: any(instance in record.getMessage() and "rejected" in record.getMessage() for record in caplog.records))
        await host.wait(instance, until=("Running",))
        await host.ask("POST", f"/instances/{instance}/raiseEvent/x", 1)
        await asyncio.sleep(0.3)
        assert sum(instance in record.getMessage() and "rejected" in record.getMessage() for record in caplog.records) == 1
        await host.ask("POST", f"/instances/{instance}/terminate?reason=enough")
        assert (await host.wait(instance))["runtimeStatus"] == "Terminated"

    in_host(storage, story)


def test_line_ends_of_other_alphabets_are_kept(storage: str) -> None:
    """Azurite takes U+2028 and U+2029 for ends of lines in a transaction, and never answers it."""
    text = "a\u2028b\u2029c\u0085d\r\ne"

    async def story(host: Host) -> None:
        instance = await host.start_new("echo_once", body={"text": text})
        assert (await host.wait(instance))["output"] == {"text": text}

    in_host(storage, story)


def test_a_long_history_is_said_to_be_one_once(storage: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(asking, "_LONG_HISTORY", 20)

    async def story(host: Host) -> None:
        for count in (5, 30):
            instance = await host.start_new("fan", body={"n": count})
            assert (await host.wait(instance))["output"] == sum(range(count))
            told = [record for record in caplog.records if instance in record.getMessage() and "sub-orchestrations" in record.getMessage()]
            assert len(told) == (count > 20)

    in_host(storage, story)


def test_drift_fails_the_instance_and_the_stray_activity_runs(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new("shifting")
        found = await host.wait(instance)
        assert found["runtimeStatus"] == "Failed"
        assert found["output"].startswith(
            "Non-Deterministic workflow detected: A previous execution of this orchestration scheduled an activity task with sequence number 0 "
            "named 'echo', but the current orchestration replay instead scheduled an activity task named 'slow' with this sequence number."
        )
        await eventually(lambda: RUNS[f"slow {instance}"])
        reply = await host.ask("GET", f"/instances/{instance}?showHistory=true")
        assert (
            reply.status,
            json.loads(reply.body)["ExceptionMessage"],
        ) == (400, "An item with the same key has already been added. Key: TaskScheduled_0")

    in_host(storage, story)


def test_long_values_go_to_blobs_and_come_back(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new("wide", None, {"size": 200_000, "pad": "p" * 100_000})
        found = await host.wait(instance)
        assert found["output"] == ["z" * 200_000] * 3
        assert len(found["input"]["pad"]) == 100_000
        names = [item.name async for item in host.storage.blobs.list(f"{host.extension.settings.hub.lower()}-largemessages")]
        assert names
        assert all(name.startswith(f"{instance}/") and name.endswith(".json.gz") for name in names)
        await host.ask("DELETE", f"/instances/{instance}")
        assert [item async for item in host.storage.blobs.list(f"{host.extension.settings.hub.lower()}-largemessages")] == []

    in_host(storage, story)


def test_custom_status_is_seen_as_it_changes(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new("many_statuses", None, {"steps": [1, 2]})
        for step in (1, 2):
            await host.until_custom_status(instance, {"step": step})
            GATES[f"{instance} {step}"].set()
        assert (await host.wait(instance))["customStatus"] == {"step": 2}

    in_host(storage, story)


def test_activities_keep_to_their_limit(storage: str) -> None:
    async def story(host: Host) -> None:
        names = [await host.start_new("not_waited") for _ in range(5)]
        await asyncio.sleep(0.5)
        assert len(host.invoker.calls("gated")) == 2
        for name in names:
            GATES[name].set()
        for name in names:
            await host.wait(name)

    in_host(storage, story, max_activities=2)


def test_a_timer_fires_after_whole_seconds(storage: str) -> None:
    async def story(host: Host) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await host.wait(await host.start_new("sleeps", None, {"s": 1.9}))
        assert 0.9 < loop.time() - began < 1.7
        began = loop.time()
        await host.wait(await host.start_new("sleeps", None, {"s": 0.9}))
        assert loop.time() - began < 0.7

    in_host(storage, story)


def test_a_timer_beyond_the_longest_is_waited_for_in_legs(storage: str) -> None:
    async def story(host: Host) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        instance = await host.start_new("sleeps", None, {"s": 4.6})
        assert (await host.wait(instance))["output"] == "slept"
        assert loop.time() - began > 2.5
        created = [event for event in await host.history(instance) if event["EventType"] == "TimerCreated"]
        assert len(created) > 2

    in_host(storage, story, longest_timer_seconds=3.0, long_timer_leg_seconds=1.5)
