"""The worker pool and the frames it talks in."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devhost.invocation import (
    Datum,
    Failed,
    HttpRequestData,
    HttpResponseData,
    Invocation,
    JsonText,
    Succeeded,
    TimedOut,
    WorkerLost,
)
from devhost.pool import AppLoadError, WorkerPool
from devhost.wire import FrameDecoder, call_frame, outcome_frame, read_call, read_outcome
from devhost.worker_process import WorkerLaunch
from tests.devhost.shell.support import write_app

T = TypeVar("T")

texts = st.text(st.characters(codec=None), max_size=30)  # lone surrogates too: user code makes them
maps = st.dictionaries(texts, texts, max_size=3)
simple = st.one_of(st.none(), texts, st.binary(max_size=50), st.builds(JsonText, texts))
requests = st.builds(HttpRequestData, method=texts, url=texts, headers=maps, params=maps, route_params=maps, body=st.binary(max_size=50))
responses = st.builds(
    HttpResponseData,
    status=st.integers(100, 999),
    headers=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
    body=st.binary(max_size=50),
)
failures = st.builds(Failed, type_name=texts, message=texts, stack=texts)
invocations = st.builds(
    Invocation,
    function=texts,
    arguments=st.dictionaries(texts, st.one_of(simple, requests), max_size=4),
    invocation_id=texts,
    instance_id=st.none() | texts,
    trigger_metadata=maps,
    retry_count=st.integers(0, 5),
    max_retry_count=st.integers(-1, 5),
    retry_failure=st.none() | failures,
)
outcomes = st.one_of(
    failures,
    st.builds(
        Succeeded,
        return_value=st.one_of(simple, responses),
        outputs=st.dictionaries(texts, st.one_of(simple, st.lists(simple, max_size=3)), max_size=3),
    ),
)


@given(calls=st.lists(invocations, max_size=4), answers=st.lists(outcomes, max_size=4), cut=st.integers(1, 64))
def test_what_was_written_is_read_however_the_stream_is_cut(calls: list[Invocation], answers: list[Succeeded | Failed], cut: int) -> None:
    stream = b"".join(
        [*(call_frame(n, call) for n, call in enumerate(calls)), *(outcome_frame(n, answer) for n, answer in enumerate(answers))]
    )
    decoder = FrameDecoder()
    frames = [frame for start in range(0, len(stream), cut) for frame in decoder.feed(stream[start : start + cut])]
    assert [frame.header["n"] for frame in frames] == [*range(len(calls)), *range(len(answers))]
    assert [read_call(frame) for frame in frames[: len(calls)]] == calls
    assert [read_outcome(frame) for frame in frames[len(calls) :]] == answers


APP = """
import asyncio, os, threading, time
import azure.durable_functions as df

@app.activity_trigger(input_name="x")
def echo(x):
    return x

@app.activity_trigger(input_name="x")
def pid(x):
    time.sleep(0.05)
    return os.getpid()

@app.activity_trigger(input_name="seconds")
def sleep(seconds: float):
    time.sleep(seconds)
    return threading.current_thread().name

inside = []

@app.activity_trigger(input_name="x")
def gate(x):
    inside.append(x)
    company = len(inside)
    while not os.path.exists(os.path.join(os.path.dirname(__file__), "open")):
        time.sleep(0.01)
    time.sleep(0.05)
    company = max(company, len(inside))
    inside.pop()
    return company

@app.activity_trigger(input_name="x")
async def company(x):
    return len(inside)

@app.activity_trigger(input_name="seconds")
async def rest(seconds: float):
    await asyncio.sleep(seconds)
    return "rested"

@app.activity_trigger(input_name="x")
def die(x):
    os._exit(9)

@app.activity_trigger(input_name="x")
def fail(x):
    try:
        raise KeyError("inner")
    except KeyError as error:
        raise ValueError("outer") from error

@app.activity_trigger(input_name="x")
def unserialisable(x):
    return {1, 2}

@app.activity_trigger(input_name="x")
def surrogate(x):
    raise ValueError("\\ud800")

@app.activity_trigger(input_name="x")
def reader_of_timestamps(x):
    from azure.durable_functions.models.history import HistoryEvent
    import sys
    return sys.modules[HistoryEvent.__module__].dt_parse.__module__
"""


def call(function: str, value: object = None) -> Invocation:
    datum: Datum = str(value) if value is not None else "null"
    parameter = "seconds" if function in {"sleep", "rest"} else "x"
    return Invocation(function=function, arguments={parameter: datum}, invocation_id=str(uuid.uuid4()))


def with_pool(
    folder: Path,
    work: Callable[[WorkerPool], Awaitable[T]],
    *,
    size: int = 1,
    timeout: float | None = None,
    threads: int = 4,
    settings: Mapping[str, str] | None = None,
) -> T:
    async def run() -> T:
        environment = {**os.environ, "PYTHON_THREADPOOL_THREAD_COUNT": str(threads), **(settings or {})}
        pool = WorkerPool(WorkerLaunch(write_app(folder / "app", APP), environment), size=size, timeout_seconds=timeout)
        await pool.start()
        try:
            return await work(pool)
        finally:
            await pool.stop()

    return asyncio.run(run())


def result(outcome: Succeeded | Failed) -> str:
    assert isinstance(outcome, Succeeded)
    assert isinstance(outcome.return_value, JsonText)
    return outcome.return_value.text


def test_activities_get_json_and_give_json(tmp_path: Path) -> None:
    values = ['"hi"', '{"a": [1, null]}', "5", '"5"', "null", "no json", '"é🚀"', '"' + "x" * 2_000_000 + '"']

    async def work(pool: WorkerPool) -> list[str]:
        return [result(await pool.invoke(call("echo", value))) for value in values]

    expected = [*values[:5], '"no json"', '"\\u00e9\\ud83d\\ude80"', values[7]]
    assert with_pool(tmp_path, work) == expected


def test_a_failure_has_type_text_and_the_frames_of_user_code_only(tmp_path: Path) -> None:
    async def work(pool: WorkerPool) -> list[Succeeded | Failed]:
        return [await pool.invoke(call(name)) for name in ("fail", "unserialisable", "surrogate")]

    failed, unserialisable, surrogate = with_pool(tmp_path, work)
    assert isinstance(failed, Failed)
    assert (failed.type_name, failed.message) == ("ValueError", "outer")
    assert failed.stack.startswith(f'  File "{tmp_path}/app/function_app.py", line ')
    assert failed.stack.count("File ") == 1
    assert isinstance(unserialisable, Failed)
    assert unserialisable.message.startswith("activity trigger output must be json serializable")
    assert isinstance(surrogate, Failed)
    assert surrogate.message == "\ud800"


@pytest.mark.parametrize(("settings", "reader"), [({}, "durable_quick_replay"), ({"DEVHOST_PLAIN_SDK": "1"}, "dateutil.parser._parser")])
def test_replays_are_quick_unless_the_sdk_is_to_stay_as_it_is(tmp_path: Path, settings: dict[str, str], reader: str) -> None:
    async def work(pool: WorkerPool) -> str:
        return result(await pool.invoke(call("reader_of_timestamps")))

    assert with_pool(tmp_path, work, settings=settings) == f'"{reader}"'


def test_calls_spread_over_the_workers(tmp_path: Path) -> None:
    async def work(pool: WorkerPool) -> set[str]:
        return {result(outcome) for outcome in await asyncio.gather(*(pool.invoke(call("pid")) for _ in range(12)))}

    assert len(with_pool(tmp_path, work, size=2)) == 2


def test_sync_calls_wait_for_threads_and_async_calls_do_not_wait_for_them(tmp_path: Path) -> None:
    async def work(pool: WorkerPool) -> tuple[list[str], list[str]]:
        waiting = [asyncio.ensure_future(pool.invoke(call("gate"))) for _ in range(6)]
        resting = await asyncio.wait_for(asyncio.gather(*(pool.invoke(call("rest", 0.1)) for _ in range(50))), 60)
        while result(await pool.invoke(call("company"))) != "2":
            pass
        assert not any(task.done() for task in waiting)
        (tmp_path / "app" / "open").touch()
        return [result(outcome) for outcome in await asyncio.gather(*waiting)], [result(outcome) for outcome in resting]

    companies, resting = with_pool(tmp_path, work, threads=2)
    assert max(map(int, companies)) == 2
    assert resting == ['"rested"'] * 50


def test_calls_in_flight_are_lost_with_their_worker_and_those_that_wait_are_not(tmp_path: Path) -> None:
    async def work(pool: WorkerPool) -> list[Succeeded | Failed | BaseException]:
        lost = [asyncio.ensure_future(pool.invoke(call("sleep", 30))) for _ in range(2)]
        await asyncio.sleep(0.2)
        dying = asyncio.ensure_future(pool.invoke(call("die")))
        waiting = [asyncio.ensure_future(pool.invoke(call("echo", n))) for n in range(20)]
        pool_pids = pool.worker_pids
        os.kill(pool_pids[0], 9)
        first = await asyncio.gather(*lost, return_exceptions=True)
        await asyncio.gather(dying, return_exceptions=True)
        rest = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 20)
        assert pool.worker_pids != pool_pids
        return [*first, *rest]

    outcomes = with_pool(tmp_path, work, threads=2)
    assert [type(outcome) for outcome in outcomes[:2]] == [WorkerLost] * 2
    done = [outcome for outcome in outcomes[2:] if isinstance(outcome, Succeeded)]
    assert len(done) >= 15  # all but the few that had been sent ahead


def test_a_call_past_the_timeout_loses_its_worker_and_the_next_call_has_another(tmp_path: Path) -> None:
    async def work(pool: WorkerPool) -> tuple[list[int], list[int]]:
        before = pool.worker_pids
        with pytest.raises(TimedOut, match=r"Timeout value of 00:00:00.5000000 was exceeded by function: Functions.sleep"):
            await pool.invoke(call("sleep", 30))
        assert result(await pool.invoke(call("echo", 1))) == "1"
        return before, pool.worker_pids

    before, after = with_pool(tmp_path, work, timeout=0.5)
    assert set(before).isdisjoint(after)


def test_stopping_loses_the_calls_that_are_open(tmp_path: Path) -> None:
    async def work(pool: WorkerPool) -> list[Succeeded | Failed | BaseException]:
        open_calls = [asyncio.ensure_future(pool.invoke(call("sleep", 30))) for _ in range(10)]
        await asyncio.sleep(0.2)
        assert not await pool.drain(0.1)
        await pool.stop(grace_seconds=0.1)
        return list(await asyncio.gather(*open_calls, return_exceptions=True))

    assert [type(outcome) for outcome in with_pool(tmp_path, work, threads=2)] == [WorkerLost] * 10


def test_an_app_that_does_not_load_leaves_no_worker(tmp_path: Path) -> None:
    async def run() -> WorkerPool:
        pool = WorkerPool(WorkerLaunch(write_app(tmp_path / "app", "raise RuntimeError('at import')\n"), dict(os.environ)), size=2)
        with pytest.raises(AppLoadError, match="RuntimeError: at import"):
            await pool.start()
        return pool

    assert asyncio.run(run()).open_calls == 0


def test_an_app_that_ends_the_process_while_it_loads_is_told_apart(tmp_path: Path) -> None:
    async def run() -> None:
        pool = WorkerPool(WorkerLaunch(write_app(tmp_path / "app", "import os; os._exit(7)\n"), dict(os.environ)))
        with pytest.raises(AppLoadError, match="ended with exit code 7 before it had loaded the app"):
            await pool.start()

    asyncio.run(run())
