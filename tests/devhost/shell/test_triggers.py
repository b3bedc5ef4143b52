"""Timer, queue and blob triggers and the storage bindings, on Azurite."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from devhost.storage.account import StorageAccount
from tests.devhost.shell.support import RunningHost, running, wait_until, write_app

pytestmark = pytest.mark.e2e

T = TypeVar("T")
STORAGE = "connection='AzureWebJobsStorage'"
SEEN = """
import json, logging
seen = []

@app.route(route="seen")
def get_seen(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(seen))
"""


def with_account(connection: str, work: Callable[[StorageAccount], Awaitable[T]]) -> T:
    async def run() -> T:
        account = StorageAccount.from_connection_string(connection)
        try:
            return await work(account)
        finally:
            await account.close()

    return asyncio.run(run())


def put_message(connection: str, queue: str, text: str, *, encode: bool = True) -> None:
    async def work(account: StorageAccount) -> None:
        await account.queues.create(queue)
        await account.queues.put(queue, base64.b64encode(text.encode()).decode() if encode else text)

    with_account(connection, work)


def messages(connection: str, queue: str) -> list[str]:
    async def work(account: StorageAccount) -> list[str]:
        found = await account.queues.receive(queue, count=32, visibility_seconds=1)
        return [message.text for message in found or ()]

    return with_account(connection, work)


def left(connection: str, queue: str) -> int | None:
    """How many messages a queue holds, those that are being handled included; None if there is no such queue."""
    return with_account(connection, lambda account: account.queues.length(queue))


def put_blob(connection: str, container: str, name: str, data: bytes) -> None:
    async def work(account: StorageAccount) -> None:
        await account.blobs.create_container(container)
        await account.blobs.put(container, name, data, metadata={"colour": "red"})

    with_account(connection, work)


def seen(host: RunningHost, count: int, *, tag: str | None = None, seconds: float = 15) -> list[Any]:
    """Waits until the app has seen at least `count` things; of those with a tag, what follows it."""

    def found() -> list[Any]:
        things = host.get("/api/seen").json()
        return things if tag is None else [each[1:] for each in things if each[0] == tag]

    wait_until(lambda: len(found()) >= count, what=f"{count} things seen", seconds=seconds, explain=lambda: host.log)
    return found()


def names() -> tuple[str, dict[str, str]]:
    """A prefix no other test uses, and the settings that give this app a host id of its own."""
    unique = uuid.uuid4().hex[:10]
    return unique, {"AzureFunctionsWebHost__hostid": f"host-{unique}", "PREFIX": unique}


FAST_QUEUES = {"extensions": {"queues": {"maxPollingInterval": "00:00:01"}}}
MANY = f"""
import json, typing
{SEEN}
@app.queue_trigger(arg_name="m", queue_name="%PREFIX%-in", {STORAGE})
def on_message(m: func.QueueMessage):
    seen.append(["message", m.get_body().decode(), m.dequeue_count, m.insertion_time.tzinfo is not None, bool(m.id), bool(m.pop_receipt)])

@app.queue_trigger(arg_name="m", queue_name="%PREFIX%-bad", {STORAGE})
def on_bad_message(m: func.QueueMessage):
    seen.append(["bad message", m.dequeue_count])
    raise ValueError("no")

@app.blob_trigger(arg_name="b", path="%PREFIX%-bad/{{name}}", {STORAGE})
def on_bad_blob(b: func.InputStream):
    seen.append(["bad blob", b.name])
    raise ValueError("no")

@app.route(route="out/{{name}}", methods=["POST"])
@app.queue_output(arg_name="q", queue_name="%PREFIX%-out", {STORAGE})
@app.blob_output(arg_name="b", path="%PREFIX%/{{name}}.bin", {STORAGE})
def out(req: func.HttpRequest, q: func.Out[typing.List[str]], b: func.Out[bytes]) -> func.HttpResponse:
    q.set(["one", "zwei é"])
    b.set(req.get_body())
    return func.HttpResponse("ok")

@app.route(route="in/{{name}}")
@app.blob_input(arg_name="b", path="%PREFIX%/{{name}}.bin", {STORAGE})
def read(req: func.HttpRequest, b: func.InputStream) -> func.HttpResponse:
    return func.HttpResponse(b.read() if b is not None else "no blob")

@app.timer_trigger(arg_name="t", schedule="0 0 0 1 1 *", run_on_startup=True)
@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:00")
def retried(t: func.TimerRequest, context: func.Context):
    retry = context.retry_context
    seen.append(["retried", retry.retry_count, retry.max_retry_count, retry.exception and retry.exception.message])
    raise ValueError("no")
"""


@pytest.fixture(scope="module")
def many(storage: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningHost, str]]:
    """A host for all tests that do it no harm, and the prefix of what belongs to it."""
    prefix, settings = names()
    put_message(storage, f"{prefix}-in", '{"é": 1}')
    put_message(storage, f"{prefix}-bad", "bad")
    put_message(storage, f"{prefix}-bad", "not base64!", encode=False)
    put_blob(storage, f"{prefix}-bad", "a", b"1")
    app = write_app(tmp_path_factory.mktemp("many") / "app", MANY, host=FAST_QUEUES)
    with running(app, "--storage", storage, settings=settings) as host:
        yield host, prefix


def test_a_message_is_handed_over_and_deleted(many: tuple[RunningHost, str], storage: str) -> None:
    host, prefix = many
    assert seen(host, 1, tag="message") == [['{"é": 1}', 1, True, True, True]]
    wait_until(lambda: left(storage, f"{prefix}-in") == 0, what="empty queue")


def test_a_message_that_fails_five_times_goes_to_the_poison_queue_as_it_was(many: tuple[RunningHost, str], storage: str) -> None:
    host, prefix = many
    wait_until(lambda: left(storage, f"{prefix}-bad-poison") == 2, what="two poison messages", explain=lambda: host.log)
    wait_until(lambda: left(storage, f"{prefix}-bad") == 0, what="empty queue")
    assert seen(host, 5, tag="bad message") == [[1], [2], [3], [4], [5]]
    assert f"has failed 5 times and is moved to {prefix}-bad-poison" in host.log
    assert "its text is not base64" in host.log
    assert sorted(messages(storage, f"{prefix}-bad-poison")) == [base64.b64encode(b"bad").decode(), "not base64!"]


def test_a_blob_that_fails_five_times_leaves_a_poison_message(many: tuple[RunningHost, str], storage: str) -> None:
    host, prefix = many
    host.wait_for_log("has failed 5 times and is moved to webjobs-blobtrigger-poison")
    assert seen(host, 5, tag="bad blob") == [[f"{prefix}-bad/a"]] * 5
    poison = [json.loads(base64.b64decode(text)) for text in messages(storage, "webjobs-blobtrigger-poison")]
    mine = next(message for message in poison if message["ContainerName"] == f"{prefix}-bad")
    assert {key: mine[key] for key in ("Type", "FunctionId", "BlobName")} == {
        "Type": "BlobTrigger", "FunctionId": "Host.Functions.on_bad_blob", "BlobName": "a",
    }  # fmt: skip


def test_queue_and_blob_outputs_and_inputs(many: tuple[RunningHost, str], storage: str) -> None:
    host, prefix = many
    assert host.request("POST", "/api/out/x", b"\x00\xff").text == "ok"
    assert host.get("/api/in/x").body == b"\x00\xff"
    assert host.get("/api/in/y").text == "no blob"
    texts = sorted(base64.b64decode(text).decode() for text in messages(storage, f"{prefix}-out"))
    assert texts == ["one", "zwei é"]


def test_a_retry_policy_runs_the_function_again_and_gives_up(many: tuple[RunningHost, str]) -> None:
    host, _ = many
    assert seen(host, 3, tag="retried") == [[0, 2, None], [1, 2, "ValueError: no"], [2, 2, "ValueError: no"]]
    time.sleep(0.5)
    assert len(seen(host, 3, tag="retried")) == 3


def test_a_queue_function_must_return_nothing(tmp_path: Path, storage: str) -> None:
    prefix, settings = names()
    host_json = {"extensions": {"queues": {"maxPollingInterval": "00:00:01", "maxDequeueCount": 1}}}
    source = f"""{SEEN}
@app.queue_trigger(arg_name="m", queue_name="%PREFIX%-in", {STORAGE})
def on_message(m: func.QueueMessage):
    seen.append(1)
    return 5
"""
    app = write_app(tmp_path / "app", source, host=host_json)
    put_message(storage, f"{prefix}-in", "x")
    with running(app, "--storage", storage, settings=settings) as host:
        host.wait_for_log("RuntimeError: function 'on_message' without a $return binding returned a non-None value")
        host.wait_for_log("is moved to")
        assert seen(host, 1) == [1]


def test_each_version_of_a_blob_runs_each_function_once_also_over_a_restart(tmp_path: Path, storage: str) -> None:
    prefix, settings = names()
    source = f"""{SEEN}
@app.blob_trigger(arg_name="b", path="%PREFIX%/in/{{stem}}.csv", {STORAGE})
def on_blob(b: func.InputStream):
    seen.append([b.name, b.length, b.read().decode(), b.metadata, b.uri.startswith("http://")])

@app.blob_trigger(arg_name="b", path="%PREFIX%/in/{{stem}}.csv", {STORAGE})
def on_text(b: bytes):
    seen.append("bytes " + b.decode())
"""
    app = write_app(tmp_path / "app", source)
    put_blob(storage, prefix, "in/a.csv", b"1")
    put_blob(storage, prefix, "in/a.txt", b"not matched")
    with running(app, "--storage", storage, settings=settings) as host:
        first = seen(host, 2)
        assert sorted(first, key=str) == [[f"{prefix}/in/a.csv", 1, "1", {"colour": "red"}, True], "bytes 1"]
        put_blob(storage, prefix, "in/a.csv", b"22")
        assert len(seen(host, 4)) == 4
    with running(app, "--storage", storage, settings=settings) as host:
        put_blob(storage, prefix, "in/b.csv", b"333")
        seen(host, 2)
        put_blob(storage, prefix, "in/c.csv", b"4444")  # a whole look at the container lies between the two
        later = [each if isinstance(each, str) else each[2] for each in seen(host, 4)]
        assert sorted(later) == ["333", "4444", "bytes 333", "bytes 4444"]


TIMER = f"""{SEEN}
@app.timer_trigger(arg_name="t", schedule="%SCHEDULE%", run_on_startup=STARTUP)
def tick(t: func.TimerRequest):
    seen.append([t.past_due, t.schedule, sorted(t.schedule_status)])
"""


def test_a_timer_fires_by_its_schedule_and_survives_a_failing_run(tmp_path: Path) -> None:
    source = TIMER.replace("STARTUP", "True") + "    raise ValueError('every time')\n"
    with running(write_app(tmp_path / "app", source), settings={"SCHEDULE": "* * * * * *"}) as host:
        assert seen(host, 3, seconds=6)[:3] == [[False, {"AdjustForDST": True}, []]] * 3
        assert "AzureWebJobsStorage is not set: timers run, but forget" in host.log


def test_a_missed_occurrence_is_made_up_for_once_and_a_changed_schedule_forgets_it(tmp_path: Path, storage: str) -> None:
    prefix, settings = names()
    app = write_app(tmp_path / "app", TIMER.replace("STARTUP", "False"))
    yearly = "0 0 0 1 1 *"
    with running(app, "--storage", storage, settings={**settings, "SCHEDULE": yearly}) as host:
        assert host.get("/api/seen").json() == []
        wait_until(lambda: sorted(timer_status(storage, prefix)) == ["Last", "LastUpdated", "Next"], what="a status blob")
    missed = {"Last": "2024-12-31T12:00:00+00:00", "Next": "2025-01-01T00:00:00+00:00", "LastUpdated": "2024-12-31T12:00:00+00:00"}
    put_timer_status(storage, prefix, missed)
    utc = {**settings, "WEBSITE_TIME_ZONE": "UTC"}
    with running(app, "--storage", storage, settings={**utc, "SCHEDULE": yearly}) as host:
        assert seen(host, 1) == [[True, {"AdjustForDST": True}, ["Last", "LastUpdated", "Next"]]]
        wait_until(lambda: timer_status(storage, prefix)["Next"] > "2025-01-02", what="a new status")
    put_timer_status(storage, prefix, missed)
    with running(app, "--storage", storage, settings={**utc, "SCHEDULE": "0 0 0 1 6 *"}) as host:
        wait_until(lambda: timer_status(storage, prefix)["Next"][5:7] in {"06", "05"}, what="the schedule's own next time")
        assert host.get("/api/seen").json() == []


def test_one_host_of_two_runs_the_timer_until_it_ends(tmp_path: Path, storage: str) -> None:
    _, settings = names()
    settings["SCHEDULE"] = "* * * * * *"
    first_app, second_app = (write_app(tmp_path / name, TIMER.replace("STARTUP", "False")) for name in ("one", "two"))
    with running(second_app, "--storage", storage, settings=settings) as second:
        assert seen(second, 1)
        with running(first_app, "--storage", storage, settings=settings) as first:
            seen(second, 3)
            assert first.get("/api/seen").json() == []
            second.kill()  # its lease would last another fifteen seconds
            assert seen(first, 1, seconds=9)


def timer_status(connection: str, prefix: str) -> dict[str, str]:
    async def work(account: StorageAccount) -> dict[str, str]:
        answer = await account.blobs.get("azure-webjobs-hosts", f"timers/host-{prefix}/Host.Functions.tick/status")
        return dict(json.loads(answer.body)) if answer is not None else {}

    return with_account(connection, work)


def put_timer_status(connection: str, prefix: str, status: dict[str, str]) -> None:
    async def work(account: StorageAccount) -> None:
        await account.blobs.put("azure-webjobs-hosts", f"timers/host-{prefix}/Host.Functions.tick/status", json.dumps(status).encode())

    with_account(connection, work)
