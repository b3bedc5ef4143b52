"""Behaviour that the contract or upstream's sources describe and no recording shows; the numbers are the contract's sections."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from devhost.durable.answers import Answer, read_answer
from devhost.durable.decisions import Decision, Frame, Known
from devhost.durable.episode import start_event
from devhost.durable.failures import task_failed
from devhost.durable.history import Event, Kind
from devhost.durable.jsontext import value_or_text
from devhost.durable.newtonsoft import BadJson, parse_json
from devhost.durable.payloads import Links
from devhost.durable.replay import replay
from devhost.durable.settings import DurableSettings
from devhost.durable.state import InstanceState
from devhost.http.json_text import parse
from devhost.invocation import Failed
from devhost.jsonc import MissingConnection
from devhost.storage.account import StorageAccount
from tests.devhost.durable.rig import Host
from tests.devhost.durable.scenarios import in_host

START = "2026-01-01T00:00:00Z"
KNOWN = Known({"o": "o"}, {"ok": "ok"}, {"counter": "counter"})
TIMER = {"actionType": 5, "fireAt": "2026-01-01T01:00:00.000000Z", "isCanceled": False}
ACTIVITY = {"actionType": 0, "functionName": "ok", "input": "1"}
SIGNAL = {"actionType": 9, "instanceId": "@counter@k", "operation": "o", "input": "1"}
HTTP = {"actionType": 8, "httpRequest": {"method": "GET", "uri": "http://localhost/"}}


def decide(actions: list[dict[str, Any]], *rest: Event, limit: int = 100, known: Known = KNOWN, **answer: Any) -> Decision:
    state = InstanceState(instance_id="i", name="o", execution_id="e" * 32, status="Running", created=START, updated=START)
    events = [Event(Kind.OrchestratorStarted, timestamp=START), start_event(state, START), *rest]
    return replay(events, Answer(actions=actions, **answer), Frame("i", "e" * 32, "o", None, known, max_actions=limit))


def kinds(decision: Decision) -> list[str]:
    return [f"{event.kind.name}#{event.id}" for event in decision.scheduled]


def result(decision: Decision) -> str:
    assert decision.completion is not None
    return str(decision.completion.members["Result"])


# ---- 3.6, 3.9: what the engine rejects


@pytest.mark.parametrize("action", [TIMER, ACTIVITY, HTTP, {**SIGNAL, "actionType": 7}])
def test_3_6_every_call_counts_against_the_most_actions_and_the_one_too_many_hangs(action: dict[str, Any]) -> None:
    decision = decide([{"actionType": 12, "compoundActions": [action, action, ACTIVITY]}], limit=2)
    assert len(kinds(decision)) == 2
    assert decision.completion is None
    assert any("Maximum amount of orchestration actions (2) has been reached." in note for note in decision.notes)


def test_3_6_a_signal_too_many_fails_the_orchestration() -> None:
    assert result(decide([SIGNAL, SIGNAL], limit=1)).startswith(
        "Orchestrator function 'o' failed: Maximum amount of orchestration actions (1)"
    )


def test_3_6_an_unknown_name_does_not_count() -> None:
    unknown = {**ACTIVITY, "functionName": "nope"}
    assert kinds(decide([{"actionType": 12, "compoundActions": [unknown, unknown, ACTIVITY]}], limit=1)) == ["TaskScheduled#0"]


def test_3_6_what_the_engine_refuses_of_an_orchestrator_that_raised_has_no_frame() -> None:
    assert result(decide([{"actionType": 99}], error="boom")).startswith("Received an unexpected action type")
    assert result(decide([ACTIVITY], error="boom", custom_status=json.dumps("s" * 600_000))) == (
        "The UTF-16 size of the JSON-serialized payload must not exceed 16 KB. The current payload size is 1,171 KB."
    )


def test_3_7_where_nothing_is_registered_the_text_says_so() -> None:
    nothing = Known({}, {}, {})
    assert nothing.unknown_text("activity", "a").endswith("Additional info: No activity functions are currently registered!")
    assert KNOWN.unknown_text("activity", "a").endswith("The following are the known activity functions: 'ok'.")


def test_3_7_a_state_that_the_sanitizer_has_broken_is_a_failure_of_its_own() -> None:
    state = json.dumps({"isDone": False, "schemaVersion": 2, "actions": [[]], "error": 'AccountKey=abc"def'})
    answer = read_answer("o", Failed(type_name="Exception", message=f"x\n\n$OutOfProcData$:{state}", stack="  at y"))
    assert answer.reason == "Out of proc orchestrators must return a valid JSON schema"


def test_3_7_a_message_is_cut_where_a_stack_seems_to_begin() -> None:
    members = task_failed(0, "a", Failed(type_name="E", message="one\ntwo\nStack: three", stack="  at y")).members
    assert members["Reason"] == "Activity function 'a' failed:  E: one\ntwo"
    details = json.loads(members["Details"])
    assert (details["Message"], details["InnerException"]["RemoteMessage"]) == (" E: one\ntwo", "E: one\ntwo\nStack: three")


def test_3_9_a_call_that_may_be_attempted_less_than_once_is_never_made() -> None:
    retry = {
        "actionType": 1,
        "functionName": "ok",
        "input": "1",
        "retryOptions": {"firstRetryIntervalInMilliseconds": 1, "maxNumberOfAttempts": 0},
    }
    assert kinds(decide([{"actionType": 12, "compoundActions": [retry]}, ACTIVITY])) == ["TaskScheduled#0"]


def test_3_11_an_id_of_blanks_is_none() -> None:
    decision = decide([{"actionType": 2, "functionName": "o", "input": "1", "instanceId": "  "}])
    assert decision.scheduled[0].members["InstanceId"] == f"{'e' * 32}:0"


@pytest.mark.parametrize(
    ("recorded", "text"),
    [
        (
            Event(Kind.TimerCreated, {"FireAt": START}, id=3),
            "scheduled a timer task with sequence number 3 but the current replay execution",
        ),
        (
            Event(Kind.TimerCreated, {"FireAt": START}, id=0),
            "sequence number 0 named but the current orchestration replay instead produced",
        ),
        (
            Event(Kind.SubOrchestrationInstanceCreated, {"Name": "c", "InstanceId": "x"}, id=0),
            "instance ID 'x'), but the current orchestration replay instead produced a ScheduleTaskOrchestratorAction action at this sequence",
        ),
        (
            Event(Kind.EventSent, {"Name": "op", "InstanceId": "@c@k", "Input": ""}, id=0),
            "task with sequence ID 0, type 'EventSent', name 'op'",
        ),
    ],
)
def test_3_16_drift_is_told_in_upstreams_words_and_a_parent_gets_details(recorded: Event, text: str) -> None:
    decision = decide([ACTIVITY], recorded)
    assert text in result(decision)
    assert decision.completion is not None
    assert (decision.completion.private or {})["FailureText"].startswith(
        "Unhandled exception while executing orchestration: DurableTask.Core"
    )


def test_1_6_extended_sessions_are_taken_as_off_and_said_to_be() -> None:
    (warning,) = DurableSettings.from_host_json({"extendedSessionsEnabled": True}, {}).warnings
    assert "extendedSessionsEnabled is for .NET functions only" in warning
    assert DurableSettings.from_host_json({"extendedSessionsEnabled": False}, {}).warnings == ()


# ---- 5.1: texts and JSON as the real host's library reads them


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("5 apples", 5),
        ("true enough", True),
        ("not now", "not now"),
        ("12:30", "12:30"),
        ("2026-11-21", "2026-11-21"),
        ("'a' b", "a"),
        ("", ""),
    ],
)
def test_5_1_a_reason_that_begins_like_json_is_shown_as_that(text: str, shown: Any) -> None:
    assert value_or_text(text) == shown


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{'a': 1}", {"a": 1}),
        (b"{a: [1, 2,], /* c */ b: 0x1F,}", {"a": [1, 2], "b": 31}),
        (b'"two\nlines"', "two\nlines"),
        (b"\xef\xbb\xbf{}", {}),
        (b"010", 8),
        (b".5", 0.5),
        (b"'\\u00e9\\ud83d\\ude00'", "é😀"),
    ],
)
def test_5_2_bodies_are_read_leniently(body: bytes, value: Any) -> None:
    assert json.loads(parse_json(body, empty_is_null=False) or "null") == value


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"not json", "Unexpected character encountered while parsing value: n. Path '', line 0, position 0."),
        (b"text", "Error parsing boolean value. Path '', line 1, position 1."),
        (b'{"a": [1, x]}', "Unexpected character encountered while parsing value: x. Path 'a[1]', line 1, position 10."),
        (b"{bad json", "Invalid character after parsing property name. Expected ':' but got: j. Path '', line 1, position 5."),
        (b'{"a":1 "b":2}', "After parsing a value an unexpected character was encountered: \". Path 'a', line 1, position 7."),
        (b'"abc', "Unterminated string. Expected delimiter: \". Path '', line 1, position 4."),
        (b"{} x", "Additional text encountered after finished reading JSON content: x. Path '', line 1, position 3."),
        (b"[" * 70, "The reader's MaxDepth of 64 has been exceeded. Path '" + "[0]" * 64 + "', line 1, position 65."),
    ],
)
def test_5_2_what_is_not_json_is_refused_with_the_place(body: bytes, sentence: str) -> None:
    with pytest.raises(BadJson) as caught:
        parse_json(body, empty_is_null=False)
    assert str(caught.value) == sentence


def test_5_2_an_event_is_the_first_value_of_its_body() -> None:
    assert parse_json(b'{"a":1} and more', empty_is_null=False, to_the_end=False) == '{"a":1}'


def test_2_1_a_text_that_a_function_returns_is_read_as_leniently() -> None:
    assert (parse("{'a':1}"), parse("  "), parse("/* c */ [1,]")) == ({"a": 1}, None, [1])


def test_5_1_links_encode_ids_as_forms_do() -> None:
    links = Links(hub="H", connection="Storage", system_key="k").check_status("http://h:1", "a b+c'd~e!*()é%")
    assert "/instances/a+b%2Bc%27d%7Ee!*()%C3%A9%25?taskHub=H" in links["statusQueryGetUri"]


# ---- 5.2 over the API


def test_5_2_corners_of_the_management_api(storage: str) -> None:
    """One host for all of them: each is a request or two."""

    async def story(host: Host) -> None:
        async def asked(method: str, path: str, raw: bytes | None = None, **headers: str) -> tuple[int, Any]:
            reply = await host.ask(method, path, raw=raw, headers={name.replace("_", "-"): value for name, value in headers.items()})
            return reply.status, json.loads(reply.body) if reply.body else None

        # a start whose body breaks off is not among the bad ones
        status, body = await asked("POST", "/orchestrators/waits", b'{"a":')
        assert (status, body["ExceptionType"]) == (500, "Newtonsoft.Json.JsonSerializationException")
        assert (await asked("POST", "/orchestrators/waits", b"[1, x]"))[0] == 400
        # bodies in other character sets
        await asked("POST", "/orchestrators/waits/wide", '{"a": "é"}'.encode("utf-16"), content_type="application/json; charset=utf-16")
        assert (await host.status("wide"))["input"] == {"a": "é"}
        assert await asked("DELETE", "/instances/wide") == (200, {"instancesDeleted": 1})
        assert (await asked("POST", "/orchestrators/waits", b"{}", content_type="application/json; charset=none"))[0] == 500
        # pages that cannot be
        assert (await asked("GET", "/instances?top=0"))[1]["ExceptionMessage"] == "Take count must be positive and greater than 0."
        assert (await asked("GET", "/instances?top=-1"))[1]["ExceptionType"] == "System.ArgumentOutOfRangeException"
        assert (await asked("GET", "/entities?top=0")) == (400, {"Message": "Take count must be positive and greater than 0."})
        status, body = await asked("GET", "/instances", x_ms_continuation_token="no token")
        assert (status, body["ExceptionType"]) == (500, "System.FormatException")
        # times before tables begin, and in other forms
        await host.start_new("waits", "one")
        await host.wait("one", until=("Running",))
        for since in ("0001-01-01T00:00:00Z", "01/31/2020", "Wed, 01 Jan 2020 00:00:00 GMT", "never"):
            assert [item["instanceId"] for item in (await asked("GET", f"/instances?createdTimeFrom={since.replace(' ', '%20')}"))[1]] == [
                "one"
            ]
        assert (await asked("GET", "/instances?createdTimeTo=01/31/2020"))[1] == []
        # entities
        assert (await asked("GET", "/entities/nosuch/k"))[0] == 404
        assert (await asked("POST", "/entities/counter/a%5Cb?op=add", b"1")) == (
            400,
            {"Message": "entityKey (Parameter 'Entity keys must not contain /, \\, #, ?, or control characters.')"},
        )
        assert (await asked("POST", "/entities"))[1]["Message"].startswith("Invalid entity id: entity name must not be")
        assert (await asked("POST", "/entities/counter/k?op=add", b'"2" and more'))[0] == 202
        while (await asked("GET", "/entities/counter/k"))[0] == 404:  # noqa: ASYNC110 (the host has no event for it)
            await asyncio.sleep(0.01)
        listed = (await asked("GET", "/entities/counter"))[1]
        assert [(item["entityId"], item["state"]) for item in listed] == [({"name": "counter", "key": "k"}, None)]
        assert (await asked("GET", "/instances/%40counter%40k"))[1]["name"] == "@counter@k"
        await asked("POST", "/entities/counter/k?op=put", json.dumps(json.dumps({"a": [1, "é"]})).encode())
        while (reply := await host.ask("GET", "/entities/counter/k")).body == b"2":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert reply.body == '{"a":[1,"é"]}'.encode(), "compact, however the function spelled it"
        assert (await asked("POST", "/entities/counter/f?op=put", b'"5"', content_type="application/x-www-form-urlencoded"))[0] == 202
        while (reply := await host.ask("GET", "/entities/counter/f")).status == 404:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert reply.body == b"null", "of a form nothing is left, so that the operation fails"
        # another hub's functions are not known here
        assert (await asked("POST", "/orchestrators/nosuch/x?taskHub=AnotherHub"))[0] == 202
        assert (await asked("GET", "/instances/x?taskHub=AnotherHub"))[1]["runtimeStatus"] == "Pending"
        assert (await asked("GET", "/instances/x"))[0] == 404

    in_host(storage, story)


def test_5_1_a_connection_is_another_account(storage: str) -> None:
    async def story(host: Host) -> None:
        other = StorageAccount.from_connection_string(storage)

        def account(name: str) -> StorageAccount:
            if name.lower() != "other":
                raise MissingConnection(name)
            return other

        host.extension._account = account
        try:
            assert (await host.ask("GET", "/instances?connection=STORAGE")).status == 200
            hub = host.extension.settings.hub.upper()
            links = json.loads((await host.ask("POST", f"/orchestrators/waits?taskHub={hub}&connection=STORAGE")).body)
            assert f"?taskHub={hub}&connection=STORAGE&" in links["statusQueryGetUri"], "spelled as the request has them"
            reply = await host.ask("POST", "/orchestrators/nosuch/far?connection=Other")
            assert reply.status == 202, "the names of another account's app are not known here"
            assert "connection=Other" in json.loads(reply.body)["statusQueryGetUri"]
            assert json.loads((await host.ask("GET", "/instances/far?connection=other")).body)["runtimeStatus"] == "Pending"
            reply = await host.ask("GET", "/instances/far?connection=Nowhere")
            assert (reply.status, json.loads(reply.body)["ExceptionMessage"]) == (
                500,
                "Unable to resolve the Azure Storage connection named 'Nowhere'.",
            )
        finally:
            await other.close()

    in_host(storage, story)


def test_4_2_an_end_without_a_result_leaves_the_last_reason_in_its_place(storage: str) -> None:
    """The row is merged, and what is nothing is not sent."""

    async def story(host: Host) -> None:
        await host.start_new("waits", "quiet")
        await host.wait("quiet", until=("Running",))
        for operation, status in (("suspend?reason=hold", "Suspended"), ("resume?reason=go%20on", "Running")):
            await host.ask("POST", f"/instances/quiet/{operation}")
            await host.wait("quiet", until=(status,))
        await host.ask("POST", "/instances/quiet/raiseEvent/go", raw=b"null")
        ended = await host.wait("quiet")
        assert (ended["runtimeStatus"], ended["output"]) == ("Completed", "go on")

    in_host(storage, story)


def test_4_3_a_failure_longer_than_a_table_takes_is_a_failure_all_the_same(storage: str) -> None:
    async def story(host: Host) -> None:
        await host.start_new("fails_at_length", "long", {"n": 70_000})
        await host.ask("POST", "/instances/long/raiseEvent/go", raw=b"1")
        ended = await host.wait("long", seconds=5)
        assert (ended["runtimeStatus"], len(ended["output"]) > 70_000) == ("Failed", True)

    in_host(storage, story)
