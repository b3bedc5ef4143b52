"""host.json, local.settings.json and the environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from devhost.durations import parse_timespan
from devhost.jsonc import SettingsError
from devhost.settings import HostSettings, load_settings


def load(folder: Path, host: Any = None, local: Any = None, **environment: str) -> HostSettings:
    (folder / "host.json").write_text(host if isinstance(host, str) else json.dumps({"version": "2.0", **(host or {})}), encoding="utf-8")
    if local is not None:
        (folder / "local.settings.json").write_text(json.dumps(local), encoding="utf-8")
    return load_settings(folder, environment)


def test_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.http.route_prefix, settings.function_timeout, settings.functions) == ("api", 1800.0, None)
    assert (settings.queues.batch_size, settings.queues.new_batch_threshold, settings.queues.max_polling_interval) == (16, 8, 60.0)


def test_comments_are_allowed_but_not_inside_strings(tmp_path: Path) -> None:
    text = '{ // first\n "version": "2.0", /* and\n more */ "extensions": {"http": {"routePrefix": "a//b"}} }'
    assert load(tmp_path, text).http.route_prefix == "a//b"


def test_the_environment_overrides_host_json_whatever_the_case(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        {"extensions": {"http": {"routePrefix": "v1"}, "durableTask": {"hubName": "One"}}},
        AzureFunctionsJobHost__extensions__durableTask__HubName="Two",
        AzureFunctionsJobHost__extensions__http__routePrefix="",
        AzureFunctionsJobHost__extensions__queues__batchSize="4",
        AzureFunctionsJobHost__functionTimeout="-1",
    )
    assert settings.durable_task == {"hubName": "Two"}
    assert (settings.http.route_prefix, settings.queues.batch_size, settings.function_timeout) == ("", 4, None)


def test_values_fill_what_the_environment_leaves_empty(tmp_path: Path) -> None:
    local = {
        "IsEncrypted": False,
        "Values": {"A": "file", "B": "file", "C": "", "D": None, "E": 5},
        "ConnectionStrings": {"Db": "x"},
        "Host": {"LocalHttpPort": 7099, "CORS": "*"},
    }
    settings = load(tmp_path, None, local, A="environment", B="")
    assert {name: settings.environment.get(name) for name in ("A", "B", "C", "D", "E", "ConnectionStrings__Db")} == {
        "A": "environment", "B": "file", "C": "", "D": None, "E": "5", "ConnectionStrings__Db": "x",
    }  # fmt: skip
    assert (settings.local.port, settings.local.cors) == (7099, ("*",))


def test_placeholders_and_connections(tmp_path: Path) -> None:
    settings = load(tmp_path, QUEUE="work", AzureWebJobsOther="one", Plain="two", ConnectionStrings__Third="three")
    assert settings.expand("%QUEUE%-in", "the queue") == "work-in"
    assert [settings.connection(name, "x") for name in ("Other", "Plain", "Third")] == ["one", "two", "three"]
    with pytest.raises(SettingsError, match="the queue uses %NONE%, but no app setting has that name"):
        settings.expand("%NONE%", "the queue")
    with pytest.raises(SettingsError, match="the app setting AzureWebJobsStorage, a storage connection string, is not set"):
        settings.connection(None, "the queue")


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("{", "host.json is not valid JSON: Expecting property name enclosed in double quotes (line 1, column 2)"),
        ("[]", "host.json has to be a JSON object, not an array"),
        ({"version": "1"}, 'host.json: version has to be "2.0", not "1"'),
        ({"extensions": []}, "host.json: extensions has to be an object, not an array"),
        ({"extensions": {"http": {"routePrefix": 5}}}, "host.json: extensions.http.routePrefix has to be a string, not a number"),
        ({"extensions": {"queues": {"batchSize": 33}}}, "host.json: extensions.queues.batchSize has to be a whole number from 1 to 32, not 33"),
        ({"extensions": {"queues": {"visibilityTimeout": "5"}}},
         'host.json: extensions.queues.visibilityTimeout has to be a time span such as "00:05:00" (hh:mm:ss), not "5"'),
        ({"extensions": {"queues": {"messageEncoding": "utf8"}}},
         "host.json: extensions.queues.messageEncoding has to be \"base64\" or \"none\", not 'utf8'"),
        ({"functions": "a"}, "host.json: functions has to be an array of function names"),
        ({"functionTimeout": "00:00:00"},
         'host.json: functionTimeout has to be at least one second ("00:00:01") or "-1" for none, not "00:00:00"'),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named_with_its_path(tmp_path: Path, host: Any, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        load(tmp_path, host)
    assert str(error.value) == message


def test_encrypted_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="IsEncrypted is true"):
        load(tmp_path, None, {"IsEncrypted": True})


def test_a_folder_without_host_json_is_no_app(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no host\.json in"):
        load_settings(tmp_path, {})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:05:00", 300.0), ("1.02:03:04.5", 93784.5), ("10:00", 36000.0), ("24:00:00", None), ("5", None), ("00:60:00", None), ("", None)],
)
def test_time_spans(text: str, seconds: float | None) -> None:
    assert parse_timespan(text) == seconds


def test_the_host_id_is_stable_and_short(tmp_path: Path) -> None:
    first, again = load(tmp_path).host_id, load(tmp_path).host_id
    assert first == again == first.lower()
    assert len(first) <= 32
    assert load(tmp_path, AzureFunctionsWebHost__hostid="Mine").host_id == "mine"
