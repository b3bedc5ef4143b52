"""The host as a process: how it starts, what it says when it cannot, how it ends, and what becomes of its workers."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.devhost.shell.support import Reply, RunningHost, is_alive, run_command, running, wait_until, write_app

HELLO = """
@app.route(route="hello")
def hello(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("hello")
"""

LIFE = """
import os, sys, threading, time, logging, subprocess

@app.route(route="pid")
def pid(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(str(os.getpid()))

@app.route(route="slow/{seconds}")
def slow(req: func.HttpRequest) -> func.HttpResponse:
    print("begins as", req.params.get("as"), flush=True)
    time.sleep(float(req.route_params["seconds"]))
    return func.HttpResponse("slept")

@app.route(route="gate")
def gate(req: func.HttpRequest) -> func.HttpResponse:
    print("waits at the gate", flush=True)
    while not os.path.exists(os.path.join(os.path.dirname(__file__), "open")):
        time.sleep(0.01)
    return func.HttpResponse("let through")

meeting, inside, crowds = threading.Barrier(3), [], []

@app.route(route="meet")
def meet(req: func.HttpRequest) -> func.HttpResponse:
    inside.append(1)
    crowds.append(len(inside))
    meeting.wait(20)
    time.sleep(0.2)  # room for a fourth
    inside.pop()
    return func.HttpResponse(str(max(crowds)))

@app.route(route="die")
def die(req: func.HttpRequest) -> func.HttpResponse:
    os._exit(3)

@app.route(route="leave")
def leave(req: func.HttpRequest) -> func.HttpResponse:
    raise SystemExit(4)

@app.route(route="spawn")
def spawn(req: func.HttpRequest) -> func.HttpResponse:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    return func.HttpResponse(str(child.pid))

@app.route(route="print")
def print_much(req: func.HttpRequest) -> func.HttpResponse:
    for number in range(200):
        print("line", number)
        os.write(1, b"\\x00\\x00\\x00\\x05{}\\n")
    print("a warning", file=sys.stderr)
    logging.getLogger("some.library").warning("logged by a library")
    return func.HttpResponse("printed")
"""


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """A host with one worker of three threads, for all tests that leave the host alone."""
    app = write_app(tmp_path_factory.mktemp("life") / "app", LIFE)
    with running(app, settings={"PYTHON_THREADPOOL_THREAD_COUNT": "3"}) as host:
        yield host


def test_an_http_app_needs_no_storage(tmp_path: Path) -> None:
    with running(write_app(tmp_path / "app", HELLO)) as host:
        assert host.get("/api/hello").text == "hello"
        assert host.ready == {"port": host.port, "pid": host.process.pid, "rpc_port": None, "worker_pids": host.worker_pids}
        assert f"hello: http://localhost:{host.port}/api/hello" in host.log
        assert host.terminate() == 0
    assert not (tmp_path / "app" / ".ready.json").exists()


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", HELLO)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run_command("start", "--app", str(app), "--port", str(port))
    assert (
        result.stderr == f"devhost: Port {port} is taken by another program; stop it, or choose another with --port (0 picks a free one).\n"
    )
    assert result.returncode == 3


def test_the_port_opens_last(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", "import time\ntime.sleep(1.0)\n" + HELLO)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    statuses: list[int | str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                    connection.sendall(b"GET /api/hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    statuses.append(int(connection.recv(100).split()[1]))
            except ConnectionRefusedError:
                statuses.append("refused")
            time.sleep(0.05)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        with running(app, "--port", str(port)):
            wait_until(lambda: 200 in statuses, what="answer")
            stop.set()
            asking.join()
    finally:
        stop.set()
    assert "refused" in statuses
    assert set(statuses) == {"refused", 200}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_module\n", ["ModuleNotFoundError: No module named 'no_such_module'", "[function_app.py line 4]"]),
        ("def broken(:\n", ["SyntaxError: invalid syntax (function_app.py, line 4)"]),
        ("other = func.FunctionApp()\n", ["more than one app object: app, other"]),
        ("del app\n", ["no app object"]),
        (
            "@app.route()\ndef one(req: func.HttpRequest, extra): ...\n@app.activity_trigger(input_name='x')\ndef two(x: list[str]): ...\n",
            ["cannot load the one function: the following parameters are declared in Python but not", "{'extra'}",
             "cannot load the two function: binding x has invalid non-type annotation list[str]"],
        ),
        ("@app.route(route='/slash')\ndef one(req): ...\n", ["the route template 'api//slash' must not have an empty segment"]),
    ],
    ids=["import", "syntax", "two apps", "no app", "two signatures", "route"],
)  # fmt: skip
def test_a_broken_app_is_explained_without_a_stack_trace(tmp_path: Path, source: str, said: list[str]) -> None:
    result = run_command("start", "--app", str(write_app(tmp_path / "app", source)), "--port", "0")
    assert result.returncode == 1
    for text in said:
        assert text in result.stderr
    assert "Traceback" not in result.stderr + result.stdout


def test_settings_that_cannot_be_used_are_named_with_their_place(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", HELLO, host={"functionTimeout": "soon"})
    result = run_command("start", "--app", str(app), "--port", "0")
    assert result.stderr == 'devhost: host.json: functionTimeout has to be a time span such as "00:05:00" (hh:mm:ss), not "soon"\n'
    assert result.returncode == 1


def test_running_calls_are_finished_before_it_ends(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", LIFE)
    with running(app) as host:
        replies: list[Reply] = []
        calling = threading.Thread(target=lambda: replies.append(host.get("/api/gate")))
        calling.start()
        host.wait_for_log("waits at the gate")
        host.process.terminate()
        host.wait_for_log("running calls are finished first")
        (app / "open").touch()
        assert host.process.wait(timeout=40) == 0
        calling.join()
        assert [(reply.status, reply.text, reply.headers["connection"]) for reply in replies] == [(200, "let through", "close")]
        assert not any(is_alive(pid) for pid in host.worker_pids)


def test_a_killed_host_leaves_no_orphans(tmp_path: Path) -> None:
    with running(write_app(tmp_path / "app", LIFE), "--workers", "2") as host:
        grandchild = int(host.get("/api/spawn").text)
        pids = [*host.worker_pids, grandchild]
        assert len(host.worker_pids) == 2
        assert all(map(is_alive, pids))
        host.kill()
        wait_until(lambda: not any(map(is_alive, pids)), what="end of the workers", seconds=5)


@pytest.mark.parametrize(("route", "code"), [("die", 3), ("leave", 4)])
def test_a_dying_worker_fails_its_calls_and_is_replaced(life: RunningHost, route: str, code: int) -> None:
    before = life.get("/api/pid").text
    replies: list[Reply] = []
    calling = threading.Thread(target=lambda: replies.append(life.get(f"/api/slow/20?as={route}")))
    calling.start()
    life.wait_for_log(f"begins as {route}")
    dying = life.get(f"/api/{route}")
    calling.join()
    assert [(reply.status, reply.body) for reply in (dying, *replies)] == [(500, b""), (500, b"")]
    after = life.get("/api/pid")
    assert after.status == 200
    assert after.text != before
    assert f"ended with exit code {code}; starting another" in life.log


def test_a_worker_killed_from_outside_is_replaced(life: RunningHost) -> None:
    before = life.get("/api/pid").text
    os.kill(int(before), signal.SIGKILL)
    life.wait_for_log("ended with signal SIGKILL; starting another")
    assert life.get("/api/pid").text != before


def test_a_call_past_the_function_timeout_costs_its_worker(tmp_path: Path) -> None:
    with running(write_app(tmp_path / "app", LIFE, host={"functionTimeout": "00:00:01"})) as host:
        before = host.get("/api/pid").text
        reply = host.request("GET", "/api/slow/30", timeout=25)
        assert (reply.status, reply.body) == (500, b"")
        assert host.get("/api/pid").text != before
        assert "Timeout value of 1 s was exceeded by function Functions.slow" in host.log


def test_prints_are_logged_and_do_not_disturb_the_calls(life: RunningHost) -> None:
    assert life.get("/api/print").text == "printed"
    life.wait_for_log("line 199")
    life.wait_for_log("warn: a warning")
    assert "warn: logged by a library (print_much" in life.log


def test_sync_functions_run_side_by_side_up_to_the_thread_count(life: RunningHost) -> None:
    replies: list[Reply] = []
    calls = [threading.Thread(target=lambda: replies.append(life.get("/api/meet"))) for _ in range(6)]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert [reply.status for reply in replies] == [200] * 6
    assert {reply.text for reply in replies} == {"3"}


def test_json_logs_carry_function_and_invocation(tmp_path: Path) -> None:
    source = HELLO.replace(
        'return func.HttpResponse("hello")', 'import logging; logging.info("said %s", 1); return func.HttpResponse("hello")'
    )
    with running(write_app(tmp_path / "app", source), "--json-logs") as host:
        host.get("/api/hello")
        host.wait_for_log("said 1")
        records = [json.loads(line) for line in host.log.splitlines()]
    said = next(record for record in records if record["message"] == "said 1")
    assert (said["level"], said["category"], said["function"]) == ("info", "Function.hello.User", "hello")
    assert len(said["invocationId"]) == 36


def test_a_changed_source_is_reloaded_and_a_broken_one_leaves_the_app_at_work(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", HELLO)
    with running(app, "--watch") as host:
        assert host.get("/api/hello").text == "hello"
        write_app(app, HELLO.replace('HttpResponse("hello")', 'HttpResponse("hello again")') + HELLO.replace("hello", "added"))
        wait_until(lambda: host.get("/api/hello").text == "hello again", what="new code", seconds=20, explain=lambda: host.log)
        assert host.get("/api/added").status == 200
        write_app(app, "broken(\n")
        host.wait_for_log("The app keeps running as it was", seconds=20)
        assert host.get("/api/hello").text == "hello again"


PLAIN = """
import json, os

@app.route(route="guarded", auth_level="admin")
def guarded(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("hello")

@app.route(route="hello")
def hello(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("hello")

@app.route(route="env")
def env(req: func.HttpRequest) -> func.HttpResponse:
    names = ("FROM_FILE", "FROM_BOTH", "EMPTY", "WEBSITE_HOSTNAME", "AZURE_FUNCTIONS_ENVIRONMENT", "NULL")
    return func.HttpResponse(json.dumps({name: os.environ.get(name) for name in names}))
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """A host without options, with a file of settings, for tests that only look."""
    settings = {"AzureWebJobs.hello.Disabled": "true", "FROM_FILE": "file", "FROM_BOTH": "file", "EMPTY": "", "NULL": None}
    app = write_app(tmp_path_factory.mktemp("plain") / "app", PLAIN, settings=settings)
    with running(app, settings={"FROM_BOTH": "environment"}) as host:
        yield host


def test_without_enable_auth_every_caller_may_do_everything(plain: RunningHost) -> None:
    assert plain.get("/api/guarded").status == 200
    assert plain.get("/api/guarded?code=bad").status == 200
    assert plain.get("/admin/host/status").json()["state"] == "Running"


def test_a_disabled_function_is_not_routed(plain: RunningHost) -> None:
    assert plain.get("/api/hello").status == 404
    assert plain.get("/api/env").status == 200
    assert plain.get("/admin/functions/hello").json()["isDisabled"] is True
    assert "Disabled: hello" in plain.log


def test_local_settings_reach_user_code_unless_the_environment_says_otherwise(plain: RunningHost) -> None:
    assert plain.get("/api/env").json() == {
        "FROM_FILE": "file", "FROM_BOTH": "environment", "EMPTY": "", "NULL": None,
        "WEBSITE_HOSTNAME": f"localhost:{plain.port}", "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
    }  # fmt: skip


def test_missing_storage_is_one_sentence(tmp_path: Path) -> None:
    source = "@app.queue_trigger(arg_name='m', queue_name='work', connection='AzureWebJobsStorage')\ndef work(m: func.QueueMessage): ...\n"
    app = write_app(tmp_path / "app", source)
    unset = run_command("start", "--app", str(app), "--port", "0")
    assert unset.returncode == 1
    assert "the app setting AzureWebJobsStorage, a storage connection string, is not set" in unset.stderr
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/devstoreaccount1"
        connection = f"AccountName=devstoreaccount1;AccountKey=a2V5;BlobEndpoint={address};QueueEndpoint={address};TableEndpoint={address}"
        away = run_command("start", "--app", str(app), "--port", "0", "--storage", connection)
    assert away.returncode == 4
    assert away.stderr.startswith("devhost: Storage cannot be used: ")
    assert len(away.stderr.splitlines()) == 1
    assert "Is Azurite running" in away.stderr


def test_an_asgi_and_a_wsgi_app_are_served(tmp_path: Path) -> None:
    asgi = """
async def web(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        return await send({"type": "lifespan.startup.complete"})
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 201, "headers": [(b"content-type", b"text/x"), (b"x-path", scope["path"].encode())]})
    await send({"type": "http.response.body", "body": b"asgi " + body})

app = func.AsgiFunctionApp(app=web, http_auth_level=func.AuthLevel.ANONYMOUS)
"""
    wsgi = """
def web(environ, start_response):
    start_response("202 Accepted", [("Content-Type", "text/y")])
    return [b"wsgi ", environ["wsgi.input"].read()]

app = func.WsgiFunctionApp(app=web, http_auth_level=func.AuthLevel.ANONYMOUS)
"""
    no_prefix = {"extensions": {"http": {"routePrefix": ""}}}
    with running(write_app(tmp_path / "asgi", asgi, host=no_prefix)) as host:
        reply = host.request("POST", "/any/path", b"body")
        assert (reply.status, reply.headers["content-type"], reply.headers["x-path"], reply.body) == (
            201,
            "text/x",
            "/any/path",
            b"asgi body",
        )
    with running(write_app(tmp_path / "wsgi", wsgi, host=no_prefix)) as host:
        reply = host.request("POST", "/any/path", b"body")
        assert (reply.status, reply.headers["content-type"], reply.body) == (202, "text/y", b"wsgi body")


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with running(write_app(tmp_path / "app", LIFE)) as host:

        def call_in_vain() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                host.get("/api/slow/25?as=last")

        calling = threading.Thread(target=call_in_vain)
        calling.start()
        host.wait_for_log("begins as last")
        host.process.send_signal(signal.SIGINT)
        host.wait_for_log("running calls are finished first")
        host.process.send_signal(signal.SIGINT)
        assert host.process.wait(timeout=15) == 130
        calling.join()
        wait_until(lambda: not any(map(is_alive, host.worker_pids)), what="end of the workers", seconds=5)
