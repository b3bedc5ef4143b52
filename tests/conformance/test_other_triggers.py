"""Checklist 15 to 21: timers, queues and blobs on Azurite, retry policies, and the life of the host process."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.target import Target
from tests.devhost.shell.support import Reply, RunningHost, running, wait_until, write_app
from tests.devhost.shell.test_triggers import (
    messages,
    names,
    put_blob,
    put_message,
    put_timer_status,
    seen,
    timer_status,
)

pytestmark = [pytest.mark.conformance, pytest.mark.e2e, pytest.mark.timeout(120)]

STORAGE = "connection='AzureWebJobsStorage'"
SOURCE = f"""
import json, os, threading, time, typing
seen = {{}}

def saw(name, what):
    seen.setdefault(name, []).append(what)

@app.route(route="seen/{{name}}")
def get_seen(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(seen.get(req.route_params["name"], [])))

@app.timer_trigger(arg_name="t", schedule="*/1 * * * * *")
def six(t: func.TimerRequest) -> None:
    saw("six", [time.time(), t.past_due])
    time.sleep(1.4)
    saw("six", [time.time(), t.past_due])

@app.timer_trigger(arg_name="t", schedule="* * * * *", run_on_startup=True)
def five(t: func.TimerRequest) -> None:
    saw("five", [t.past_due, t.schedule, t.schedule_status])
    raise ValueError("every time")

@app.timer_trigger(arg_name="t", schedule="* * * * * *")
def failing(t: func.TimerRequest) -> None:
    saw("failing", 1)
    raise ValueError("every time")

@app.timer_trigger(arg_name="t", schedule="0 0 0 1 1 *", run_on_startup=True)
@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:00")
def retried(t: func.TimerRequest, context: func.Context) -> None:
    retry = context.retry_context
    saw("retried", [retry.retry_count, retry.max_retry_count, str(retry.exception and retry.exception.message)])
    raise ValueError("no")

@app.timer_trigger(arg_name="t", schedule="0 0 0 1 1 *", run_on_startup=True)
def returns_timer(t: func.TimerRequest):
    saw("returns", "timer")
    return 5

@app.queue_trigger(arg_name="m", queue_name="%PREFIX%-in", {STORAGE})
def on_message(m: func.QueueMessage):
    text = m.get_body().decode()
    saw("messages", [text, m.dequeue_count, bool(m.id), bool(m.pop_receipt), m.insertion_time.tzinfo is not None])
    if text == "bad":
        raise ValueError("no")
    if text == "returns":
        return 5

@app.blob_trigger(arg_name="b", path="%PREFIX%/in/{{stem}}.csv", {STORAGE})
def on_blob(b: func.InputStream):
    saw("blobs", [b.name, b.length, b.read().decode()])
    if "bad" in b.name:
        raise ValueError("no")
    if "returns" in b.name:
        return 5

@app.blob_trigger(arg_name="b", path="%PREFIX%/in/{{stem}}.csv", {STORAGE})
def on_bytes(b: bytes):
    saw("bytes", b.decode())
"""
LIFE = """
import asyncio, os, threading, time

@app.route(route="pid")
def pid(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(str(os.getpid()))

@app.route(route="slow/{seconds}")
def slow(req: func.HttpRequest) -> func.HttpResponse:
    time.sleep(float(req.route_params["seconds"]))
    return func.HttpResponse("slept")

@app.route(route="gentle/{seconds}")
async def gentle(req: func.HttpRequest) -> func.HttpResponse:
    await asyncio.sleep(float(req.route_params["seconds"]))
    return func.HttpResponse(threading.current_thread().name)

@app.route(route="die")
def die(req: func.HttpRequest) -> func.HttpResponse:
    os._exit(3)
"""


class Triggers:
    """The app above on a host, and its share of the storage account."""

    def __init__(self, host: RunningHost, storage: str, prefix: str) -> None:
        self.host, self.storage, self.prefix = host, storage, prefix

    def seen(self, name: str) -> list[Any]:
        return list(self.host.get(f"/api/seen/{name}").json())

    def until(self, condition: Any, *, what: str, seconds: float = 25) -> None:
        wait_until(condition, what=what, seconds=seconds, explain=lambda: self.host.log[-3000:])


@pytest.fixture(scope="module")
def triggers(tmp_path_factory: pytest.TempPathFactory, storage: str) -> Iterator[Triggers]:
    prefix, settings = names()
    host_json = {"extensions": {"queues": {"maxPollingInterval": "00:00:01"}}}
    app = write_app(tmp_path_factory.mktemp("triggers") / "app", SOURCE, host=host_json)
    with running(app, "--storage", storage, settings=settings) as host:
        yield Triggers(host, storage, prefix)


def test_item_15_timers(triggers: Triggers) -> None:
    triggers.until(lambda: len(triggers.seen("six")) >= 6, what="three occurrences")
    moments = [moment for moment, _ in triggers.seen("six")][:6]
    assert moments == sorted(moments)  # begin, end, begin, end: none overlaps another
    assert all(end - begin > 1.3 for begin, end in zip(moments[::2], moments[1::2], strict=True))
    assert not any(is_past_due for _, is_past_due in triggers.seen("six"))
    five = triggers.seen("five")
    assert five[0][:2] == [False, {"AdjustForDST": True}]
    triggers.until(lambda: len(triggers.seen("failing")) >= 3, what="a timer that fails and goes on")


def test_item_15_past_due_after_downtime_and_16_the_status_blob(tmp_path: Path, storage: str) -> None:
    prefix, settings = names()
    source = (
        "seen = []\nimport json\n"
        "@app.route(route='seen')\ndef get_seen(req: func.HttpRequest) -> func.HttpResponse:\n    return func.HttpResponse(json.dumps(seen))\n"
        "@app.timer_trigger(arg_name='t', schedule='%SCHEDULE%')\ndef tick(t: func.TimerRequest) -> None:\n"
        "    seen.append([t.past_due, sorted(t.schedule_status)])\n"
    )
    app = write_app(tmp_path / "app", source)
    settings |= {"WEBSITE_TIME_ZONE": "UTC", "SCHEDULE": "0 0 0 1 1 *"}
    missed = {"Last": "2024-12-31T12:00:00+00:00", "Next": "2025-01-01T00:00:00+00:00", "LastUpdated": "2024-12-31T12:00:00+00:00"}
    put_blob(storage, "azure-webjobs-hosts", "any", b"")
    put_timer_status(storage, prefix, missed)
    with running(app, "--storage", storage, settings=settings) as host:
        assert seen(host, 1) == [[True, ["Last", "LastUpdated", "Next"]]]
        next_year = f"{datetime.now(UTC).year + 1}-01-01"
        wait_until(lambda: timer_status(storage, prefix)["Next"].startswith(next_year), what="a new status")
        assert list(timer_status(storage, prefix)) == ["Last", "Next", "LastUpdated"]
        assert len(host.get("/api/seen").json()) == 1  # made up for once, not once for each missed year


def test_item_16_a_changed_schedule_recomputes_the_status(tmp_path: Path, storage: str) -> None:
    prefix, settings = names()
    source = "@app.timer_trigger(arg_name='t', schedule='%SCHEDULE%')\ndef tick(t: func.TimerRequest) -> None:\n    print('ticked')\n"
    app = write_app(tmp_path / "app", source)
    settings |= {"WEBSITE_TIME_ZONE": "UTC", "SCHEDULE": "0 0 0 1 6 *"}
    put_blob(storage, "azure-webjobs-hosts", "any", b"")
    stale = {"Last": "2024-12-31T12:00:00+00:00", "Next": "2025-01-01T00:00:00+00:00", "LastUpdated": "2024-12-31T12:00:00+00:00"}
    put_timer_status(storage, prefix, stale)
    with running(app, "--storage", storage, settings=settings) as host:
        wait_until(lambda: timer_status(storage, prefix)["Next"][5:10] == "06-01", what="the schedule's own next time")
        assert "ticked" not in host.log


def test_item_17_queues(triggers: Triggers) -> None:
    queue = f"{triggers.prefix}-in"
    put_message(triggers.storage, queue, '{"é": 1}')
    put_message(triggers.storage, queue, "bad")
    put_message(triggers.storage, queue, "not base64!", encode=False)
    triggers.until(lambda: len(triggers.seen("messages")) >= 6, what="one good delivery and five bad ones")
    found = triggers.seen("messages")
    assert [item for item in found if item[0] != "bad"] == [['{"é": 1}', 1, True, True, True]]
    assert [item[1] for item in found if item[0] == "bad"] == [1, 2, 3, 4, 5]
    poison: set[str] = set()

    def are_there() -> bool:
        poison.update(messages(triggers.storage, f"{queue}-poison"))
        return len(poison) >= 2

    triggers.until(are_there, what="two poison messages")
    assert poison == {"not base64!", base64.b64encode(b"bad").decode()}
    time.sleep(1.2)
    assert messages(triggers.storage, queue) == []


def test_item_18_blobs_run_once_for_each_version(triggers: Triggers) -> None:
    put_blob(triggers.storage, triggers.prefix, "in/a.csv", b"1")
    put_blob(triggers.storage, triggers.prefix, "in/a.txt", b"another pattern")
    triggers.until(lambda: len(triggers.seen("blobs")) >= 1 and len(triggers.seen("bytes")) >= 1, what="both functions")
    put_blob(triggers.storage, triggers.prefix, "in/a.csv", b"22")
    triggers.until(lambda: len(triggers.seen("blobs")) >= 2 and len(triggers.seen("bytes")) >= 2, what="the new version")
    assert triggers.seen("blobs") == [[f"{triggers.prefix}/in/a.csv", 1, "1"], [f"{triggers.prefix}/in/a.csv", 2, "22"]]
    assert triggers.seen("bytes") == ["1", "22"]
    put_blob(triggers.storage, triggers.prefix, "in/bad.csv", b"bad")
    triggers.host.wait_for_log("has failed 5 times and is moved to webjobs-blobtrigger-poison", seconds=25)
    poison: set[str] = set()

    def is_there() -> bool:
        found = [json.loads(base64.b64decode(text)) for text in messages(triggers.storage, "webjobs-blobtrigger-poison")]
        poison.update(message["FunctionId"] for message in found if message["ContainerName"] == triggers.prefix)
        return bool(poison)

    triggers.until(is_there, what="a poison message")
    assert poison == {"Host.Functions.on_blob"}


def test_item_18_and_once_over_a_restart(tmp_path: Path, storage: str) -> None:
    prefix, settings = names()
    source = f"@app.blob_trigger(arg_name='b', path='%PREFIX%/{{name}}', {STORAGE})\ndef on_blob(b: func.InputStream):\n    print('blob', b.name)\n"
    app = write_app(tmp_path / "app", source)
    put_blob(storage, prefix, "first", b"1")
    with running(app, "--storage", storage, settings=settings) as host:
        host.wait_for_log(f"blob {prefix}/first")
    with running(app, "--storage", storage, settings=settings) as host:
        put_blob(storage, prefix, "second", b"2")
        host.wait_for_log(f"blob {prefix}/second")
        time.sleep(0.5)
        assert f"blob {prefix}/first" not in host.log


def test_item_19_a_return_value_without_a_binding_fails_the_call(triggers: Triggers) -> None:
    put_message(triggers.storage, f"{triggers.prefix}-in", "returns")
    put_blob(triggers.storage, triggers.prefix, "in/returns.csv", b"r")
    for name in ("on_message", "on_blob", "returns_timer"):
        triggers.host.wait_for_log(f"RuntimeError: function '{name}' without a $return binding returned a non-None value", seconds=25)
    assert "returns" in [item[0] for item in triggers.seen("messages")]  # the body has run
    assert triggers.seen("returns") == ["timer"]


def test_item_20_a_retry_policy(triggers: Triggers) -> None:
    triggers.until(lambda: len(triggers.seen("retried")) >= 3, what="two retries")
    time.sleep(0.3)
    assert triggers.seen("retried") == [[0, 2, "None"], [1, 2, "ValueError: no"], [2, 2, "ValueError: no"]]


def called(host: RunningHost, target: str, replies: list[Reply]) -> threading.Thread:
    thread = threading.Thread(target=lambda: replies.append(host.get(target)))
    thread.start()
    return thread


def test_item_21_a_dying_worker_and_a_graceful_end(tmp_path: Path) -> None:
    with running(write_app(tmp_path / "app", LIFE)) as host:
        before = host.get("/api/pid").text
        replies: list[Reply] = []
        thread = called(host, "/api/slow/20", replies)
        time.sleep(0.4)
        replies.append(host.get("/api/die"))
        thread.join()
        assert [(reply.status, reply.body) for reply in replies] == [(500, b"")] * 2
        after = host.get("/api/pid")
        assert (after.status, after.text != before) == (200, True)
        replies.clear()
        thread = called(host, "/api/slow/1.5", replies)
        time.sleep(0.5)
        assert host.terminate() == 0
        thread.join()
        assert [(reply.status, reply.text, reply.headers["connection"]) for reply in replies] == [(200, "slept", "close")]


def test_item_21_changes_are_taken_up(tmp_path: Path) -> None:
    def source(text: str) -> str:
        return f"@app.route(route='x')\ndef x(req: func.HttpRequest) -> func.HttpResponse:\n    return func.HttpResponse('{text}')\n"

    app = write_app(tmp_path / "app", source("one"))
    with running(app, "--watch") as host:
        assert host.get("/api/x").text == "one"
        write_app(app, source("two"))
        wait_until(lambda: host.get("/api/x").text == "two", what="the new code", explain=lambda: host.log)
        write_app(app, source("two"), host={"extensions": {"http": {"routePrefix": "moved"}}})
        wait_until(lambda: host.get("/moved/x").status == 200, what="the new host.json", explain=lambda: host.log)


def test_item_21_sync_functions_have_threads_and_async_ones_a_loop(tmp_path: Path) -> None:
    def took(host: RunningHost, route: str, count: int) -> float:
        replies: list[Reply] = []
        began = time.monotonic()
        threads = [called(host, route, replies) for _ in range(count)]
        for thread in threads:
            thread.join()
        assert {reply.status for reply in replies} == {200}
        return time.monotonic() - began

    app = write_app(tmp_path / "app", LIFE)
    with running(app, settings={"PYTHON_THREADPOOL_THREAD_COUNT": "2"}) as host:
        assert 1.45 < took(host, "/api/slow/0.5", 6) < 3
        assert took(host, "/api/gentle/0.5", 12) < 1.8
        assert host.get("/api/gentle/0").text == "MainThread"


def test_item_21_the_port_opens_last(tmp_path: Path) -> None:
    import socket

    app = write_app(tmp_path / "app", "import time\ntime.sleep(1.0)\n" + LIFE)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    answers: list[int | str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                answers.append(Target(f"http://127.0.0.1:{port}").get("/api/pid").status)
            except OSError:
                answers.append("refused")
            time.sleep(0.05)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        with running(app, "--port", str(port)):
            time.sleep(0.2)
    finally:
        stop.set()
        asking.join()
    assert answers[0] == "refused"
    assert set(answers) == {"refused", 200}
