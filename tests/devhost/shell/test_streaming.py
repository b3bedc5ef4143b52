"""HTTP streaming: apps with `azurefunctions-extensions-http-fastapi`, on a host as a user starts it."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devhost.worker.signatures import check_signature
from tests.devhost.shell.support import RunningHost, run_command, running, wait_until, write_app

ON = {"PYTHON_ENABLE_INIT_INDEXING": "1"}
IMPORT = "from azurefunctions.extensions.http.fastapi import FileResponse, JSONResponse, Request, StreamingResponse\n"
APP = (
    IMPORT
    + """
import asyncio, logging, os, threading

gate = asyncio.Event()
seen = {"made": 0, "closed": 0, "read": b""}


@app.route(route="size", methods=["POST"])
async def size(req: Request) -> JSONResponse:
    sizes = [len(chunk) async for chunk in req.stream()]
    return JSONResponse({"bytes": sum(sizes), "pieces": len(sizes)})


@app.route(route="echo", methods=["POST"])
async def echo(req: Request) -> StreamingResponse:
    seen["read"] = b""
    async for chunk in req.stream():
        seen["read"] += chunk
    return StreamingResponse(iter([seen["read"].upper()]))


@app.route(route="events")
async def events(req: Request) -> StreamingResponse:
    gate.clear()
    async def ticks():
        yield "data: first\\n\\n"
        await gate.wait()
        logging.warning("the gate is open")
        yield "data: second\\n\\n"
    return StreamingResponse(ticks(), media_type="text/event-stream")


@app.route(route="open")
async def open_gate(req: Request) -> dict:
    gate.set()
    return {**seen, "read": seen["read"].decode()}


@app.route(route="endless")
async def endless(req: Request):
    seen.update(made=0, closed=0)
    async def flood():
        try:
            while True:
                seen["made"] += 1
                yield b"x" * 100_000
                await asyncio.sleep(0)
        finally:
            seen["closed"] += 1
    return StreamingResponse(flood())


@app.route(route="silent")
async def silent(req: Request):
    seen.update(made=0, closed=0)
    async def one():
        try:
            yield b"only this"
            await asyncio.sleep(3600)
        finally:
            seen["closed"] += 1
    return StreamingResponse(one())


@app.route(route="items/{kind:alpha}/{number:int?}")
def items(req: Request) -> dict:
    return {"params": req.path_params, "on": threading.current_thread().name, "url": str(req.url), "host": req.headers["x-forwarded-host"]}


@app.route(route="number")
async def number(req) -> int:
    return 7


@app.route(route="nothing")
async def nothing(req: Request):
    return None


@app.route(route="raises")
async def raises(req: Request) -> str:
    raise LookupError("not here")


@app.route(route="breaks/{after:int}")
async def breaks(req: Request):
    async def some():
        for _ in range(int(req.path_params["after"])):
            yield b"0123456789"
        raise LookupError("in the middle")
    return StreamingResponse(some())


@app.route(route="dies/{after:int}")
async def dies(req: Request):
    async def some():
        for _ in range(int(req.path_params["after"])):
            yield b"0123456789"
            await asyncio.sleep(0.05)
        os._exit(3)
    return StreamingResponse(some())


@app.route(route="file")
async def file(req: Request) -> FileResponse:
    return FileResponse(__file__)


@app.route(route="unread", methods=["POST"])
async def unread(req: Request) -> str:
    return "I did not look"


@app.route(route="locked", auth_level=func.AuthLevel.FUNCTION)
async def locked(req: Request) -> str:
    return "open"


@app.route(route="pid")
async def pid(req: Request):
    async def mine():
        yield str(os.getpid())
        await asyncio.sleep(3600)
    return StreamingResponse(mine())
"""
)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    with running(write_app(tmp_path_factory.mktemp("streams") / "app", APP, settings=ON), "--verbose") as host:
        yield host


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """Two workers, keys, and little time."""
    folder = tmp_path_factory.mktemp("strict")
    (folder / "keys.json").write_text(json.dumps({"masterKey": "m-key", "functionKeys": {"default": "h-key"}}))
    app = write_app(folder / "app", APP, settings=ON, host={"functionTimeout": "00:00:01"})
    with running(app, "--workers", "2", "--enable-auth", "--keys", str(folder / "keys.json")) as host:
        yield host


def begin(
    host: RunningHost, target: str, *, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=15)
    connection.request(method, target, headers=headers)
    return connection, connection.getresponse()


def state(host: RunningHost) -> Any:
    return host.get("/api/open").json()


def test_a_request_body_comes_in_pieces_whether_it_has_a_length_or_not(host: RunningHost) -> None:
    whole = host.request("POST", "/api/size", b"x" * 3_000_000).json()
    assert whole["bytes"] == 3_000_000
    assert whole["pieces"] > 2
    chunked = host.request("POST", "/api/size", iter([b"a" * 400_000] * 3))  # type: ignore[arg-type] # a body of unknown length
    assert chunked.json()["bytes"] == 1_200_000


def test_a_function_reads_what_has_come_while_the_client_still_sends(host: RunningHost) -> None:
    with socket.create_connection(("127.0.0.1", host.port), timeout=10) as client:
        client.sendall(b"POST /api/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        wait_until(lambda: state(host)["read"] == "one", what="first piece")
        client.sendall(b"3\r\ntwo\r\n")
        wait_until(lambda: state(host)["read"] == "onetwo", what="second piece")
        client.sendall(b"0\r\n\r\n")
        assert _read_until(client, b"0\r\n\r\n").endswith(b"\r\n\r\n6\r\nONETWO\r\n0\r\n\r\n")


def _read_until(client: socket.socket, mark: bytes) -> bytes:
    received = b""
    while mark not in received:
        piece = client.recv(65536)
        assert piece, received
        received += piece
    return received


def test_an_event_is_there_as_soon_as_it_is_made_and_its_log_lines_are_the_functions(host: RunningHost) -> None:
    connection, response = begin(host, "/api/events")
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.read1() == b"data: first\n\n"
    host.get("/api/open")
    assert response.read() == b"data: second\n\n"
    connection.close()
    host.wait_for_log("warn: the gate is open (events ")
    host.wait_for_log("Executed 'Functions.events' (Succeeded")


def test_a_reply_is_made_no_faster_than_the_client_takes_it_and_ends_with_the_client(host: RunningHost) -> None:
    connection, response = begin(host, "/api/endless")
    assert response.read(10) == b"x" * 10
    before, made = -1, state(host)["made"]
    while made != before:
        time.sleep(0.3)
        before, made = made, state(host)["made"]
    assert made < 200, "the sockets between hold a few megabytes, and no more is made"
    response.close()
    connection.close()
    wait_until(lambda: state(host)["closed"] == 1, what="end of the generator")
    host.wait_for_log("Executed 'Functions.endless' (Failed")
    assert "the client hung up before it had the whole reply" in host.log


def test_a_client_that_leaves_while_nothing_is_sent_ends_the_generator_too(host: RunningHost) -> None:
    connection, response = begin(host, "/api/silent")
    assert response.read1() == b"only this"
    response.close()
    connection.close()
    wait_until(lambda: state(host)["closed"] == 1, what="end of the generator")


def test_route_parameters_are_the_hosts_and_a_sync_function_runs_on_a_thread(host: RunningHost) -> None:
    reply = host.get("/api/ITEMS/ab/7?x=%20y").json()
    assert reply["params"] == {"kind": "ab", "number": "7"}
    assert reply["on"].startswith("function_")
    assert reply["host"] == f"127.0.0.1:{host.port}"
    assert reply["url"].endswith("/api/ITEMS/ab/7?x=%20y")
    assert not reply["url"].startswith(f"http://127.0.0.1:{host.port}"), "the url is that of the worker's own server"
    assert host.get("/api/items/ab").json()["params"] == {"kind": "ab"}
    assert host.get("/api/items/7/7").status == 404


def test_what_fastapi_converts_may_be_returned_and_None_may_not(host: RunningHost) -> None:
    number = host.get("/api/number")
    assert (number.headers["content-type"], number.body) == ("application/json", b"7")
    assert host.get("/api/nothing").status == 500
    host.wait_for_log("The function returned None")


def test_a_file_and_its_head(host: RunningHost) -> None:
    whole, head = host.get("/api/file"), host.request("HEAD", "/api/file")
    assert whole.headers["content-length"] == str(len(whole.body)) == head.headers["content-length"]
    assert head.body == b""
    assert host.request("GET", "/api/file", headers={"Range": "bytes=0-5"}).body == whole.body[:6]


def test_an_exception_is_a_500_and_is_logged_once_with_its_place(host: RunningHost) -> None:
    reply = host.get("/api/raises")
    assert (reply.status, reply.body) == (500, b"Internal Server Error")
    host.wait_for_log("Executed 'Functions.raises' (Failed")
    assert host.log.count("LookupError: not here") == 1


def test_a_generator_that_fails_before_its_first_byte_is_a_500_and_after_it_cuts_the_connection(host: RunningHost) -> None:
    early = host.get("/api/breaks/0")
    assert (early.status, early.body) == (500, b"")
    connection, response = begin(host, "/api/breaks/2")
    assert response.status == 200
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        response.read()
    connection.close()
    host.wait_for_log("The reply breaks off: LookupError: in the middle [function_app.py line ")


def test_the_connection_can_be_used_again_also_after_a_body_that_nobody_read(host: RunningHost) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=15)
    for target, body in (("/api/unread", b"x" * 500_000), ("/api/echo", b"abc"), ("/api/unread", b"")):
        connection.request("POST", target, body)
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"ABC" if body == b"abc" else b'"I did not look"')
        assert response.headers["Connection"] is None
    connection.close()


def test_a_client_is_asked_for_its_body_when_the_function_reads_it(host: RunningHost) -> None:
    with socket.create_connection(("127.0.0.1", host.port), timeout=10) as client:
        client.sendall(b"POST /api/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert _read_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert b"ABC" in _read_until(client, b"ABC")


def test_a_body_that_is_too_long_or_malformed_fails_the_call(host: RunningHost) -> None:
    for framing in (b"Content-Length: 104857601\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"):
        with socket.create_connection(("127.0.0.1", host.port), timeout=10) as client:
            client.sendall(b"POST /api/size HTTP/1.1\r\nHost: x\r\n" + framing)
            assert _read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 500 ")


def test_a_call_through_admin_gets_a_request_as_well(host: RunningHost) -> None:
    before = host.log.count("Executed 'Functions.size' (Succeeded")
    reply = host.request("POST", "/admin/functions/size", '{"input": "four"}', {"content-type": "application/json"})
    assert reply.status == 202
    wait_until(lambda: host.log.count("Executed 'Functions.size' (Succeeded") == before + 1, what="call", explain=lambda: host.log)


def test_keys_are_asked_for_before_anything_is_forwarded(strict: RunningHost) -> None:
    assert strict.get("/api/locked").status == 401
    assert strict.request("POST", "/api/locked", b"x" * 200_000).status == 401
    assert strict.get("/api/locked?code=h-key").text == '"open"'


def test_calls_go_to_all_workers(strict: RunningHost) -> None:
    open_calls = [begin(strict, "/api/pid") for _ in strict.worker_pids]
    assert {int(response.read1()) for _, response in open_calls} == set(strict.worker_pids)
    for connection, response in open_calls:
        response.close()
        connection.close()


def test_function_timeout_counts_until_the_reply_is_through(strict: RunningHost) -> None:
    connection, response = begin(strict, "/api/silent")
    assert response.read1() == b"only this"
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        response.read()
    connection.close()
    strict.wait_for_log("Timeout value of 1 s was exceeded by function Functions.silent")
    wait_until(lambda: strict.get("/api/number").text == "7", what="worker")


@pytest.mark.parametrize("after", [0, 2])
def test_a_worker_that_dies_leaves_a_500_or_a_reply_that_is_visibly_cut(strict: RunningHost, after: int) -> None:
    connection, response = begin(strict, f"/api/dies/{after}")
    if after:
        assert response.status == 200
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            response.read()
    else:
        assert (response.status, response.read()) == (500, b"")
    connection.close()
    assert strict.get("/api/number").text == "7"


def test_an_invocation_id_of_the_clients_own_keeps_call_and_request_apart(strict: RunningHost) -> None:
    with pytest.raises(TimeoutError):
        strict.request("GET", "/api/number", headers={"x-ms-invocation-id": "mine"}, timeout=0.5)
    strict.wait_for_log("header x-ms-invocation-id: mine")


def test_without_its_setting_an_app_loads_and_never_answers_and_both_commands_say_so(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", IMPORT + HELLO, host={"functionTimeout": "00:00:01"})
    checked = run_command("check", "--app", str(app))
    assert checked.returncode == 1
    assert "error: the app uses HTTP streaming" in checked.stdout
    with running(app) as host:
        assert "PYTHON_ENABLE_INIT_INDEXING is not 1" in host.log
        assert host.get("/api/hello").status == 500
        host.wait_for_log("waits for its request, in vain")


HELLO = """
@app.route(route="hello")
async def hello(req: Request) -> str:
    return "hello"
"""
MIXED = """
@app.route(route="old")
async def old(req: func.HttpRequest) -> str: ...

@app.route(route="answer")
async def answer(req: Request) -> func.HttpResponse: ...

@app.route(route="nothing")
async def nothing(req: Request) -> None: ...

@app.route(route="many")
async def many(req: Request) -> dict[str, int]: ...
"""


def test_once_one_function_streams_no_http_function_may_use_the_old_types(tmp_path: Path) -> None:
    checked = run_command("check", "--app", str(write_app(tmp_path / "app", IMPORT + HELLO + MIXED, settings=ON)))
    problems = [line for line in checked.stdout.splitlines() if line.startswith("error: ")]
    assert [line.split(" function: ")[0].removeprefix("error: cannot load the ") for line in problems] == [
        "old",
        "answer",
        "nothing",
        "many",
    ]
    assert 'type of req binding in the function definition "httpTrigger" does not match its Python annotation "HttpRequest"' in problems[0]
    assert "all its HTTP functions take and return the types of that package" in problems[0]
    assert 'Python return annotation "HttpResponse" does not match binding type "http"' in problems[1]


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="from Python 3.13 on there is no such setting")
@pytest.mark.parametrize(
    ("value", "hint"),
    [("false", "PYTHON_ENABLE_INIT_INDEXING turns HTTP streaming off"), ("1", "import them from azurefunctions.extensions.http.fastapi")],
)
def test_a_request_type_without_streaming_says_why(monkeypatch: pytest.MonkeyPatch, value: str, hint: str) -> None:
    monkeypatch.setenv("PYTHON_ENABLE_INIT_INDEXING", value)
    lookalike = type("Request", (), {"__module__": "fastapi.requests"})

    def function(req: object) -> None: ...

    function.__annotations__ = {"req": lookalike}
    (problem,) = check_signature(function, [{"name": "req", "type": "httpTrigger", "direction": "IN"}])[1]
    assert 'does not match its Python annotation "Request"' in problem
    assert hint in problem


DURABLE = """
import asyncio
import azure.durable_functions as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="begin/{name}")
@app.durable_client_input(client_name="client")
async def begin(req: Request, client):
    await client.start_new("greet", req.path_params["name"], (await req.body()).decode())
    async def progress():
        while True:
            status = await client.get_status(req.path_params["name"])
            yield f"{status.runtime_status.name}\\n"
            if status.output is not None:
                yield f"{status.output}\\n"
                return
            await asyncio.sleep(0.05)
    return StreamingResponse(progress())


@app.route(route="status")
@app.durable_client_input(client_name="client")
async def status(req: Request, client):
    return client.create_check_status_response(req, "x")


@app.route(route="links")
@app.durable_client_input(client_name="client")
@app.queue_output(arg_name="message", queue_name="streamed", connection="AzureWebJobsStorage")
async def links(req: Request, client, message: func.Out[str]) -> dict:
    message.set("from a streamed function")
    return client.create_http_management_payload("x")


@app.queue_trigger(arg_name="message", queue_name="streamed", connection="AzureWebJobsStorage")
def take(message: func.QueueMessage) -> None:
    print("took", message.get_body().decode())


@app.orchestration_trigger(context_name="context")
def greet(context: df.DurableOrchestrationContext):
    return (yield context.call_activity("hello", context.get_input()))


@app.activity_trigger(input_name="name")
def hello(name: str) -> str:
    return f"hello {name}"
"""


def test_a_durable_client_and_output_bindings_work_in_streamed_functions(tmp_path: Path, storage: str) -> None:
    app = write_app(tmp_path / "app", IMPORT + DURABLE, settings=ON | {"AzureWebJobsStorage": storage})
    source = (app / "function_app.py").read_text().replace("app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)\n", "")
    (app / "function_app.py").write_text(source)
    with running(app) as host:
        reply = host.request("POST", "/api/begin/one", b"ada")
        assert reply.text.splitlines()[-2:] == ["Completed", "hello ada"]
        assert host.get("/api/links").json()["id"] == "x"
        host.wait_for_log("took from a streamed function")
        # The SDK takes the url of an azure.functions.HttpRequest apart, which is a string; that of this package's Request is none
        assert host.get("/api/status").status == 500
        host.wait_for_log("AttributeError")
