"""Checklist 67 to 76, HTTP and RPC surface: every endpoint of the management API, its codes, headers and bodies; the Durable client over it."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import urllib.parse
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest
from aiohttp import web

from tests.conformance.target import Target
from tests.devhost.shell.support import Reply, RunningHost, running, write_app

pytestmark = [pytest.mark.conformance, pytest.mark.e2e, pytest.mark.timeout(120)]

JSON = "application/json; charset=utf-8"
LINKS = [
    "id", "statusQueryGetUri", "sendEventPostUri", "terminatePostUri", "purgeHistoryDeleteUri", "restartPostUri", "suspendPostUri",
    "resumePostUri",
]  # fmt: skip
STATUS = ["name", "instanceId", "runtimeStatus", "input", "customStatus", "output", "createdTime", "lastUpdatedTime"]
STARTS = "POST"


def finished(target: Target) -> str:
    instance = target.start("o_chain")
    target.wait(instance)
    return instance


def waiting(target: Target, label: str = "wait") -> str:
    instance = target.start("o_event", target.new_id(label))
    target.wait(instance, until=("Running",))
    return instance


def suspended(target: Target) -> str:
    instance = waiting(target)
    target.post(instance, "suspend?reason=hold")
    target.wait(instance, until=("Suspended",))
    return instance


def error(reply: Reply) -> tuple[int, str, str]:
    found = reply.json()
    assert list(found) == ["Message", "ExceptionMessage", "ExceptionType", "StackTrace"]
    return reply.status, found["Message"], found["ExceptionMessage"]


WRONG_ARGUMENT = "One or more of the arguments submitted is incorrect"
WRONG = "Something went wrong while processing your request"


# 67: every row of 5.2


def test_item_67_a_start(target: Target) -> None:
    instance = target.new_id("start é +%")
    reply = target.manage("POST", f"/orchestrators/O_CHAIN/{urllib.parse.quote(instance, safe='')}")
    assert (reply.status, reply.headers["content-type"], reply.headers["retry-after"]) == (202, JSON, "10")
    links = reply.json()
    assert list(links) == LINKS
    assert links["id"] == instance
    assert reply.headers["location"] == links["statusQueryGetUri"]
    assert reply.headers["content-length"] == str(len(reply.body))
    for name, url in list(links.items())[1:]:
        parts = urllib.parse.urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}" == target.base, name
        assert list(urllib.parse.parse_qs(parts.query))[-3:] == ["taskHub", "connection", "code"], name
        shown = parts.path.split("/instances/")[1].split("/")[0]
        assert "start+%C3%A9+%2B%25-" in shown, "encoded as a form is: a blank is a plus"
        assert urllib.parse.unquote_plus(shown) == instance
    assert target.wait(instance)["output"] == [1, 2, 3]
    unnamed = target.manage("POST", "/orchestrators/o_chain/")
    assert len(unnamed.json()["id"]) == 32


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/orchestrators/o_chain/%40x", "instanceId (Parameter 'Orchestration instance ids must not start with @.')"),
        *(
            (
                f"/orchestrators/o_chain/a{escape}b",
                "instanceId (Parameter 'Orchestration instance ids must not contain /, \\, #, ?, or control characters.')",
            )
            for escape in ("%23", "%3F", "%5C", "%01")
        ),
        (
            "/orchestrators/o_nope",
            "The function 'o_nope' doesn't exist, is disabled, or is not an orchestrator function. Additional info: ",
        ),
        (f"/orchestrators/o_chain/{'x' * 257}", "Instance ID lengths must not exceed 256 characters."),
        ("/orchestrators/o_chain/slow?timeout=1&pollingInterval=2", "Total timeout 1 should be bigger than retry timeout 2"),
    ],
)
def test_item_67_a_start_that_is_refused(target: Target, path: str, text: str) -> None:
    status, message, found = error(target.manage("POST", path))
    assert (status, message) == (400, WRONG_ARGUMENT)
    assert text in found


def test_item_67_ids_that_are_allowed(target: Target) -> None:
    for instance in ("a b", "a+b", "a%b", "a'b", "aéb☃", "x" * 101):
        named = target.new_id(instance)
        assert target.wait(target.start("o_chain", named))["instanceId"] == named
    slash = target.manage("POST", f"/orchestrators/o_chain/{target.new_id('x')}%2Fa").json()["id"]
    assert slash.endswith("%2Fa")


def test_item_67_bodies_of_a_start(target: Target) -> None:
    status, message, _ = error(target.manage("POST", "/orchestrators/o_chain", raw=b"not json"))
    assert (status, message) == (400, "Invalid JSON content")
    reply = target.manage("POST", "/orchestrators/o_chain", raw=b"{1:}", headers={"Content-Type": "text/plain"})
    assert reply.json()["ExceptionType"] == "Newtonsoft.Json.JsonReaderException"
    instance = target.new_id()
    assert (
        target.manage("POST", f"/orchestrators/o_no_yield/{instance}", raw=b'{"a": 1}', headers={"Content-Type": "text/plain"}).status
        == 202
    )
    assert target.wait(instance)["input"] == {"a": 1}


def test_item_67_a_status(target: Target) -> None:
    instance = waiting(target)
    path = f"/instances/{instance}?showInput=false"
    reply = target.manage("GET", path)
    assert (reply.status, reply.headers["content-type"], reply.headers["retry-after"]) == (202, JSON, "5")
    assert reply.headers["location"].startswith(f"{target.base}/runtime/webhooks/durabletask/instances/{instance}?showInput=false")
    target.raise_event(instance, "go", 1)
    target.wait(instance)
    reply = target.manage("GET", f"/instances/{instance}")
    assert (reply.status, "location" in reply.headers, "retry-after" in reply.headers) == (200, False, False)
    failed = target.start("o_error")
    target.wait(failed)
    assert target.manage("GET", f"/instances/{failed}").status == 200
    assert target.manage("GET", f"/instances/{failed}?returnInternalServerErrorOnFailure=True").status == 500
    assert target.manage("GET", f"/instances/{failed}?returnInternalServerErrorOnFailure=yes").status == 200


def test_item_67_a_purge(target: Target) -> None:
    instance = finished(target)
    reply = target.manage("DELETE", f"/instances/{instance}")
    assert (reply.status, reply.body) == (200, b'{"instancesDeleted":1}')
    again = target.manage("DELETE", f"/instances/{instance}")
    assert (again.status, again.body) == (404, b"")
    for query in ("", "?createdTimeFrom=never", "?runtimeStatus=Completed"):
        missing = target.manage("DELETE", f"/instances{query}")
        assert (missing.status, missing.json()) == (400, "Please provide value for 'createdTimeFrom' parameter.")
    none = target.manage("DELETE", "/instances/?createdTimeFrom=2001-01-01T00:00:00Z&createdTimeTo=2001-01-02T00:00:00Z")
    assert (none.status, none.body) == (404, b"")


def test_item_67_events(target: Target) -> None:
    instance = waiting(target)
    reply = target.manage("POST", f"/instances/{instance}/RAISEEVENT/go", {"a": 1})
    assert (reply.status, reply.body) == (202, b"")
    assert target.wait(instance)["output"] == {"a": 1}


def test_item_67_terminate_suspend_resume(target: Target) -> None:
    instance = waiting(target)
    for operation, status in (
        ("Suspend?reason=hold%20it", "Suspended"),
        ("resume?reason=go", "Running"),
        ("TERMINATE?reason=b%20c", "Terminated"),
    ):
        reply = target.post(instance, operation)
        assert (reply.status, reply.body) == (202, b"")
        found = target.wait(instance, until=(status,))
        assert found["output"] == {"Suspended": "hold it", "Running": "go", "Terminated": "b c"}[status]
    held, free = suspended(target), waiting(target)
    status_code, message, _ = error(target.post(held, "suspend?reason=again"))
    assert (status_code, message) == (500, WRONG)
    assert error(target.post(free, "resume?reason=x")) == (
        500, WRONG, f"Cannot resume the orchestration instance {free} because instance is in the Running state.",
    )  # fmt: skip
    assert target.post(held, "rewind?reason=x").status == 500
    for name, output in ((held, "hold"), (free, None)):  # without a reason of its own the last one stays
        target.post(name, "terminate")
        assert target.wait(name)["output"] == output


def test_item_67_restart(target: Target) -> None:
    instance = target.start("o_no_yield", None, {"k": 1})
    target.wait(instance)
    reply = target.post(instance, "restart")
    assert (reply.status, reply.headers["retry-after"], list(reply.json())) == (202, "10", LINKS)
    assert reply.headers["location"] == reply.json()["statusQueryGetUri"]
    assert len(reply.json()["id"]) == 32
    same = target.post(instance, "restart?restartWithNewInstanceId=False&timeout=10&pollingInterval=0.2")
    assert (same.status, same.json()) == (200, {"k": 1})
    live = waiting(target)
    status, message, text = error(target.post(live, "restart?restartWithNewInstanceId=false"))
    assert (status, message, text) == (500, WRONG, "An Orchestration instance with the status Running already exists.")


def test_item_67_entities(target: Target) -> None:
    key = target.new_id("Key")
    reply = target.manage("POST", f"/entities/notes/{key}?op=add", raw=json.dumps('"one"').encode())
    assert (reply.status, reply.body) == (202, b"")
    target.until(lambda: target.manage("GET", f"/entities/NOTES/{key}").status == 200, what="a state")
    state = target.manage("GET", f"/entities/Notes/{key}")
    assert (state.headers["content-type"], state.json()) == (JSON, ["one"])
    assert target.manage("GET", f"/entities/notes/{key.lower()}").status == 404  # keys have a case
    assert target.manage("PUT", f"/entities/notes/{key}").status == 404
    assert target.manage("GET", "/entities/no_such/k").status == 404  # only who sends an operation is told of the name
    unknown = target.manage("POST", "/entities/no_such/k?op=x", 1)
    assert unknown.status == 400
    assert list(unknown.json()) == ["Message"]
    assert unknown.json()["Message"].startswith("The function 'no_such' doesn't exist, is disabled, or is not an entity function. ")
    bad = target.manage("POST", f"/entities/notes/{key}?op=add", raw=b"{bad")
    assert (bad.status, bad.json()["Message"][:26]) == (400, "Could not parse JSON conte")
    assert target.manage("DELETE", f"/entities/notes/{key}").status == 202
    listed = target.manage("GET", "/entities/notes?fetchState=true&top=1000").json()
    mine = next(item for item in listed if item["entityId"]["key"] == key)
    assert (list(mine), mine["entityId"], mine["state"]) == (
        ["entityId", "lastOperationTime", "state"], {"name": "notes", "key": key}, ["one"],
    )  # fmt: skip
    plain = target.manage("GET", "/entities?top=1000").json()
    assert key in [item["entityId"]["key"] for item in plain if item["state"] is None]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/orchestrators/o_chain"), ("POST", "/orchestrators"), ("PUT", "/instances"), ("POST", "/instances"), ("GET", "/"),
        ("GET", "/nothing"), ("POST", "/instances/x/nothing"), ("GET", "/instances/x/terminate"), ("POST", "/instances/x/raiseEvent"),
        ("GET", "/instances/x/raiseEvent/go"), ("POST", "/instances/x"), ("OPTIONS", "/instances/none"), ("HEAD", "/instances/none"),
    ],
)  # fmt: skip
def test_item_67_wrong_verbs_and_paths(target: Target, method: str, path: str) -> None:
    reply = target.manage(method, path)
    assert (reply.status, reply.body) == (404, b"")


# 67: every row of 1.10


def test_item_67_the_hosts_own_endpoints(target: Target) -> None:
    key = {"x-functions-key": target.code}
    home = target.get("/")
    assert (home.status, home.headers["content-type"]) == (200, "text/html")
    ping = target.get("/admin/host/ping")
    assert (ping.status, ping.body, ping.headers["cache-control"], ping.headers["pragma"]) == (200, b"", "no-store,no-cache", "no-cache")
    status = target.get("/admin/host/status", **key)
    assert (status.headers["content-type"], status.json()["state"], status.json()["version"]) == (JSON, "Running", "4.1037.0.0")
    assert list(status.json()) == [
        "id", "state", "version", "versionDetails", "platformVersion", "instanceId", "computerName", "processUptime",
        "functionAppContentEditingState",
    ]  # fmt: skip
    function = target.get("/admin/functions/show", **key).json()
    assert list(function) == [
        "name", "script_root_path_href", "script_href", "config_href", "test_data_href", "href", "invoke_url_template", "language", "config",
        "files", "test_data", "isDisabled", "isDirect", "isProxy",
    ]  # fmt: skip
    assert list(function["config"]) == ["name", "entryPoint", "scriptFile", "language", "functionDirectory", "bindings"]
    assert target.get("/admin/functions/show/status", **key).json() == {}
    assert [target.get(f"/admin/functions/{name}", **key).status for name in ("none", "none/status")] == [404, 404]
    json_type = {"Content-Type": "application/json", **key}
    run = target.request("POST", "/admin/functions/show", '{"input": "x"}', json_type)
    assert (run.status, run.body) == (202, b"")
    assert target.request("POST", "/admin/functions/show", "{}", key).status == 415
    assert target.request("POST", "/admin/functions/none", "{}", key).status == 415
    assert target.request("POST", "/admin/functions/none", "{}", json_type).status == 404
    for path in ("/admin/host/keys", "/admin/host/systemkeys", "/admin/functions/show/keys"):
        keys = target.get(path, **key).json()
        assert list(keys) == ["keys", "links"]
        assert (keys["links"][0]["rel"], list(keys["keys"][0])) == ("self", ["name", "value"])
    assert "durabletask_extension" in [item["name"] for item in target.get("/admin/host/systemkeys", **key).json()["keys"]]
    place = f"/admin/functions/show/keys/{target.new_id('k').replace('-', '')}"
    made = target.request("PUT", place, '{"name": "x", "value": "v"}', json_type)
    assert (made.status, "location" in made.headers, list(made.json())) == (201, True, ["name", "value", "links"])
    assert target.request("PUT", place, '{"name": "x", "value": "w"}', json_type).status == 200
    assert [target.request("DELETE", place, headers=key).status for _ in range(2)] == [204, 404]
    assert target.get("/admin/host/drain/status", **key).json() == {
        "state": "Disabled",
        "outstandingInvocations": 0,
        "outstandingRetries": 0,
    }
    config = target.get("/admin/host/config", **key)
    assert config.headers["content-type"].startswith("text/plain")
    assert list(config.json()) == ["extensions", "concurrency"]
    assert (target.get("/admin/warmup", **key).status, target.get("/admin/vfs/", **key).status) == (200, 403)
    sync = target.request("POST", "/admin/host/synctriggers", headers=key)
    assert (sync.status, sync.json()) == (500, {"status": "Invalid environment for SyncTriggers operation."})
    nothing = target.get("/admin/nothing", **key)
    assert (nothing.status, nothing.body) == (404, b"")


def test_item_67_the_task_hub_can_be_chosen(target: Target) -> None:
    own = finished(target)
    links = target.manage("POST", "/orchestrators/o_chain").json()
    hub = urllib.parse.parse_qs(urllib.parse.urlsplit(links["statusQueryGetUri"]).query)["taskHub"][0]
    assert target.manage("GET", f"/instances/{own}?taskHub={hub.upper()}").status == 200
    other = "Other" + target.new_id("").replace("-", "")
    assert target.manage("GET", f"/instances/{own}?taskHub={other}").status == 404
    instance = target.new_id()
    started = target.manage("POST", f"/orchestrators/o_chain/{instance}?taskhub={other}")
    assert started.status == 202
    assert target.manage("GET", f"/instances/{instance}").status == 404
    there = target.manage("GET", f"/instances/{instance}?taskHub={other}&connection=Storage")
    assert (there.status, there.json()["runtimeStatus"]) == (202, "Pending")  # nobody runs that hub
    assert [item["instanceId"] for item in target.manage("GET", f"/instances?taskHub={other}").json()] == [instance]
    assert target.manage("POST", f"/entities/notes/k?op=add&taskHub={other}", raw=b"1").status == 202
    assert target.manage("DELETE", f"/instances/{instance}?taskHub={other}").json() == {"instancesDeleted": 1}


# 68: status and history


def test_item_68_the_status_object(target: Target) -> None:
    instance = finished(target)
    found = target.status(instance)
    assert list(found) == STATUS
    for name in ("createdTime", "lastUpdatedTime"):
        assert len(found[name]) == len("2026-01-01T00:00:00Z")
        assert datetime.fromisoformat(found[name]).utcoffset() == timedelta()
    assert target.status(instance, showInput="False")["input"] is None
    assert list(target.status(instance, showHistory="True")) == [*STATUS, "historyEvents"]
    odd = target.status(instance, showHistory="1", showHistoryOutput="yes", showInput="no")
    assert list(odd) == STATUS
    client_started = target.new_id()
    target.request("POST", f"/api/client/start_new/{client_started}", json.dumps({"name": "o_input", "input": {"a": 1}}))
    assert target.wait(client_started)["input"] == '{"a": 1}'


def test_item_68_history_events(target: Target) -> None:
    instance = target.start("o_chain", None, {"given": 1})
    target.wait(instance)
    plain = target.status(instance, showHistory="true", showInput="false")["historyEvents"]
    assert [sorted(event) for event in plain] == [
        ["Correlation", "EventType", "FunctionName", "Generation", "ParentTraceContext", "ScheduledStartTime", "Timestamp"],
        *[["EventType", "FunctionName", "ScheduledTime", "Timestamp"]] * 3,
        ["EventType", "FailureDetails", "OrchestrationStatus", "Timestamp"],
    ]
    full = target.history(instance)
    assert full[0]["Input"] == '{"given":1}'
    assert [event["Result"] for event in full[1:]] == [1, 2, 3, [1, 2, 3]]
    assert full[-1]["OrchestrationStatus"] == "Completed"
    assert {event["FunctionName"] for event in full[1:4]} == {"echo"}
    assert [list(event)[-3:] for event in full[1:4]] == [["ScheduledTime", "FunctionName", "Input"]] * 3
    assert all(event["ScheduledTime"][-6] in "+-" and event["Timestamp"].endswith("Z") for event in full[1:4])
    for event in full:
        assert not {"EventId", "IsPlayed", "TaskScheduledId"} & set(event)


def test_item_68_tasks_without_an_answer_stay_visible(target: Target) -> None:
    child = target.start("o_parent_waits")
    target.until(
        lambda: [event["EventType"] for event in target.history(child)][-1:] == ["SubOrchestrationInstanceCreated"],
        what="the child's start",
    )
    shown = target.history(child)[-1]
    assert {"Name", "InstanceId", "Input", "ClientSpanId", "Timestamp"} <= set(shown)
    target.post(child, "terminate?reason=end")
    timer = target.start("c_race_leave")
    target.wait(timer)
    fired = next(event for event in target.history(timer) if event["EventType"] == "TimerFired")
    assert sorted(fired) == ["EventType", "FireAt", "Timestamp"]


# 69: lists


def test_item_69_lists(target: Target) -> None:
    prefix = target.new_id("List")
    names = [f"{prefix}-{number}" for number in range(5)]
    for name in names:
        target.start("o_chain", name, {"i": 1})
    target.start("o_error", f"{prefix}-z")
    for name in (*names, f"{prefix}-z"):
        target.wait(name)

    def ids(query: str, **headers: str) -> list[str]:
        return [item["instanceId"] for item in target.manage("GET", f"/instances/?{query}", headers=headers).json()]

    found: list[str] = []
    token: str | None = ""
    while token is not None:
        headers = {"x-ms-continuation-token": token} if token else {}
        page = target.manage("GET", f"/instances?instanceIdPrefix={prefix}&top=4", headers=headers)
        found += [item["instanceId"] for item in page.json()]
        token = page.headers.get("x-ms-continuation-token")
    assert found == [*names, f"{prefix}-z"]
    only = f"instanceIdPrefix={prefix}"
    assert ids(f"{only}&runtimeStatus=Failed,Running") == [f"{prefix}-z"]
    assert ids(f"{only}&runtimeStatus=Failed&runtimeStatus=Completed") == found
    assert ids(f"{only}&runtimeStatus=Nonsense&top=x&createdTimeFrom=never&showInput=maybe") == found
    assert ids(f"{only}&runtimeStatus=failed") == found  # names have a case; none valid means no filter
    assert ids(f"{only}&createdTimeFrom=2999-01-01T00:00:00Z") == []
    assert ids(f"{only}&createdTimeTo=2001-01-01") == []
    items = target.manage("GET", f"/instances?{only}&showInput=false").json()
    assert ([list(item) for item in items], {item["input"] for item in items}) == ([STATUS] * 6, {None})
    everything = target.manage("GET", "/instances?showInput=false&top=1000").json()
    assert {"i": 1} in [item["input"] for item in everything]  # without another filter, showInput is not heard


def test_item_69_the_usual_page_and_entities(target: Target) -> None:
    key = target.new_id("listed")
    target.signal(f"Notes/{key}", "who")
    target.until(lambda: target.status(f"@notes@{key}"), what="the entity's row")
    prefix = target.new_id("many")
    for number in range(101):
        target.start("o_no_yield", f"{prefix}-{number:03}")
    target.wait(f"{prefix}-100")
    page = target.manage("GET", f"/instances?instanceIdPrefix={prefix}")
    assert len(page.json()) == 100
    assert "x-ms-continuation-token" in page.headers
    entities = target.manage("GET", "/instances?instanceIdPrefix=@notes@&top=1000").json()
    assert f"@notes@{key}" in [item["instanceId"] for item in entities]


# 70: start and wait


def test_item_70_start_and_wait(target: Target) -> None:
    done = target.manage("POST", "/orchestrators/o_chain?timeout=20&pollingInterval=0.5")
    assert (done.status, done.body, done.headers["content-type"]) == (200, b"[1,2,3]", JSON)
    failed = target.manage("POST", "/orchestrators/o_error?timeout=20&pollingInterval=0.5")
    assert (failed.status, failed.json()["runtimeStatus"], list(failed.json())) == (200, "Failed", STATUS)
    kind = target.manage("POST", "/orchestrators/o_error?timeout=20&pollingInterval=0.5&returnInternalServerErrorOnFailure=true")
    assert kind.status == 200
    began = time.monotonic()
    late = target.manage("POST", "/orchestrators/o_event?timeout=0.8&pollingInterval=0.2")
    assert (late.status, list(late.json()), late.headers["retry-after"]) == (202, LINKS, "10")
    assert time.monotonic() - began > 0.8
    only_one = target.manage("POST", "/orchestrators/o_chain?timeout=5")
    assert only_one.status == 202
    target.post(late.json()["id"], "terminate?reason=end")


# 71: the client alone


class StubServer:
    """Answers whatever it is told to and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes, str]] = []
        self.status, self.body = 202, b""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.raw_path, await request.read(), request.headers.get("Content-Type", "")))
        return web.Response(status=self.status, body=self.body, content_type="application/json")


def test_item_71_what_each_client_method_sends_and_understands() -> None:
    async def story() -> None:
        stub = StubServer()
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", stub.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        binding = {
            "taskHubName": "Hub", "creationUrls": {}, "managementUrls": {"id": "INSTANCEID"}, "rpcBaseUrl": f"http://127.0.0.1:{port}/rpc/",
        }  # fmt: skip
        client = df.DurableOrchestrationClient(json.dumps(binding))

        async def call(status: int, body: Any, method: str, *arguments: Any, **named: Any) -> Any:
            stub.status, stub.body = status, b"" if body is None else json.dumps(body).encode()
            try:
                return await getattr(client, method)(*arguments, **named)
            except Exception as problem:
                return f"{type(problem).__name__}: {problem}"

        async def sent(status: int, body: Any, method: str, *arguments: Any, **named: Any) -> tuple[str, str, bytes]:
            await call(status, body, method, *arguments, **named)
            return stub.asked[-1][:3]

        ok = {"id": "i"}
        assert await call(202, ok, "start_new", "F", "i", {"a": 1}) == "i"
        assert stub.asked[-1] == ("POST", "/rpc/orchestrators/F/i", b'"{\\"a\\": 1}"', "application/json")
        assert await sent(202, ok, "start_new", "F") == ("POST", "/rpc/orchestrators/F", b"")
        assert await sent(202, ok, "start_new", "F", None, 0) == ("POST", "/rpc/orchestrators/F", b'"0"')
        assert await sent(202, ok, "start_new", "F", "i", version="1.0") == ("POST", "/rpc/orchestrators/F/i?version=1.0", b"")
        assert await call(400, {"ExceptionMessage": "why"}, "start_new", "F") == "Exception: why"
        assert await sent(202, None, "raise_event", "i", "E", {"x": 1}) == ("POST", "/rpc/instances/i/raiseEvent/E", b'"{\\"x\\": 1}"')
        assert await sent(202, None, "raise_event", "i", "E") == ("POST", "/rpc/instances/i/raiseEvent/E", b'"null"')
        for status, text in ((404, "No instance with ID i found."), (410, "is gone: either completed or failed")):
            assert text in await call(status, None, "raise_event", "i", "E")
        assert "Webhook returned unrecognized status code 200" in await call(200, None, "raise_event", "i", "E")
        assert await sent(200, {}, "get_status", "i") == ("GET", "/rpc/instances/i", b"")
        flags = await sent(200, {}, "get_status", "i", show_history=True, show_history_output=True, show_input=True)
        assert flags[1] == "/rpc/instances/i?showInput=True&showHistory=True&showHistoryOutput=True"
        assert not await call(404, {"Message": "no"}, "get_status", "i")
        assert await sent(200, [], "get_status_all") == ("GET", "/rpc/instances/", b"")
        by = await sent(200, [], "get_status_by", datetime(2026, 1, 2), None, [df.OrchestrationRuntimeStatus.Running])  # noqa: DTZ001
        assert urllib.parse.unquote(by[1]) == "/rpc/instances/?createdTimeFrom=2026-01-02T00:00:00.000000Z&runtimeStatus=Running"
        assert (await call(200, {"instancesDeleted": 1}, "purge_instance_history", "i")).instances_deleted == 1
        assert stub.asked[-1][:2] == ("DELETE", "/rpc/instances/i")
        assert (await call(404, None, "purge_instance_history", "i")).instances_deleted == 0
        assert await sent(202, None, "terminate", "i", "a b") == ("POST", "/rpc/instances/i/terminate?reason=a%20b", b"")
        assert "No instance with ID 'i' found." in await call(404, None, "terminate", "i", "r")
        assert await call(410, None, "terminate", "i", "r") is None
        assert await sent(202, None, "suspend", "i", "r") == ("POST", "/rpc/instances/i/suspend?reason=r", b"")
        assert await sent(202, None, "resume", "i", "r") == ("POST", "/rpc/instances/i/resume?reason=r", b"")
        assert (await sent(202, None, "rewind", "i", "a b"))[1] == "/rpc/instances/i/rewind?reason=a+b"
        assert "only supported on failed" in await call(410, None, "rewind", "i", "r")
        assert await call(202, ok, "restart", "i") == ok
        assert stub.asked[-1][:2] == ("POST", "/rpc/instances/i/restart?restartWithNewInstanceId=true")
        entity = df.EntityId("Notes", "k")
        assert await sent(202, None, "signal_entity", entity, "op", 1) == ("POST", "/rpc/entities/Notes/k?op=op", b'"1"')
        assert await sent(202, None, "signal_entity", entity, "op", 0) == ("POST", "/rpc/entities/Notes/k?op=op", b"")
        assert (await call(200, [1], "read_entity_state", entity)).entity_state == [1]
        assert (await call(404, None, "read_entity_state", entity)).entity_exists is False
        await client._close_session() if hasattr(client, "_close_session") else None
        await runner.cleanup()

    asyncio.run(story())


# 72: the loopback port


def test_item_72_the_rpc_base(target: Target) -> None:
    found = target.get("/api/binding").json()
    assert found["rpc"].endswith("/durabletask/")
    parts = urllib.parse.urlsplit(found["rpc"])
    assert parts.hostname == "127.0.0.1"
    assert "rewindPostUri" in found["payload"]


def test_item_72_it_needs_no_key_and_listens_on_loopback_only(target: Target, own_host: RunningHost) -> None:
    port = int(own_host.ready["rpc_port"])
    rpc = Target(f"http://127.0.0.1:{port}")
    instance = finished(target)
    reply = rpc.get(f"/durabletask/instances/{instance}")
    assert (reply.status, reply.json()["output"]) == (200, [1, 2, 3])
    assert rpc.get("/durabletask/nothing").status == 404
    outside = next((address[4][0] for address in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)), "127.0.0.1")
    if str(outside).startswith("127."):
        return  # the machine has no other address to try
    with pytest.raises(OSError, match="refused"), socket.create_connection((str(outside), port), timeout=3):
        pass


def test_item_72_another_port_when_17071_is_taken(tmp_path: Path, storage: str) -> None:
    source = "import azure.durable_functions as df\napp = df.DFApp()\n@app.orchestration_trigger(context_name='context')\ndef o(context):\n    yield\n"
    app = write_app(tmp_path / "app", source)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 17071))
            taken.listen()
        except OSError:
            pass  # somebody has it already, which is as good
        with running(app, "--storage", storage) as host:
            assert 30000 <= host.ready["rpc_port"] <= 30999


# 73 to 76


def test_item_73_unknown_and_finished_ids(target: Target) -> None:
    nobody, done = target.new_id("nobody"), finished(target)
    assert [target.post(nobody, f"{operation}?reason=x").status for operation in ("terminate", "suspend", "resume", "rewind")] == [404] * 4
    assert (target.manage("GET", f"/instances/{nobody}").status, target.raise_event(nobody, "go", 1).status) == (404, 404)
    assert target.manage("GET", f"/instances/{nobody}").body == b""
    status, message, text = error(target.post(nobody, "restart"))
    assert (status, message) == (400, "InstanceId does not match a valid orchestration instance.")
    assert text == f"An orchestrastion with the instanceId {nobody} was not found."
    assert [target.post(done, f"{operation}?reason=x").status for operation in ("terminate", "suspend", "resume", "rewind")] == [410] * 4
    late = target.raise_event(done, "go", 1)
    assert (late.status, late.body) == (410, b"")
    assert target.raise_event(done, "go", raw=b"bad").status == 410  # asked before the body is looked at


def test_item_74_bodies_of_events_and_starts(target: Target) -> None:
    instance = waiting(target)
    media = target.manage("POST", f"/instances/{instance}/raiseEvent/go", raw=b"1", headers={"Content-Type": "text/plain"})
    assert (media.status, media.json()) == (400, {"Message": "Only application/json request content is supported"})
    for raw in (b"abc", b""):
        status, message, _ = error(target.raise_event(instance, "go", raw=raw))
        assert (status, message) == (400, "Invalid JSON content")
    charset = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert target.manage("POST", f"/instances/{instance}/raiseEvent/go", raw=b"1", headers=charset).status == 202
    assert target.wait(instance)["output"] == 1
    form, form_type = target.new_id(), {"Content-Type": "application/x-www-form-urlencoded"}
    assert target.manage("POST", f"/orchestrators/o_no_yield/{form}", raw=b"not json", headers=form_type).status == 202
    assert target.wait(form)["input"] is None


def test_item_75_a_start_over_a_live_id(target: Target) -> None:
    instance = waiting(target)
    reply = target.manage("POST", f"/orchestrators/o_chain/{instance}")
    assert error(reply) == (500, WRONG, "An Orchestration instance with the status Running already exists.")
    assert reply.json()["ExceptionType"] == "DurableTask.Core.Exceptions.OrchestrationAlreadyExistsException"
    by_client = target.request("POST", f"/api/client/start_new/{instance}", json.dumps({"name": "o_chain"})).json()
    assert "An Orchestration instance with the status Running already exists." in by_client["error"][1]
    target.post(instance, "terminate?reason=end")


def test_item_76_the_client_inside_the_app(target: Target) -> None:
    def call(operation: str, instance: str, body: Any = None) -> Reply:
        return target.request("POST", f"/api/client/{operation}/{instance}", json.dumps(body or {}))

    missing = target.new_id("missing")
    assert call("get_status", missing).json()["error"][0] == "AttributeError"
    instance = target.new_id()
    assert call("start_new", instance, {"name": "o_input", "input": {"k": 1}}).json() == instance
    target.wait(instance)
    status = call("get_status", instance).json()
    assert (status["input"], status.get("history")) == ('{"k": 1}', None)
    everything = call("get_status", instance, {"show_history": True, "show_history_output": True}).json()
    assert everything.get("history") is None
    restarted = call("restart", instance).json()
    assert restarted["id"] != instance
    assert "statusQueryGetUri" in restarted
    assert call("start_new", instance, {"name": "o_chain"}).json() == instance
    done = call("wait_for_completion", instance)
    assert (done.status, done.json()) == (200, [1, 2, 3])
    bad = target.start("o_error")
    failed = call("wait_for_completion", bad)
    assert (failed.status, failed.json()["runtimeStatus"]) == (500, "Failed")
    short = {"timeout_in_milliseconds": 500, "retry_interval_in_milliseconds": 200}
    assert call("wait_for_completion", missing, short).status == 202
    checked = call("check_status", instance)
    assert (checked.status, checked.headers["retry-after"], "rewindPostUri" in checked.json()) == (202, "10", True)
    assert checked.headers["location"] == checked.json()["statusQueryGetUri"]
    assert checked.headers["location"].startswith(target.base)
    assert call("read_entity_state", missing).json() == {"exists": False, "state": None}
