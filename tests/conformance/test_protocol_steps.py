"""Checklist 22 to 35, orchestration protocol: payloads, the order of steps, sequence numbers, retries, families, names, timers."""

# Orchestrators and entities have the parameters that the Durable SDK reads; it ships no types.
# mypy: disable-error-code="no-untyped-def, misc"
# ruff: noqa: ANN001, ANN202

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import azure.durable_functions as df
import pytest

from tests.conformance.sdk import Episodes, completed, failed, fired
from tests.conformance.target import Target
from tests.devhost.durable.scenarios import in_host

pytestmark = [pytest.mark.conformance, pytest.mark.e2e, pytest.mark.timeout(120)]


def kinds(history: list[dict[str, Any]]) -> list[str]:
    return [event["EventType"] for event in history]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_item_22_the_context_and_the_schema_version() -> None:
    def orchestrator(context):
        yield context.call_activity("A", 1)

    state = Episodes(orchestrator).ask()
    assert state == {
        "isDone": False, "schemaVersion": 2, "actions": [[{"actionType": 0, "functionName": "A", "input": "1"}]],
    }  # fmt: skip
    older = Episodes(orchestrator)
    del older.context["upperSchemaVersionNew"]
    assert older.ask()["schemaVersion"] == 1


def test_item_23_chaining_lists_all_actions_so_far() -> None:
    def orchestrator(context):
        first = yield context.call_activity("A", 1)
        return (yield context.call_activity("B", first + 1))

    episodes = Episodes(orchestrator)
    episodes.next(completed(0, 1), scheduled=[(4, 0, {"Name": "A"})])
    state = episodes.ask()
    assert [[action["functionName"] for action in actions] for actions in state["actions"]] == [["A", "B"]]
    assert state["isDone"] is False
    episodes.next(completed(1, 5), scheduled=[(4, 1, {"Name": "B"})])
    assert (episodes.ask()["isDone"], episodes.ask()["output"]) == (True, 5)


def test_item_24_the_history_that_python_sees(target: Target) -> None:
    started, execution, scheduled, done, closed = 12, 0, 4, 5, 13
    assert target.output("c_history") == [
        [started, False], [execution, True], [scheduled, False], [closed, False],
        [started, False], [done, True], [scheduled, False], [closed, False],
        [started, False], [done, False],
    ]  # fmt: skip
    first, second = target.output("c_history_after_new")
    assert [kind for kind, _ in first] == [started, execution, closed]
    assert second[:3] == [[started, False], [execution, True], [closed, True]]
    assert [kind for kind, _ in second[3:]] == [scheduled, closed, started, done]
    instance = target.start("c_replaying")
    assert target.wait(instance)["output"] == "end"
    assert [target.count(f"line-{instance}-{line}") for line in ("first", "second", "third")] == [1, 1, 1]


def test_item_25_sequence_numbers_are_the_sdks(target: Target) -> None:
    assert target.output("c_counts") == [3, "last"]  # a number out of step would hang it
    assert target.output("c_nested") == ["a", "c", "d"]
    assert target.output("o_entity") == [5, 7]


def test_item_25_long_timers_beyond_the_first_leg(storage: str) -> None:
    async def story(host: Any) -> None:
        instance = await host.start_new("sleeps", None, {"s": 8})
        assert (await host.wait(instance))["output"] == "slept"
        due = [event["FireAt"] for event in await host.history(instance) if event["EventType"] == "TimerCreated"]
        assert len(due) >= 3

    in_host(storage, story, long_timer_leg_seconds=2.0, longest_timer_seconds=3.0)


def test_item_26_what_follows_a_failed_wave_waits_for_the_whole_wave(target: Target) -> None:
    plain, retried = target.start("o_failfast"), target.start("o_failfast_retry")
    assert target.wait(plain)["output"] == ["caught", "c"]
    ends = [event for event in target.history(plain) if event["EventType"] in ("TaskCompleted", "TaskFailed")]
    assert [event.get("Result") for event in ends] == [None, "s", "c"]
    assert moment(ends[2]["ScheduledTime"]) >= moment(ends[1]["Timestamp"])
    found = target.wait(retried)
    assert found["runtimeStatus"] == "Failed"
    assert "attempt 2 failed" in found["output"]  # taken for the failure of c
    assert [event["Result"] for event in target.history(retried) if event["EventType"] == "TaskCompleted"] == ["c"]


def test_item_27_nothing_completes_while_a_timer_is_open(target: Target) -> None:
    left, cancelled = target.start("c_race_leave"), target.start("o_race_cancel")
    begun = time.monotonic()
    assert target.wait(cancelled, seconds=5)["output"] == "quick"
    assert target.status(left)["runtimeStatus"] == "Running"
    assert target.wait(left)["output"] == "quick"
    assert 2.5 < time.monotonic() - begun < 5
    assert kinds(target.history(left))[-2:] == ["TimerFired", "ExecutionCompleted"]


def test_item_28_a_failure_waits_for_work_that_is_open(target: Target) -> None:
    instance = target.start("o_error_open")
    target.wait(instance, until=("Running",))
    target.stays(instance, "Running", seconds=2)
    found = target.wait(instance)
    assert (found["runtimeStatus"], found["output"]) == ("Failed", "Orchestrator function 'o_error_open' failed: with work open")
    assert kinds(target.history(instance))[-2:] == ["TaskCompleted", "ExecutionCompleted"]


def test_item_29_tasks_never_yielded_never_run(target: Target) -> None:
    def orchestrator(context):
        context.call_activity("never", 1)
        yield context.call_activity("asked", 2)

    assert [action["functionName"] for action in Episodes(orchestrator).ask()["actions"][0]] == ["asked"]
    instance = target.start("c_forgets")
    assert target.wait(instance)["output"] == f"asked-{instance}"
    assert (target.count(f"asked-{instance}"), target.count(f"forgotten-{instance}")) == (1, 0)
    assert kinds(target.history(instance)) == ["ExecutionStarted", "TaskCompleted", "ExecutionCompleted"]


def test_item_30_rearming_runs_nothing_twice_and_waves_wait_in_line(target: Target) -> None:
    instance = target.start("c_rearm")
    assert target.wait(instance)["output"] == ["0", "1", "2", "3", "4", "5"]
    assert [target.count(f"{instance}-{number}") for number in range(6)] == [1] * 6
    companion = target.output("c_roll_companion")  # alone: the order is a matter of time, and a worker has few threads
    no_line = target.output("o_hol_companion")
    line, plain = (target.wait(name)["output"] for name in [target.start(name) for name in ("o_hol_plain", "c_roll_plain")])
    assert sorted(plain) == sorted(companion) == list(range(10))
    assert companion[-1] == 0  # the slow one ends last: nothing waited behind it
    assert line == ["a", "b", "n", "c", "L"]
    assert no_line == ["a", "b", "c", "n", "L"]


def test_item_31_a_retried_call_ends_with_the_dummy_timer(target: Target) -> None:
    def orchestrator(context):
        yield context.call_activity_with_retry("A", df.RetryOptions(1000, 3), 1)

    episodes = Episodes(orchestrator)
    scheduled: tuple[int, int, dict[str, Any]]
    for number in range(0, 6, 2):
        scheduled = (4, number, {"Name": "A"})
        episodes.next(failed(number, "no"), scheduled=[scheduled])
        assert episodes.ask()["actions"][0] == [
            {
                "actionType": 12,
                "compoundActions": [
                    {
                        "actionType": 1, "functionName": "A", "input": "1",
                        "retryOptions": {"firstRetryIntervalInMilliseconds": 1000, "maxNumberOfAttempts": 3},
                    }
                ],
            }
        ]  # fmt: skip
        episodes.next(fired(number + 1), scheduled=[(10, number + 1, {"FireAt": "2026-01-01T00:00:00Z"})])
        if number < 4:
            assert episodes.ask()["isDone"] is False
    assert episodes.failure().startswith("no \n details\n\n$OutOfProcData$:")

    instance = target.start("c_retry", None, {"attempts": 3, "fails": 9, "interval": 2200})
    assert target.wait(instance)["output"] == "Activity function 'flaky' failed:  RuntimeError: attempt 3 failed "
    history = target.history(instance)
    assert kinds(history) == ["ExecutionStarted", *["TaskFailed", "TimerCreated", "TimerFired"] * 3, "ExecutionCompleted"]
    created = [event for event in history if event["EventType"] == "TimerCreated"]
    waits = [(moment(timer["FireAt"]) - moment(timer["Timestamp"])).total_seconds() for timer in created]
    assert [round(wait + 0.1) for wait in waits] == [2, 2, 0]


def test_item_32_attempts_and_the_precision_of_their_intervals(target: Target) -> None:
    succeeds, gives_up = (target.start("c_retry", None, {"attempts": 4, "fails": fails, "interval": 900}) for fails in (2, 9))
    assert target.wait(succeeds, seconds=6)["output"] == 3
    assert target.wait(gives_up, seconds=6)["output"] == "Activity function 'flaky' failed:  RuntimeError: attempt 4 failed "
    for instance in (succeeds, gives_up):
        history = target.history(instance)
        begun, ended = (moment(history[place]["Timestamp"]) for place in (0, -1))
        assert ended - begun < timedelta(seconds=1.7)  # 900 ms are no whole second, so they are nothing


def test_item_33_families(target: Target) -> None:
    parent = target.start("c_family")
    found = target.wait(parent)["output"]
    child_id, parent_id, given = found["child"]
    execution, _, number = child_id.partition(":")
    assert (len(execution), number, parent_id, given) == (32, "0", parent, "input")
    assert found["silent"] == [f"{execution}:1", parent, None]
    assert target.status(f"{execution}:1")["input"] == "null"
    failing = target.start("c_catches_child", None, {"child": "o_child"})
    message, _, details = target.wait(failing)["output"].partition(" \n ")
    assert message == "Orchestrator function 'o_child' failed: child failed"
    assert details.startswith("Message: child failed, StackTrace: ")
    stopped = target.start("c_catches_child", None, {"child": "o_event"})
    target.wait(f"{stopped}-child", until=("Running",))
    assert target.post(f"{stopped}-child", "terminate?reason=stop").status == 202
    assert target.wait(stopped)["output"] == "stop \n None"


def test_item_34_names_that_are_not_registered_hang(target: Target) -> None:
    hanging = [target.start(name) for name in ("o_unknown_activity", "c_unknown_sub", "o_unknown_entity", "c_own_id")]
    signals = target.run("c_signals_unknown")
    assert signals["runtimeStatus"] == "Failed"
    assert signals["output"].startswith(
        "Orchestrator function 'c_signals_unknown' failed: The function 'no_such' doesn't exist, is disabled, or is not an entity function. "
        "Additional info: The following are the known entity functions: "
    )
    time.sleep(1)
    for instance in hanging:
        target.stays(instance, "Running", seconds=0.3)
        assert "TaskScheduled" not in kinds(target.history(instance))
        assert target.post(instance, "terminate?reason=end").status == 202
        assert target.wait(instance)["runtimeStatus"] == "Terminated"


def test_item_34_devhost_says_why_it_hangs(target: Target, own_host: Any) -> None:
    for name, missing in (("o_unknown_activity", "activity"), ("c_unknown_sub", "orchestrator"), ("o_unknown_entity", "entity")):
        instance = target.start(name)
        own_host.wait_for_log(f"{instance} ({name}): ")
        line = next(line for line in own_host.log.splitlines() if f"{instance} ({name}): " in line)
        assert "fail: " in line
        assert f"The function 'no_such' doesn't exist, is disabled, or is not an {missing} function." in line
        target.post(instance, "terminate?reason=end")


def test_item_35_timers_over_six_days_have_legs_of_three() -> None:
    def orchestrator(context):
        yield context.create_timer(datetime(2026, 1, 21, tzinfo=UTC))

    episodes = Episodes(orchestrator)
    leg = {"actionType": 5, "fireAt": "2026-01-04T00:00:00.000000Z", "isCanceled": False}
    assert episodes.ask()["actions"] == [[{"actionType": 12, "compoundActions": [leg]}]]
    days = 3 * 86400
    episodes.next(fired(0), scheduled=[(10, 0, {"FireAt": "2026-01-04T00:00:00Z"})], seconds=days)
    legs = episodes.ask()["actions"][0]
    assert [action.get("fireAt") for action in legs[1:]] == ["2026-01-07T00:00:00.000000Z"]


def test_item_35_the_first_leg_of_a_long_timer(target: Target) -> None:
    instance = target.start("o_long_timer")
    target.wait(instance, until=("Running",))
    target.until(lambda: "TimerCreated" in kinds(target.history(instance)), what="a timer")
    history = target.history(instance)
    created = next(event for event in history if event["EventType"] == "TimerCreated")
    begun = moment(history[0]["Timestamp"])
    assert abs((moment(created["FireAt"]) - begun).total_seconds() - 3 * 86400) < 5
    target.post(instance, "terminate?reason=end")
