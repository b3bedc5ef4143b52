"""The host's endpoints below `/admin`, and the commands beside `start`."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

import pytest

from devhost.storage.account import StorageAccount
from devhost.timeline import timeline
from tests.devhost.shell.support import run_command, running, wait_until, write_app

APP = """
import logging
@app.route(route="hello/{name?}", auth_level="function")
def hello(req: func.HttpRequest) -> func.HttpResponse:
    logging.info("called with %s %s", req.method, req.get_body())
    return func.HttpResponse("hello")

@app.timer_trigger(arg_name="t", schedule="0 0 0 1 1 *")
def tick(t: func.TimerRequest) -> None:
    logging.info("ticked %s", t.past_due)

@app.function_name("bad__name")
@app.route(route="bad")
def bad_binding(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("fine: only binding names may not have two underscores")

@app.route(route="worse", trigger_arg_name="a__b")
def worse(a__b: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("never")
"""

JSON = {"Content-Type": "application/json"}


def test_admin_endpoints(tmp_path: Path) -> None:
    with running(write_app(tmp_path / "app", APP)) as host:
        assert host.get("/admin/host/status").json().keys() == {
            "id", "state", "version", "versionDetails", "platformVersion", "instanceId", "computerName", "processUptime",
            "functionAppContentEditingState",
        }  # fmt: skip
        described = host.get("/admin/functions/HELLO").json()
        assert described["name"] == "hello"
        assert described["config"]["bindings"][0]["route"] == "hello/{name?}"
        assert described["invoke_url_template"] == f"http://127.0.0.1:{host.port}/api/hello/{{name?}}"
        assert host.get("/admin/functions/worse/status").json() == {
            "errors": ["The binding name a__b is invalid. Please assign a valid name to the binding."]
        }
        assert host.get("/api/worse").status == 404
        assert host.get("/api/bad").status == 200
        assert host.get("/admin/functions/none/status").status == 404
        assert host.get("/admin/host/drain/status").json() == {"state": "Disabled", "outstandingInvocations": 0, "outstandingRetries": 0}
        assert host.get("/admin/host/config").headers["content-type"] == "text/plain; charset=utf-8"
        assert [host.get(path).status for path in ("/admin/warmup", "/admin/vfs/", "/admin", "/admin/nothing")] == [200, 403, 404, 404]
        assert host.request("POST", "/admin/host/synctriggers").json() == {"status": "Invalid environment for SyncTriggers operation."}


def test_functions_are_run_in_the_background_by_hand(tmp_path: Path) -> None:
    with running(write_app(tmp_path / "app", APP)) as host:
        assert host.request("POST", "/admin/functions/tick", "{}", JSON).status == 202
        host.wait_for_log("ticked False")
        assert host.request("POST", "/admin/functions/hello", '{"input": "by hand"}', JSON).status == 202
        host.wait_for_log("called with POST b'by hand'")
        assert host.request("POST", "/admin/functions/hello", "{}").status == 415
        assert host.request("POST", "/admin/functions/none", "{}").status == 415
        assert host.request("POST", "/admin/functions/none", "{}", JSON).status == 404


def test_keys_are_kept_over_a_restart_and_the_levels_hold(tmp_path: Path) -> None:
    app, keys = write_app(tmp_path / "app", APP), tmp_path / "state" / "keys.json"
    options = ("--enable-auth", "--keys", str(keys))
    with running(app, *options) as host:
        master = json.loads(keys.read_text())["masterKey"]
        assert keys.stat().st_mode & 0o077 == 0
        auth = {"x-functions-key": master}
        made = host.request("PUT", "/admin/functions/hello/keys/mine", '{"name": "mine", "value": "v"}', {**auth, **JSON})
        assert (made.status, made.headers["location"]) == (201, f"http://127.0.0.1:{host.port}/admin/functions/hello/keys/mine")
        system = host.request("PUT", "/admin/host/systemkeys/ext", '{"value": "s"}', {**auth, **JSON})
        assert system.status == 201
        assert host.get("/api/hello?code=v").status == 200
        assert host.get("/api/hello?code=s").status == 401
        assert host.get("/admin/host/status?code=v").status == 401
        assert host.get("/admin/host/status?code=s").status == 403
        assert [host.get(f"/runtime/webhooks/none/x{query}").status for query in ("", f"?code={master}")] == [401, 404]
    with running(app, *options) as host:
        assert host.get("/api/hello?code=v").status == 200
        assert host.request("DELETE", "/admin/functions/hello/keys/mine", headers={"x-functions-key": master}).status == 204
        assert host.get("/api/hello?code=v").status == 401


def test_check_reports_everything_and_says_so_with_its_exit_code(tmp_path: Path) -> None:
    source = """
@app.route(route="same")
def one(req: func.HttpRequest): ...
@app.route(route="SAME")
def two(req: func.HttpRequest): ...
@app.timer_trigger(arg_name="t", schedule="%NOT_SET%")
def three(t: func.TimerRequest): ...
@app.timer_trigger(arg_name="t", schedule="* * *")
def four(t: func.TimerRequest): ...
@app.queue_trigger(arg_name="m", queue_name="Bad_Name", connection="Nowhere")
@app.retry(strategy="fixed_delay", max_retry_count="x", delay_interval="1")
def five(m: str): ...
@app.event_hub_message_trigger(arg_name="e", event_hub_name="h", connection="C")
def six(e: func.EventHubEvent): ...
@app.orchestration_trigger(context_name="context")
def seven(context): ...
"""
    result = run_command("check", "--app", str(write_app(tmp_path / "app", source)))
    assert result.returncode == 1, result.stderr
    for line in (
        "error: two: The route specified conflicts with the route defined by function 'one'.",
        "error: three: schedule uses %NOT_SET%, but no app setting has that name; set it in local.settings.json or the environment",
        "error: four: the schedule '* * *' has 3 fields; a timer needs six: second minute hour day month day-of-week",
        "error: five: max_retry_count of its retry policy has to be a whole number, -1 for ever; not 'x'",
        "warning: seven: the orchestrator is not a generator function (it has no yield), so it can schedule nothing",
        "error: AzureWebJobsStorage is not set, but the app has triggers other than HTTP; UseDevelopmentStorage=true is Azurite",
    ):
        assert line in result.stdout.splitlines()
    assert "error: six: The binding type(s) 'eventHubTrigger' are not supported by this host" in result.stdout


def test_check_of_a_sound_app_says_nothing_but_so(tmp_path: Path) -> None:
    source = "@app.route()\ndef hello(req: func.HttpRequest) -> func.HttpResponse: ...\n"
    app = write_app(tmp_path / "app", source)
    result = run_command("check", "--app", str(app), "--json")
    assert (result.returncode, json.loads(result.stdout)) == (0, {"functions": 1, "findings": []})
    assert run_command("check", cwd=app).stdout == "1 function, 0 errors, 0 warnings\n"


DURABLE = """
import azure.durable_functions as df
app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.activity_trigger(input_name="x")
def double(x: int) -> int:
    return 2 * x

@app.orchestration_trigger(context_name="context")
def doubled(context):
    results = yield context.task_all([context.call_activity("double", n) for n in range(3)])
    return results

@app.route(route="go")
@app.durable_client_input(client_name="client")
async def go(req: func.HttpRequest, client) -> func.HttpResponse:
    instance = await client.start_new("doubled", "the-one")
    return client.create_check_status_response(req, instance)
"""


@pytest.mark.e2e
def test_an_orchestration_runs_and_the_instances_command_shows_it(tmp_path: Path, storage: str) -> None:
    app = write_app(tmp_path / "app", DURABLE, host={"extensions": {"durableTask": {"hubName": "ShellInstances"}}})
    with running(app, "--storage", storage) as host:
        url = ("instances", "--url", f"http://127.0.0.1:{host.port}")
        started = host.get("/api/go")
        assert started.status == 202
        status_path = started.json()["statusQueryGetUri"].partition(f":{host.port}")[2]
        wait_until(lambda: host.get(status_path).status == 200, what="end of the orchestration", explain=lambda: host.log)
        assert host.get(status_path).json()["output"] == [0, 2, 4]
        assert host.ready["rpc_port"]
        listed = run_command(*url, "list").stdout.splitlines()
        assert listed[0].split() == ["INSTANCE", "NAME", "STATUS", "CREATED", "UPDATED"]
        assert listed[1].split()[:3] == ["the-one", "doubled", "Completed"]
        shown = run_command(*url, "show", "the-one").stdout
        assert shown.startswith("the-one  doubled  Completed\n")
        assert shown.count("activity completed double") == 3
        assert run_command(*url, "show", "other").stderr.startswith("devhost: There is no instance 'other'")
        assert run_command(*url, "purge", "the-one").stdout == "1 instances purged.\n"
        assert run_command(*url, "purge", "the-one").returncode == 1


@pytest.mark.e2e
def test_a_second_host_on_one_task_hub_is_refused_in_one_sentence(tmp_path: Path, storage: str) -> None:
    host_json = {"extensions": {"durableTask": {"hubName": "ShellSecond"}}}
    first, second = (write_app(tmp_path / name, DURABLE, host=host_json) for name in ("one", "two"))
    with running(first, "--storage", storage):
        result = run_command("start", "--app", str(second), "--port", "0", "--storage", storage)
    assert result.returncode == 5
    assert len(result.stderr.splitlines()) == 1
    assert "ShellSecond" in result.stderr


@pytest.mark.e2e
def test_a_host_whose_task_hub_is_taken_away_stops_and_says_why(tmp_path: Path, storage: str) -> None:
    app = write_app(tmp_path / "app", DURABLE, host={"extensions": {"durableTask": {"hubName": "ShellLost"}}})

    async def take_it_away() -> None:
        account = StorageAccount.from_connection_string(storage)
        try:
            place = ("shelllost-applease", "devhost-owner")
            assert await account.blobs.lease(*place, "break")
            assert await account.blobs.lease(*place, "acquire", lease=str(uuid.uuid4()), seconds=60)
        finally:
            await account.close()

    with running(app, "--storage", storage) as host:
        asyncio.run(take_it_away())
        assert host.process.wait(timeout=40) == 5
        assert "has been taken by another host while this one could not renew its lease" in host.log
        assert host.log.rstrip().endswith(
            "devhost: The task hub of this host is another's now, or gone (the error above says which); stopping."
        )


def test_nobody_there_is_one_sentence() -> None:
    result = run_command("instances", "--url", "http://127.0.0.1:1", "list")
    assert result.returncode == 1
    assert result.stderr.startswith("devhost: No host answers at http://127.0.0.1:1 (")
    assert "Traceback" not in result.stderr


def test_a_timeline_tells_what_happened_and_when() -> None:
    events = [
        {"EventType": "ExecutionStarted", "FunctionName": "o", "Timestamp": "2024-01-01T00:00:00Z", "Input": '{"a": 1}'},
        {"EventType": "TaskCompleted", "FunctionName": "a", "Timestamp": "2024-01-01T00:00:01.5Z", "ScheduledTime": "2024-01-01T01:00:01+01:00",
         "Result": [1]},
        {"EventType": "TaskFailed", "FunctionName": "b", "Timestamp": "2024-01-01T00:00:02Z", "Reason": "no\nluck"},
        {"EventType": "TimerCreated", "FireAt": "2024-01-01T00:00:09Z", "Timestamp": "2024-01-01T00:00:03Z"},
        {"EventType": "ExecutionCompleted", "OrchestrationStatus": "Failed", "Result": "x" * 200, "Timestamp": "2024-01-01T00:00:04Z"},
    ]  # fmt: skip
    instance = {
        "instanceId": "i",
        "name": "o",
        "runtimeStatus": "Failed",
        "createdTime": "c",
        "lastUpdatedTime": "u",
        "historyEvents": events,
    }
    assert list(timeline(instance)) == [
        "i  o  Failed",
        "  createdTime: c",
        "  lastUpdatedTime: u",
        '      0.000 s  started o  <- {"a": 1}',
        "      1.500 s  activity completed a  0.500 s  -> [1]",
        "      2.000 s  ACTIVITY FAILED b  ! no luck",
        "      3.000 s  timer set  for 2024-01-01T00:00:09Z",
        f"      4.000 s  ended  Failed -> {'x' * 99}…",
    ]
