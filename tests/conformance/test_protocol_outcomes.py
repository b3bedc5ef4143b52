"""Checklist 36 to 48, orchestration protocol: generations, events, inputs, failures, custom status, drift, durable HTTP, SDK limits."""

# Orchestrators have the parameters that the Durable SDK reads; it ships no types.
# mypy: disable-error-code="no-untyped-def, misc"
# ruff: noqa: ANN001, ANN202

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conformance.sdk import Episodes, completed, fired, raised
from tests.conformance.target import Target

pytestmark = [pytest.mark.conformance, pytest.mark.e2e, pytest.mark.timeout(120)]

DETAILS = [
    "$type", "ClassName", "Message", "Data", "InnerException", "HelpURL", "StackTraceString", "RemoteStackTraceString", "RemoteStackIndex",
    "ExceptionMethod", "HResult", "Source", "WatsonBuckets",
]  # fmt: skip
INNER = [
    "$type", "IsUserException", "RemoteStackTrace", "RemoteMessage", "RemoteTypeName", "Message", "Data", "InnerException", "HelpLink",
    "Source", "HResult", "StackTrace",
]  # fmt: skip


def kinds(history: list[dict[str, Any]]) -> list[str]:
    return [event["EventType"] for event in history]


def running(target: Target, name: str, body: Any = None) -> str:
    instance = target.start(name, None, body)
    target.wait(instance, until=("Running",))
    return instance


def gated(target: Target, name: str, body: Any = None) -> str:
    """An instance that stands at its activity and waits for a mark."""
    instance = target.start(name, None, body)
    target.until(lambda: target.count(f"started-{instance}"), what="the activity's start")
    return instance


def test_item_36_generations_begin_anew_under_the_same_id(target: Target) -> None:
    first = running(target, "c_sum")
    before = target.status(first)
    created = before["createdTime"]
    time.sleep(1.1)
    seen = set()
    for number in (1, 2, 3):
        assert target.raise_event(first, "n", number).status == 202
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            seen.add(target.status(first)["runtimeStatus"])
            time.sleep(0.05)
    now = target.status(first)
    assert seen == {"Running"}
    assert now["input"] == "6"
    assert now["createdTime"] > created
    assert now["customStatus"] == "first 1"  # set by the first generation only
    assert kinds(target.history(first)) == ["ExecutionStarted"]
    target.raise_event(first, "n", 0)
    assert target.wait(first)["output"] == 6


def test_item_36_events_that_meet_a_busy_generation_are_lost(target: Target) -> None:
    instance = running(target, "c_sum")
    for number in (1, 2, 3):
        assert target.raise_event(instance, "n", number).status == 202
    target.until(lambda: target.status(instance)["input"] == "1", what="a second generation", seconds=10)
    target.stays(instance, "Running", seconds=1.5)
    assert target.status(instance)["input"] == "1"
    target.raise_event(instance, "n", 0)
    assert target.wait(instance)["output"] == 1


def test_item_36_later_events_of_the_same_batch_are_carried_over() -> None:
    from devhost.durable.answers import Answer
    from devhost.durable.decisions import Frame, Known
    from devhost.durable.history import Event, Kind
    from devhost.durable.replay import replay

    actions = [{"actionType": 6, "externalEventName": "n", "reason": "ExternalEvent"}, {"actionType": 4, "input": "1"}]
    started = {"Name": "o", "Input": None, "ParentInstance": None}
    events = [Event(Kind.OrchestratorStarted), Event(Kind.ExecutionStarted, started)]
    events += [Event(Kind.EventRaised, {"Name": "n", "Input": str(number)}) for number in (1, 2)]
    frame = Frame("id", "0" * 32, "o", None, Known({}, {}, {}))
    decision = replay(events, Answer(actions=actions, is_done=True), frame)
    assert [event.members["Input"] for event in decision.carried] == ["2"]


def test_item_37_names_of_events_and_their_case(target: Target) -> None:
    def orchestrator(context):
        return (yield context.wait_for_external_event("go"))

    episodes = Episodes(orchestrator)
    episodes.next(raised("GO", "1"))
    with pytest.warns(UserWarning, match="Potential duplicate Task completion for TaskId: GO"):
        assert episodes.ask()["isDone"] is False
    episodes.next(raised("go", "2"))
    with pytest.warns(UserWarning, match="Potential duplicate"):
        assert episodes.ask()["output"] == 2

    instance = running(target, "o_event")
    assert target.raise_event(instance, "GO", 1).status == 202
    time.sleep(0.5)
    target.raise_event(instance, "go", 2)
    # The host gave its one wait to the first; Python has the second and ends, and what Python says of a finished list is done.
    assert target.wait(instance)["output"] == 2


def test_item_38_data_of_events_once_and_doubly_encoded(target: Target) -> None:
    def orchestrator(context):
        return (yield context.wait_for_external_event("E"))

    for text, seen in ((json.dumps(json.dumps({"x": 1})), '{"x": 1}'), ('{"x":1}', {"x": 1})):
        episodes = Episodes(orchestrator)
        episodes.next(raised("E", text))
        assert episodes.ask()["output"] == seen

    by_http, by_client, twice = (running(target, "o_event") for _ in range(3))
    target.raise_event(by_http, "go", raw=b'{"x":1}')
    target.request("POST", f"/api/client/raise_event/{by_client}", json.dumps({"event_name": "go", "event_data": {"x": 1}}))
    target.raise_event(twice, "go", raw=json.dumps(json.dumps({"x": 1})).encode())
    assert [target.wait(instance)["output"] for instance in (by_http, by_client, twice)] == [{"x": 1}, '{"x": 1}', '{"x": 1}']


def test_item_39_early_and_repeated_waits(target: Target) -> None:
    def two_waits(context):
        first, second = (context.wait_for_external_event("go") for _ in range(2))
        return (yield context.task_all([first, second]))

    episodes = Episodes(two_waits)
    episodes.next(raised("go", "1"), raised("go", "2"))
    assert episodes.ask()["output"] == [2, 1]

    one, two = (gated(target, "c_late_waits", {"waits": 2}) for _ in range(2))
    pair = running(target, "o_event_pair")
    for instance, numbers in ((one, [1]), (two, [1, 2]), (pair, [1, 2])):
        for number in numbers:
            assert target.raise_event(instance, "go", number).status == 202
            time.sleep(0.3)
    target.mark(one)
    target.mark(two)
    assert [target.wait(instance)["output"] for instance in (one, two, pair)] == [[1, 1], [2, 2], [2, 1]]


def test_item_39_the_host_keeps_waiting_where_python_has_ended(target: Target) -> None:
    instance = gated(target, "c_two_plain_waits")
    target.raise_event(instance, "go", 1)
    time.sleep(0.5)
    target.mark(instance)
    target.stays(instance, "Running", seconds=1.5)  # Python took the event twice, the host once
    target.raise_event(instance, "go", 2)
    assert target.wait(instance)["output"] == [1, 1]


def test_item_40_inputs_of_a_start(target: Target) -> None:
    good: list[tuple[bytes, Any]] = [(b'{"a":1}', {"a": 1}), (b"null", None), (b"", None), (b'"\\"abc\\""', "abc")]
    for raw, seen in good:
        instance = target.start("o_input", raw=raw)
        assert target.wait(instance)["output"] == {"input": seen}
    bad = [
        (b"5", "the JSON object must be str, bytes or bytearray, not int"),
        (b"[1]", "the JSON object must be str, bytes or bytearray, not list"),
        (b"true", "the JSON object must be str, bytes or bytearray, not bool"),
        (b'"abc"', "Expecting value: line 1 column 1 (char 0)"),
    ]
    for raw, text in bad:
        found = target.wait(target.start("o_input", raw=raw))
        assert (found["runtimeStatus"], found["output"]) == ("Failed", f"Orchestrator function 'o_input' failed: {text}")
        assert found["input"] == json.loads(raw)
    instance = target.new_id()
    started = target.request("POST", f"/api/client/start_new/{instance}", json.dumps({"name": "o_input", "input": {"a": [1]}}))
    assert started.json() == instance
    found = target.wait(instance)
    assert (found["input"], found["output"]) == ('{"a": [1]}', {"input": {"a": [1]}})


def test_item_41_an_unhandled_error_is_a_plain_sentence(target: Target) -> None:
    found = target.run("o_error")
    assert (found["runtimeStatus"], found["output"]) == ("Failed", "Orchestrator function 'o_error' failed: orchestrator says no")
    assert target.run("c_error_empty")["output"] == "Orchestrator function 'c_error_empty' failed: <class 'ValueError'>"
    assert target.run("c_raises_before_yield")["output"] == "Orchestrator function 'c_raises_before_yield' failed: before the first yield"
    unserialisable = target.run("o_unserialisable")
    assert unserialisable["runtimeStatus"] == "Failed"
    assert "Object of type set is not JSON serializable" in unserialisable["output"]


def test_item_42_an_activitys_failure(target: Target) -> None:
    instance = target.start("c_catches_activity")
    kind, text = target.wait(instance)["output"]
    reason, separator, details = text.partition(" \n ")
    assert (kind, reason, separator) == ("Exception", "Activity function 'boom' failed:  ValueError: boom x", " \n ")
    parsed = json.loads(details)
    assert (list(parsed), list(parsed["InnerException"])) == (DETAILS, INNER)
    assert parsed["Message"] == " ValueError: boom x"
    assert parsed["InnerException"]["RemoteMessage"] == "ValueError: boom x"
    assert parsed["InnerException"]["Message"].startswith("Result: Failure\nException: ValueError: boom x\nStack: ")
    event = next(event for event in target.history(instance) if event["EventType"] == "TaskFailed")
    assert (event["Reason"], event["Details"], event["FailureDetails"]) == (reason, details, None)
    secret = target.run("c_calls", {"activity": "leaks_secret", "input": "topsecret"})["output"]
    assert "topsecret" not in secret
    assert "[Hidden Credential]" in secret
    odd = target.run("c_calls", {"activity": "not_json", "input": "k"})
    assert odd["runtimeStatus"] == "Failed"
    assert "ValueError: activity trigger output must be json serializable" in odd["output"]


def test_item_43_falsy_outputs_stay_and_falsy_statuses_do_not(target: Target) -> None:
    def returns(value: Any) -> dict[str, Any]:
        def orchestrator(context):
            context.set_custom_status(value)
            yield context.call_activity("A", 1)
            return value

        episodes = Episodes(orchestrator)
        episodes.next(completed(0, None), scheduled=[(4, 0, {"Name": "A"})])
        return episodes.ask()

    for value in (0, False, ""):
        state = returns(value)
        assert state["output"] == value
        assert "customStatus" not in state
    assert "output" not in returns(None)

    instance = target.start("c_statuses")
    for step in (1, 2):
        target.until(lambda: target.count(f"started-{instance}-{step}"), what="the step")  # noqa: B023 - asked at once
        target.until(lambda: target.status(instance)["customStatus"] == {"step": step}, what="its status")  # noqa: B023
        target.mark(f"{instance}-{step}")
    found = target.wait(instance)
    assert (found["output"], found["customStatus"]) == (
        False,
        None,
    )  # the last answer has no status, and the row says what that answer says
    status = target.run("o_status")
    assert (status["customStatus"], status["output"]) == ("two", None)


def test_item_44_a_custom_status_has_a_limit(target: Target) -> None:
    found = target.run("o_big_status")
    assert found["runtimeStatus"] == "Failed"
    assert found["output"] == (
        "Orchestrator function 'o_big_status' failed: The UTF-16 size of the JSON-serialized payload must not exceed 16 KB. "
        "The current payload size is 39 KB."
    )
    assert found["customStatus"] is None


def test_item_45_drift_fails_the_instance(target: Target) -> None:
    instance = target.start("c_drift")
    found = target.wait(instance)
    assert found["runtimeStatus"] == "Failed"
    assert found["output"].startswith("Non-Deterministic workflow detected: A previous execution of this orchestration scheduled ")
    target.until(lambda: target.count(f"stray-{instance}"), what="the stray activity")
    time.sleep(0.3)
    assert target.count(f"stray-{instance}") == 1
    reply = target.manage("GET", f"/instances/{instance}?showHistory=true")
    assert reply.status == 400
    assert reply.json()["ExceptionMessage"] == "An item with the same key has already been added. Key: TaskScheduled_0"
    assert target.status(instance)["runtimeStatus"] == "Failed"


def test_item_46_durable_http(target: Target) -> None:
    base = target.base
    found = target.output("c_http", {"uri": f"{base}/api/target/202"})
    assert (found["statusCode"], found["headers"]["Location"], found["headers"]["X-Target"]) == (202, "/elsewhere", "yes")
    assert not {"Content-Type", "Content-Length", "content-type"} & set(found["headers"])  # headers of the content are not among them
    seen = json.loads(target.output("c_http", {"uri": f"{base}/api/target/200?q=1", "method": "POST", "content": {"a": 1}})["content"])
    assert (seen["method"], seen["params"], seen["body"]) == ("POST", {"q": "1"}, '{"a": 1}')
    assert seen["headers"]["content-type"].startswith("text/plain")
    own = {"Content-Type": "application/json", "X-Mine": "yes"}
    asked = {"uri": f"{base}/api/target/200", "method": "PUT", "content": "raw", "raw": True, "headers": own}
    seen = json.loads(target.output("c_http", asked)["content"])
    assert (seen["method"], seen["body"], seen["headers"]["x-mine"]) == ("PUT", "raw", "yes")
    assert seen["headers"]["content-type"].startswith("application/json")
    assert target.output("c_http", {"uri": f"{base}/api/target/503"})["statusCode"] == 503
    refused = target.run("c_http", {"uri": "http://127.0.0.1:9/"})
    assert refused["runtimeStatus"] == "Failed"
    instance = target.start("c_http", None, {"uri": f"{base}/api/target/200"})
    target.wait(instance)
    assert [event["FunctionName"] for event in target.history(instance) if event["EventType"] == "TaskCompleted"] == [
        "BuiltIn::HttpActivity"
    ]


def test_item_47_new_uuid_and_the_clock(target: Target) -> None:
    def orchestrator(context):
        made = str(context.new_uuid())
        yield context.call_activity("A", made)
        return [made, context.current_utc_datetime.isoformat()]

    episodes = Episodes(orchestrator)
    made = json.loads(episodes.ask()["actions"][0][0]["input"])
    episodes.next(completed(0, None), scheduled=[(4, 0, {"Name": "A"})])
    assert episodes.ask()["output"] == [made, "2026-01-01T00:00:01+00:00"]

    assert target.output("o_new_uuid") == [True]
    due, now = target.output("c_clock")
    assert now < due  # fired early, by the part of a second that was cut off


def test_item_48_the_sdks_recursion_limit_is_not_hidden(target: Target) -> None:
    def orchestrator(context):
        count = context.get_input()["n"]
        tasks = [context.call_activity("A", number) for number in range(count)]
        timer = context.create_timer(context.current_utc_datetime)
        yield context.task_any([*tasks, timer])
        yield timer
        for task in tasks:  # each a yield of its own, though a `yield from` does the same
            _ = yield task
        return count

    def episodes(count: int) -> Episodes:
        made = Episodes(orchestrator, given={"n": count})
        scheduled = [(4, number, {"Name": "A"}) for number in range(count)] + [(10, count, {"FireAt": "2026-01-01T00:00:00Z"})]
        made.next(*[completed(number, number) for number in range(count)], fired(count), scheduled=scheduled)
        return made

    with ThreadPoolExecutor(1) as pool:  # a stack of its own, as in a worker
        assert pool.submit(episodes(970).ask).result()["output"] == 970
        assert "maximum recursion depth exceeded" in pool.submit(episodes(1000).failure).result()


def test_item_48_nor_by_the_host(target: Target) -> None:
    assert target.get("/api/recursion").json() == sys.getrecursionlimit() == 1000
