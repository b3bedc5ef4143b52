"""Checklist 49 to 54, entities: batches, the encoding of inputs, calls, order, what outlives a restart, failing functions."""

# Entities have the parameters that the Durable SDK reads; it ships no types.
# mypy: disable-error-code="no-untyped-def, misc"
# ruff: noqa: ANN001, ANN202

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import app_settings, copy_of_app
from tests.conformance.sdk import ask_entity, operation
from tests.conformance.target import Target
from tests.devhost.shell.support import running

pytestmark = [pytest.mark.conformance, pytest.mark.e2e, pytest.mark.timeout(120)]


def doubly(value: Any) -> bytes:
    """An input as the Durable client sends it: a JSON string of JSON text."""
    return json.dumps(json.dumps(value)).encode()


def state_of(target: Target, key: str) -> Any:
    reply = target.manage("GET", f"/entities/notes/{key}")
    return reply.json() if reply.status == 200 else None


def eventually(target: Target, key: str, state: Any) -> None:
    target.until(lambda: state_of(target, key) == state, what=f"state {state}", explain=lambda: str(state_of(target, key)))


def test_item_49_a_batch_in_and_out() -> None:
    def notes(context):
        found = context.get_state(list)
        name = context.operation_name
        if name == "add":
            context.set_state([*found, context.get_input()])
            context.set_result(len(found) + 1)
        elif name == "fail":
            context.set_state([*found, "kept"])
            raise ValueError("no")
        elif name == "remove":
            context.destruct_on_exit()

    answer = ask_entity(notes, [operation("add", json.dumps('"5"')), operation("quiet"), operation("fail"), operation("add", "1")])
    assert (answer["entityExists"], answer["entityState"], answer["signals"]) == (True, '["5", "kept"]', [])
    assert [result["isError"] for result in answer["results"]] == [False, False, True, True]
    assert [result["result"] for result in answer["results"]][:3] == ["1", "1", '"no"']  # the second repeats the first one's result
    assert {"isError", "duration", "startTime", "result"} == set(answer["results"][0])
    untouched = ask_entity(lambda context: context.operation_name, [operation("any")], state='{"odd":  "spacing"}', exists=True)
    assert untouched["entityState"] == '{"odd":  "spacing"}'
    gone = ask_entity(notes, [operation("remove")], state="[1]", exists=True)
    assert (gone["entityExists"], gone["entityState"]) == (False, "null")


def test_item_50_inputs_are_doubly_encoded_or_errors(target: Target) -> None:
    key = target.new_id("inputs")
    for body in (b'{"a":1}', b"5", b'"abc"', b""):  # plain HTTP: every one an operation error
        assert target.signal(f"Notes/{key}", "add", raw=body).status == 202
    assert target.signal(f"Notes/{key}", "add", raw=doubly({"a": 1})).status == 202
    eventually(target, key, [{"a": 1}])
    by_client = target.new_id("client")
    for sent in ({"name": "add", "input": 4}, {"name": "get", "input": 0}):
        target.request("POST", f"/api/client/signal_entity/{by_client}", json.dumps(sent))
    target.until(lambda: target.manage("GET", f"/entities/counter/{by_client}").body == b"4", what="the counter")
    steps = [["call", "add", {"b": 2}], ["call", "who", None]]
    instance = target.start("c_notes", None, {"steps": steps})
    assert target.wait(instance)["output"] == [1, ["notes", instance]]


def test_item_51_calls_have_results_and_errors(target: Target) -> None:
    steps = [["call", "add", "x"], ["call", "fail", None], ["call", "get", None]]
    instance = target.start("c_notes", None, {"steps": steps})
    assert target.wait(instance)["output"] == [1, "Exception: entity failed", ["x", "before the failure"]]
    assert state_of(target, instance) == ["x", "before the failure"]
    events = [event for event in target.history(instance) if event["EventType"] in ("EventSent", "EventRaised")]
    sent, raised = events[0], events[1]
    request, response = json.loads(sent["Input"]), json.loads(raised["Input"])
    assert (sent["InstanceId"], sent["Name"], raised["Name"]) == (f"@notes@{instance}", "op", request["id"])
    assert list(request) == ["$type", "op", "input", "id", "parent", "parentExecution", "Timestamp", "Predecessor"]
    assert (request["input"], request["parent"], request["Predecessor"]) == ('"\\"x\\""', instance, "0001-01-01T00:00:00")
    assert list(response) == ["$type", "result"]
    failed = json.loads(events[3]["Input"])
    assert (failed["result"], failed["exceptionType"]) == ('"entity failed"', "Error")


def test_item_52_one_sender_in_order_one_batch_at_a_time(target: Target) -> None:
    steps = [["signal", "add", number] for number in range(20)] + [["call", "get", None]]
    assert target.output("c_notes", {"steps": steps}) == [list(range(20))]
    key = target.new_id("turns")
    for _ in range(2):
        target.signal(f"Notes/{key}", "slowly", raw=doubly(0.8))
        target.until(lambda: target.count(f"began-{key}"), what="its begin")
    time.sleep(0.3)
    assert target.count(f"began-{key}") == 1  # the second one waits for the first
    eventually(target, key, ["slow", "slow"])
    assert target.output("c_two_entities") < 1.9


def test_item_53_what_readers_see_of_an_entity_without_state(target: Target) -> None:
    failed, removed = target.new_id("failed"), target.new_id("removed")
    target.signal(f"Notes/{failed}", "fail_first")
    target.signal(f"Notes/{removed}", "add", raw=doubly(1))
    eventually(target, removed, [1])
    target.signal(f"Notes/{removed}", "remove")
    for key in (failed, removed):
        target.until(lambda key=key: target.manage("GET", f"/entities/notes/{key}").body == b"null", what="null")
        assert target.manage("GET", f"/entities/notes/{key}").status == 200
    never = target.manage("GET", f"/entities/notes/{target.new_id('never')}")
    assert (never.status, never.body) == (404, b"")


def test_item_53_state_outlives_a_restart(tmp_path: Path, storage: str) -> None:
    app, settings = copy_of_app(tmp_path), app_settings(storage)
    with running(app, settings=settings) as host:
        target = Target(f"http://127.0.0.1:{host.port}")
        target.signal("Notes/kept", "add", raw=doubly("before"))
        eventually(target, "kept", ["before"])
    with running(app, settings=settings) as host:
        target = Target(f"http://127.0.0.1:{host.port}")
        assert state_of(target, "kept") == ["before"]
        target.signal("Notes/kept", "add", raw=doubly("after"))
        eventually(target, "kept", ["before", "after"])


def test_item_54_a_batch_whose_function_fails_is_repeated(target: Target) -> None:
    key = target.new_id("crash")
    target.signal(f"Notes/{key}", "add", raw=doubly(1))
    eventually(target, key, [1])
    target.signal(f"Notes/{key}", "crash")
    target.until(lambda: target.count(f"crash-{key}") >= 2, what="a repetition", seconds=30)
    assert state_of(target, key) == [1]
    assert target.manage("DELETE", f"/instances/@notes@{key}").status == 200  # or it is repeated for ever
