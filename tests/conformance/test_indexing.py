"""Checklist 1 to 8, indexing: what an app's functions are, what is refused, and the settings around them."""

# The Durable SDK ships no types, so its decorators make functions untyped.
# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import pytest

from devhost.keys import DURABLE_SYSTEM_KEY
from tests.conformance.conftest import app_settings, copy_of_app
from tests.conformance.target import WEB_HOOK, Target
from tests.devhost.durable.rig import fresh_hub
from tests.devhost.shell.support import HEADER, run_command, running, write_app

pytestmark = [pytest.mark.conformance, pytest.mark.e2e, pytest.mark.timeout(120)]

OK = "    return func.HttpResponse('ok')\n"


def test_item_01_bindings_of_every_trigger() -> None:
    app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

    def named(name: str) -> Any:
        def function(**_: Any) -> None: ...

        function.__name__ = name
        return function

    app.route(route="a/{b}", methods=["POST"], trigger_arg_name="req")(named("route"))
    app.route()(named("plain"))
    app.timer_trigger(arg_name="t", schedule="* * * * * *", run_on_startup=True, use_monitor=False)(named("timer"))
    app.queue_trigger(arg_name="m", queue_name="q", connection="C")(named("queue"))
    app.queue_output(arg_name="q", queue_name="q", connection="C")(app.route(route="out")(named("out")))
    app.blob_trigger(arg_name="b", path="c/{n}", connection="C")(named("blob"))
    app.orchestration_trigger(context_name="context", orchestration="O")(named("orchestrator"))
    app.activity_trigger(input_name="x")(named("activity"))
    app.entity_trigger(context_name="context", entity_name="E")(named("entity"))
    functions = app.get_functions()
    found = {f.get_function_name(): [json.loads(text) for text in f.get_raw_bindings()] for f in functions}
    http = {"direction": "IN", "type": "httpTrigger", "name": "req", "authLevel": "FUNCTION"}
    http_out = {"direction": "OUT", "type": "http", "name": "$return"}
    timer = {"direction": "IN", "type": "timerTrigger", "name": "t", "schedule": "* * * * * *", "runOnStartup": True, "useMonitor": False}
    queue = {"queueName": "q", "connection": "C"}
    expected: dict[str, list[dict[str, Any]]] = {
        "route": [{**http, "methods": ["POST"], "route": "a/{b}"}, http_out],
        "plain": [{**http, "route": "plain"}, http_out],
        "timer": [timer],
        "queue": [{"direction": "IN", "type": "queueTrigger", "name": "m", **queue}],
        "out": [{**http, "route": "out"}, http_out, {"direction": "OUT", "type": "queue", "name": "q", **queue}],
        "blob": [{"direction": "IN", "type": "blobTrigger", "name": "b", "path": "c/{n}", "connection": "C"}],
        "orchestrator": [{"direction": "IN", "type": "orchestrationTrigger", "name": "context", "orchestration": "O"}],
        "activity": [{"direction": "IN", "type": "activityTrigger", "name": "x"}],
        "entity": [{"direction": "IN", "type": "entityTrigger", "name": "context", "entityName": "E"}],
    }
    assert {name: sorted(bindings, key=str) for name, bindings in found.items()} == {
        name: sorted(bindings, key=str) for name, bindings in expected.items()
    }
    with pytest.raises(ValueError, match="does not have a unique function name"):
        app.get_functions()


def test_item_01_the_client_binding() -> None:
    app = df.DFApp()

    @app.route()
    @app.durable_client_input(client_name="client", task_hub="H", connection_name="C")
    async def starter(req: func.HttpRequest, client: Any) -> None: ...

    bindings = {binding["name"]: binding for binding in map(json.loads, app.get_functions()[0].get_raw_bindings())}
    assert bindings["client"] == {"direction": "IN", "type": "durableClient", "name": "client", "taskHub": "H", "connectionName": "C"}
    assert bindings["req"]["route"] == "starter"


@pytest.mark.parametrize(
    ("source", "text"),
    [("other = func.FunctionApp()\n", "more than one app object: app, other"), ("del app\n", "no app object"),
     ("alias = app\n", "more than one app object: app, alias")],
)  # fmt: skip
def test_item_02_one_app_object(tmp_path: Path, source: str, text: str) -> None:
    result = run_command("start", "--app", str(write_app(tmp_path / "app", source)), "--port", "0")
    assert result.returncode == 1
    assert text in result.stderr


def test_item_02_the_scripts_name(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", "raise RuntimeError('not this one')\n")
    (app / "other_name.py").write_text(HEADER + "@app.route(route='x')\ndef x(req: func.HttpRequest) -> func.HttpResponse:\n" + OK)
    with running(app, settings={"PYTHON_SCRIPT_FILE_NAME": "other_name.py"}) as host:
        assert host.get("/api/x").text == "ok"
    bad = run_command("start", "--app", str(app), "--port", "0", settings={"PYTHON_SCRIPT_FILE_NAME": "no.script"})
    assert (bad.returncode, "PYTHON_SCRIPT_FILE_NAME='no.script'" in bad.stderr) == (1, True)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [("req: func.HttpRequest, extra=1", "declared in Python but not in the function definition"),
     ("req: func.HttpRequest | None", "has invalid non-type annotation"), ("req: list[str]", "has invalid non-type annotation")],
)  # fmt: skip
def test_item_03_signatures_that_stop_the_whole_app(tmp_path: Path, parameters: str, text: str) -> None:
    good = f"@app.route(route='good')\ndef good(req: func.HttpRequest) -> func.HttpResponse:\n{OK}"
    app = write_app(tmp_path / "app", f"{good}@app.route(route='bad')\ndef bad({parameters}) -> func.HttpResponse:\n{OK}")
    result = run_command("start", "--app", str(app), "--port", "0")
    assert result.returncode == 1
    assert text in result.stderr
    assert "cannot load the bad function" in result.stderr


def test_item_04_functions_in_error_leave_the_others_alone(tmp_path: Path) -> None:
    def route(name: str, route: str, parameter: str = "req", decorator: str = "") -> str:
        arguments = f"route={route!r}, trigger_arg_name={parameter!r}{decorator}"
        return f"@app.route({arguments})\ndef {name}({parameter}: func.HttpRequest) -> func.HttpResponse:\n{OK}"

    source = (
        route("hello", "same") + route("later", "SAME") + route("posts", "mine", decorator=", methods=['POST']")
        + route("reads", "mine", decorator=", methods=['GET']") + route("built_in", "administration") + route("hooks", "runtimes/x")
        + route("under", "under", "a__b") + route("snake", "snake", "snake_case") + "@app.function_name('host')\n" + route("h", "h")
        + "@app.timer_trigger(arg_name='t', schedule='every now and then')\ndef odd_timer(t: func.TimerRequest) -> None: ...\n"
        + "@app.timer_trigger(arg_name='t', schedule='%NOT_SET%')\ndef no_setting(t: func.TimerRequest) -> None: ...\n"
    )  # fmt: skip
    with running(write_app(tmp_path / "app", source)) as host:
        assert [host.get(f"/api/{path}").status for path in ("same", "mine", "snake")] == [200] * 3
        assert host.request("POST", "/api/mine").status == 200
        assert [host.get(f"/api/{path}").status for path in ("administration", "runtimes/x", "under", "h")] == [404] * 4
        texts = {
            "later": "The route specified conflicts with the route defined by function 'hello'.",
            "built_in": "The specified route conflicts with one or more built in routes.",
            "hooks": "The specified route conflicts with one or more built in routes.",
            "under": "The binding name a__b is invalid. Please assign a valid name to the binding.",
            "host": "'host' is not a valid function name.",
        }
        for name, text in texts.items():
            assert f"fail: The '{name}' function is in error: {text}" in host.log, name
            assert host.get(f"/admin/functions/{name}/status").json() == {"errors": [text]}
        for name in ("odd_timer", "no_setting"):
            assert f"The '{name}' function is in error: " in host.log
        assert host.get("/admin/functions/hello/status").json() == {}


def test_item_05_settings_and_the_environment(target: Target) -> None:
    assert target.get("/api/environment/CONFORMANCE_TEXT").json() == "from local.settings.json"
    assert target.get("/api/environment/CONFORMANCE_EMPTY").json() == ""


def test_item_05_the_environment_wins_unless_empty(tmp_path: Path) -> None:
    source = (
        "import json, os\n@app.route(route='env')\ndef env(req: func.HttpRequest) -> func.HttpResponse:\n"
        "    return func.HttpResponse(json.dumps({name: os.environ.get(name) for name in ('A', 'B', 'C', 'D')}))\n"
    )
    app = write_app(tmp_path / "app", source, settings={"A": "file", "B": "file", "C": "", "D": None})
    with running(app, settings={"A": "environment", "B": ""}) as host:
        assert host.get("/api/env").json() == {"A": "environment", "B": "file", "C": "", "D": None}


def test_item_06_disabled_functions(target: Target) -> None:
    assert target.get("/api/disabled").status == 404
    described = target.get("/admin/functions/disabled_route", **{"x-functions-key": target.code}).json()
    assert described["isDisabled"] is True
    instance = target.start("c_calls", None, {"activity": "disabled_activity"})
    target.wait(instance, until=("Running",))
    target.stays(instance, "Running", seconds=1)  # an unknown name to the engine: it hangs
    target.post(instance, "terminate?reason=end")


def test_item_07_host_json_is_overridden_by_the_environment(tmp_path: Path, storage: str) -> None:
    hub = fresh_hub()
    settings = {
        **app_settings(storage),
        "AzureFunctionsJobHost__extensions__durableTask__hubName": hub,
        "AzureFunctionsJobHost__extensions__http__routePrefix": "over",
    }
    with running(copy_of_app(tmp_path), settings=settings) as host:
        found = host.get("/over/binding").json()
        assert f"taskHub={hub}&" in found["payload"]["statusQueryGetUri"]


def test_item_08_settings_in_percent_signs(tmp_path: Path, storage: str) -> None:
    hub = fresh_hub()
    source = (
        "import azure.durable_functions as df\napp = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)\nseen = []\n"
        "@app.timer_trigger(arg_name='t', schedule='%WHEN%')\ndef tick(t: func.TimerRequest) -> None:\n    seen.append('timer')\n"
        "@app.queue_trigger(arg_name='m', queue_name='%QUEUE%', connection='AzureWebJobsStorage')\n"
        "def work(m: func.QueueMessage) -> None:\n    seen.append(m.get_body().decode())\n"
        "@app.route(route='put', methods=['POST'])\n"
        "@app.queue_output(arg_name='q', queue_name='%QUEUE%', connection='AzureWebJobsStorage')\n"
        "def put(req: func.HttpRequest, q: func.Out[str]) -> func.HttpResponse:\n    q.set('message')\n" + OK
        + "@app.route(route='seen')\n@app.durable_client_input(client_name='client')\n"
        "async def show(req: func.HttpRequest, client) -> func.HttpResponse:\n"
        "    hub = client.create_http_management_payload('i')['statusQueryGetUri'].split('taskHub=')[1].split('&')[0]\n"
        "    return func.HttpResponse(' '.join([hub, *sorted(set(seen))]))\n"
        "@app.orchestration_trigger(context_name='context')\ndef o(context):\n    yield\n"
    )  # fmt: skip
    host_json = {"extensions": {"durableTask": {"hubName": "%HUB%"}, "queues": {"maxPollingInterval": "00:00:01"}}}
    app = write_app(tmp_path / "app", source, host=host_json)
    settings = {"WHEN": "* * * * * *", "QUEUE": hub.lower(), "HUB": hub}
    with running(app, "--storage", storage, settings=settings) as host:
        own = Target(f"http://127.0.0.1:{host.port}")
        assert host.request("POST", "/api/put").status == 200
        own.until(lambda: host.get("/api/seen").text == f"{hub} message timer", what="both", explain=lambda: host.get("/api/seen").text)
        assert own.get(f"{WEB_HOOK}/instances").status == 200
        assert DURABLE_SYSTEM_KEY in json.dumps(own.get("/admin/host/systemkeys").json())
    assert "HUB" not in os.environ
