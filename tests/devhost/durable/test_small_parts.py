"""Names, times, settings, rows, texts: the small pure parts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devhost.durable.answers import read_answer
from devhost.durable.failures import task_failed
from devhost.durable.history import CorruptRow, Event, Kind, from_row, to_row
from devhost.durable.jsontext import compact, value_or_text
from devhost.durable.names import BadHubName, from_key, hub_name, instance_id_problem, to_key
from devhost.durable.newtonsoft import BadJson, parse_json
from devhost.durable.payloads import Links
from devhost.durable.sanitize import sanitize
from devhost.durable.settings import BadSetting, DurableSettings
from devhost.durable.state import InstanceState
from devhost.durable.times import to_round_trip_text, to_text, to_ticks, whole_seconds
from devhost.durable.versions import version_problem
from devhost.durations import duration_text, parse_timespan
from devhost.invocation import Failed, JsonText, Succeeded
from devhost.storage.account import StorageAccount
from devhost.storage.errors import BadConnectionString


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_keys_and_ids_are_inverses(instance_id: str) -> None:
    key = to_key(instance_id)
    assert instance_id == from_key(key)
    assert not set("/\\#?") & set(key)


@pytest.mark.parametrize(("instance_id", "key"), [("a/b", "a^0b"), ("a\\b", "a^1b"), ("#?", "^2^3"), ("^", "^^"), ("\t", "^É")])
def test_keys_are_escaped_as_upstream_does(instance_id: str, key: str) -> None:
    assert key == to_key(instance_id)


@pytest.mark.parametrize("instance_id", ["a b", "a+b", "a%b", "a'b", "é☃", "x" * 101])
def test_unusual_ids_are_allowed(instance_id: str) -> None:
    assert instance_id_problem(instance_id) is None


@pytest.mark.parametrize("instance_id", ["@a", "a/b", "a\\b", "a#", "a?", "a\n", "x" * 257])
def test_other_ids_are_not(instance_id: str) -> None:
    assert instance_id_problem(instance_id) is not None


@given(st.integers(0, 4 * 10**16))
def test_instants_and_texts_are_inverses(ticks: int) -> None:
    assert ticks == to_ticks(to_text(ticks)) == to_ticks(to_round_trip_text(ticks))


def test_instants_are_printed_as_dotnet_prints_them() -> None:
    assert to_text(to_ticks("2026-01-01T00:00:00.0000000Z")) == "2026-01-01T00:00:00Z"
    assert to_text(to_ticks("2026-01-01T00:00:00.1200001Z")) == "2026-01-01T00:00:00.1200001Z"
    assert to_text(to_ticks("2026-01-01T01:00:00+02:00")) == "2025-12-31T23:00:00Z"
    assert whole_seconds("2026-01-01T00:00:00.9999999Z") == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(("seconds", "text"), [(259200, "3.00:00:00"), (30, "00:00:30"), (1.5, "00:00:01.5000000"), (86399, "23:59:59")])
def test_durations(seconds: float, text: str) -> None:
    assert text == duration_text(seconds)
    assert seconds == parse_timespan(text)


def test_settings_have_the_documented_defaults_and_names_any_case() -> None:
    settings = DurableSettings.from_host_json({}, {})
    assert (
        settings.hub,
        settings.connection_name,
        settings.connection_setting,
        settings.max_entity_batch,
        settings.store_inputs,
    ) == ("TestHubName", "Storage", "AzureWebJobsStorage", 5000, False)
    assert DurableSettings.from_host_json({"MaxConcurrentActivityFunctions": "7"}, {}).max_activities == 7
    small = DurableSettings.from_host_json({}, {"CONTAINER_NAME": "x"})
    assert (small.max_orchestrators, small.max_activities, small.max_entities, small.max_entity_batch) == (5, 10, 10, 50)
    assert DurableSettings.from_host_json({"hubName": "%HUB%"}, {"HUB": "Mine"}).hub == "Mine"
    assert hub_name(None, {"WEBSITE_SITE_NAME": "1-Site"}) == "t1Site"


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"maxConcurrentActivityFunctions": 0},
            "host.json: extensions.durableTask.maxConcurrentActivityFunctions must be a number above 0, not 0.",
        ),
        (
            {"maxOrchestrationActions": "many"},
            "host.json: extensions.durableTask.maxOrchestrationActions must be a whole number, not 'many'.",
        ),
        ({"storageProvider": []}, None),
        ({"storageProvider": 5}, "host.json: extensions.durableTask.storageProvider must be an object, not 5."),
        ({"storageProvider": {"controlQueueVisibilityTimeout": "00:00:30"}}, "must be between 1 and 60 minutes"),
        ({"storageProvider": {"partitionCount": 17}}, "partitionCount must be between 1 and 16"),
        ({"storageProvider": {"controlQueueBufferThreshold": 1001}}, "controlQueueBufferThreshold must be between 1 and 1000"),
        ({"storageProvider": {"maxQueuePollingInterval": "00:00:00"}}, "maxQueuePollingInterval must be longer than nothing"),
        ({"overridableExistingInstanceStates": "x"}, "must be one of NonRunningStates, AnyState, not 'x'."),
    ],
)
def test_a_wrong_setting_names_its_place(section: dict[str, Any], message: str | None) -> None:
    if message is None:
        assert DurableSettings.from_host_json(section, {}).hub == "TestHubName"
        return
    with pytest.raises(BadSetting) as caught:
        DurableSettings.from_host_json(section, {})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("strategy", "version", "runs"),
    [
        ("CurrentOrOlder", "1.9", True),
        ("CurrentOrOlder", "1.10", True),
        ("CurrentOrOlder", "1.11", False),
        ("CurrentOrOlder", "", True),
        ("Strict", "1.9", False),
        ("Strict", "1.10", True),
        ("None", "9", True),
    ],
)
def test_versions_decide_who_runs(strategy: str, version: str, runs: bool) -> None:
    settings = DurableSettings.from_host_json({"defaultVersion": "1.10", "versionMatchStrategy": strategy}, {})
    assert runs == (version_problem(settings, version) is None)


@pytest.mark.parametrize("name", ["1hub", "a-b", "ab", "h" * 51])
def test_a_hub_name_has_rules(name: str) -> None:
    with pytest.raises(BadHubName, match=r"extensions\.durableTask\.hubName"):
        hub_name(name, {})


@pytest.mark.parametrize(
    "event",
    [
        Event(
            Kind.TaskScheduled, {"Name": "a", "Version": "", "Input": None, "ParentTraceContext": None}, id=3, private={"TaskInput": "[1]"}
        ),
        Event(Kind.TaskFailed, {"TaskScheduledId": 0, "Reason": "r", "Details": "d", "FailureDetails": None}, played=True),
        Event(Kind.TimerFired, {"TimerId": 4, "FireAt": "2026-01-01T00:00:00.5Z"}, played=True),
        Event(
            Kind.ExecutionCompleted,
            {"OrchestrationStatus": "Failed", "Result": "r", "FailureDetails": None},
            id=1,
            private={"FailureText": "t"},
        ),
    ],
)
def test_rows_and_events_are_inverses(event: Event) -> None:
    row = to_row(event, "i", 10, "e")
    assert row["RowKey"] == "000000000000000A"
    back = from_row(row)
    assert (event.payload(), event.private) == (back.payload(), back.private)


@pytest.mark.parametrize(
    "row", [{}, {"EventType": "Nonsense", "EventId": 0}, {"EventType": "TaskCompleted", "EventId": "x", "_Timestamp": "t"}]
)
def test_a_corrupt_row_is_named(row: dict[str, Any]) -> None:
    with pytest.raises(CorruptRow, match="history row '0' of instance 'i' is not an event"):
        from_row({"PartitionKey": "i", "RowKey": "0", **row})


def test_an_instance_row_gives_the_state_back() -> None:
    state = InstanceState(
        instance_id="a/b",
        name="o",
        execution_id="e",
        status="Failed",
        created="2026-01-01T00:00:00Z",
        updated="2026-01-01T00:00:01Z",
        output="plain",
        generation=2,
        parent={"Name": "p"},
    )
    row = state.to_row("Hub")
    assert (row["PartitionKey"], row["RowKey"], row["RuntimeStatus"], row["Generation"], row["CustomStatus"]) == (
        "a^0b",
        "",
        "Failed",
        2,
        "null",
    )
    assert state == InstanceState.from_row(row, "a/b")


def test_credentials_are_taken_out_of_failures() -> None:
    text = sanitize('no "AccountName=x;AccountKey=abc==;End" here, Password=y\' and https://user:secret@host/x')
    assert "abc" not in text
    assert "secret" not in text
    assert text.count("[Hidden Credential]") == 3
    assert sanitize("PublicKeyToken=kept") == "PublicKeyToken=kept"
    event = task_failed(1, "a", Failed(type_name="ValueError", message="pwd=hush", stack="File x\n"))
    assert "hush" not in event.payload()
    assert event.members["Reason"] == "Activity function 'a' failed:  ValueError: [Hidden Credential]"


def test_failure_details_have_the_recorded_keys() -> None:
    details = json.loads(task_failed(1, "a", Failed(type_name="ValueError", message="boom", stack="S")).members["Details"])
    assert (details["Message"], details["InnerException"]["RemoteMessage"]) == (" ValueError: boom", "ValueError: boom")
    assert details["InnerException"]["Message"] == "Result: Failure\nException: ValueError: boom\nStack: S"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"abc", "Unexpected character encountered while parsing value: a. Path '', line 0, position 0."),
        (b"", "Error reading JToken from JsonReader. Path '', line 0, position 0."),
    ],
)
def test_bad_json_is_refused_in_recorded_words(body: bytes, message: str) -> None:
    with pytest.raises(BadJson) as caught:
        parse_json(body, empty_is_null=False)
    assert message == str(caught.value)


def test_json_is_passed_on_compactly_and_unharmed() -> None:
    assert compact('{ "a": 1.0, "b": "é", "c": [null] }') == '{"a":1.0,"b":"é","c":[null]}'
    assert "\\ud800" in compact('"\\ud800"')
    assert [value_or_text(text) for text in ("stop it", '{"a":1}', "", None)] == ["stop it", {"a": 1}, "", None]


def test_a_state_can_come_inside_a_failure() -> None:
    state = json.dumps({"isDone": False, "schemaVersion": 2, "actions": [[]], "error": "no"})
    answer = read_answer("o", Failed(type_name="Exception", message=f"no\n\n$OutOfProcData$:{state}", stack="File x"))
    assert (answer.error, answer.reason, answer.details) == ("no", None, "Message: no, StackTrace: File x")


@pytest.mark.parametrize(
    "value",
    [JsonText("null"), JsonText("[1]"), JsonText("not json"), None, JsonText('{"isDone":true,"schemaVersion":2,"actions":[[],[]]}')],
)
def test_what_is_no_state_is_a_failure_with_a_reason(value: Any) -> None:
    answer = read_answer("o", Succeeded(return_value=value))
    assert answer.reason is not None
    assert answer.reason.startswith("Orchestrator function 'o' failed: ")


def test_links_have_the_recorded_form() -> None:
    links = Links(hub="H", connection="Storage", system_key="k=").check_status("http://h:1", "a b")
    assert (
        links["sendEventPostUri"]
        == "http://h:1/runtime/webhooks/durabletask/instances/a+b/raiseEvent/{eventName}?taskHub=H&connection=Storage&code=k%3D"
    )
    assert "rewindPostUri" not in links
    binding = json.loads(
        Links(hub="H", connection="Storage", system_key="k").client_binding("http://h:1", "http://127.0.0.1:2/durabletask/", {})
    )
    assert (binding["taskHubName"], binding["connectionName"], binding["rpcBaseUrl"]) == ("H", None, "http://127.0.0.1:2/durabletask/")
    assert binding["managementUrls"]["id"] == "INSTANCEID"
    assert "rewindPostUri" in binding["managementUrls"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither AccountKey nor SharedAccessSignature"),
        ("AccountName=a;AccountKey=%%%", "not base64"),
        ("AccountKey=YQ==", "no AccountName"),
    ],
)
def test_a_bad_connection_string_is_explained_without_its_key(text: str, message: str) -> None:
    with pytest.raises(BadConnectionString, match=message) as caught:
        StorageAccount.from_connection_string(text)
    assert "%%%" not in str(caught.value)


def test_endpoints_are_made_from_the_parts() -> None:
    account = StorageAccount.from_connection_string(
        "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=YQ==;EndpointSuffix=core.example.net"
    )
    assert account.endpoints["table"] == "https://acc.table.core.example.net"
    local = StorageAccount.from_connection_string("UseDevelopmentStorage=true")
    assert local.endpoints["blob"] == "http://127.0.0.1:10000/devstoreaccount1"
