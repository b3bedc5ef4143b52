"""Workers that grow are replaced without losing a call; apps that do not finish loading are given up, and it is said where they hang."""

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from pathlib import Path

import pytest

import devhost.pool
import devhost.worker_process
from devhost.invocation import Invocation, JsonText, Succeeded, WorkerLost
from devhost.pool import AppLoadError, WorkerPool
from devhost.worker_process import WorkerLaunch
from tests.devhost.shell.support import run_command, write_app

MB = 1 << 20
LEAKY = """
import os, time
kept = []

@app.activity_trigger(input_name="x")
def leak(x):
    kept.append(b"x" * (20 * 1024 * 1024))
    return os.getpid()

@app.activity_trigger(input_name="x")
def harmless(x):
    return os.getpid()

@app.activity_trigger(input_name="x")
def linger(x):
    time.sleep(2)
    return os.getpid()
"""


async def pid_of(pool: WorkerPool, function: str) -> int:
    outcome = await pool.invoke(Invocation(function=function, arguments={"x": "null"}, invocation_id=str(uuid.uuid4())))
    assert isinstance(outcome, Succeeded)
    assert isinstance(outcome.return_value, JsonText)
    return int(outcome.return_value.text)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devhost.pool, "_MEMORY_CHECK_SECONDS", 0.05)
    monkeypatch.setattr(devhost.pool, "_LEAST_LIFE_SECONDS", 0.2)
    monkeypatch.setattr(devhost.worker_process, "_SILENCE_SECONDS", 0.5)


@pytest.mark.usefixtures("hasty")
def test_a_worker_that_leaks_is_replaced_and_finishes_what_it_has(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = write_app(tmp_path / "app", LEAKY)

    async def run() -> None:
        pool = WorkerPool(WorkerLaunch(app, os.environ))
        await pool.start()
        pool._spawn(pool._watch_memory(pool._workers[0].resident_bytes + 70 * MB))  # the limit suits whatever Python this is
        (first,) = pool.worker_pids
        lingering = asyncio.create_task(pid_of(pool, "linger"))
        pids: list[int] = []
        deadline = time.monotonic() + 30
        while len(set(pids)) < 2:
            assert time.monotonic() < deadline, caplog.text
            is_noticed = "--worker-memory" in caplog.text
            pids.append(await pid_of(pool, "harmless" if is_noticed else "leak"))
            await asyncio.sleep(0.05)
        assert pids[0] == first
        assert await lingering == first  # it was running there when the worker was found too large
        while first in pool.worker_pids:
            await asyncio.sleep(0.05)
            assert time.monotonic() < deadline
        assert len(pool.worker_pids) <= 2
        await pool.stop()

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    said = [record.getMessage() for record in caplog.records if "--worker-memory" in record.getMessage()]
    assert len(said) >= 1
    assert "a fresh one takes its place, and it ends when its " in said[0]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.usefixtures("hasty")
def test_a_limit_that_no_worker_can_keep_is_said_once_and_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = write_app(tmp_path / "app", LEAKY)

    async def run() -> None:
        pool = WorkerPool(WorkerLaunch(app, os.environ), memory_bytes=8 * MB)
        await pool.start()
        deadline = time.monotonic() + 20
        while "is too low for this app and is not applied any more" not in caplog.text:
            assert time.monotonic() < deadline, caplog.text
            await asyncio.sleep(0.05)
        (kept,) = [slot.worker.pid for slot in pool._slots if slot.worker is not None]
        await asyncio.sleep(0.5)
        assert await pid_of(pool, "leak") == kept
        await pool.stop()

    asyncio.run(run())


def test_an_app_that_hangs_when_it_is_loaded_is_given_up_with_the_place(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", "import helper\n")
    (app / "helper.py").write_text("import time\n\ndef wait():\n    time.sleep(600)\n\nwait()\n")
    ended = run_command("check", "--app", str(app), "--load-timeout", "1")
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout == (
        "error: the app has not finished loading after 1 s; it is at function_app.py line 4 -> helper.py line 6 -> helper.py line 4 "
        "(time.sleep(600)). What waits belongs into a function, not into a module; --load-timeout SECONDS allows more time\n"
        "0 functions, 1 error, 0 warnings\n"
    )


def test_a_start_that_hangs_ends_with_the_same_words(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", "import queue\nqueue.Queue().get()\n")
    ended = run_command("start", "--app", str(app), "--port", "0", "--load-timeout", "1")
    assert ended.returncode == 1
    said = "the app has not finished loading after 1 s; it is at function_app.py line 5 -> wait in "
    assert ended.stderr.startswith(f"devhost: The app does not load:\n  - {said}")
    assert "Traceback" not in ended.stderr


@pytest.mark.usefixtures("hasty")
def test_an_app_that_holds_the_interpreter_is_given_up_too(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", "import ctypes\nctypes.PyDLL(None).sleep(600)\n")

    async def run() -> None:
        pool = WorkerPool(WorkerLaunch(app, os.environ, load_seconds=0.5))
        with pytest.raises(AppLoadError, match="does not say where it is: a library holds the interpreter"):
            await pool.start()

    asyncio.run(run())


COMPANY = """
import os, time

@app.activity_trigger(input_name="x")
def dies(x):
    time.sleep(0.3)
    os._exit(9)

@app.activity_trigger(input_name="x")
def works(x):
    time.sleep(0.4)
    return os.getpid()
"""


def test_of_calls_that_lost_a_worker_one_runs_in_a_worker_at_a_time(tmp_path: Path) -> None:
    """Else a call that kills its worker would take those that were in its company along for ever."""
    app = write_app(tmp_path / "app", COMPANY)

    async def until_done(pool: WorkerPool, function: str, attempts: int) -> int:
        lost = 0
        while lost < attempts:
            call = Invocation(function=function, arguments={"x": "null"}, invocation_id=str(uuid.uuid4()), lost_a_worker=lost > 0)
            try:
                await pool.invoke(call)
            except WorkerLost:
                lost += 1
            else:
                break
        return lost

    async def run() -> None:
        pool = WorkerPool(WorkerLaunch(app, os.environ))
        await pool.start()
        lost = await asyncio.gather(until_done(pool, "dies", 2), *(until_done(pool, "works", 9) for _ in range(3)))
        assert lost[0] == 2
        assert all(count <= 1 for count in lost[1:]), lost
        await pool.stop()

    asyncio.run(run())


RUNAWAY = """
import time
kept = []

@app.activity_trigger(input_name="x")
def hoard(x):
    while True:
        kept.append(b"x" * (10 * 1024 * 1024))
        time.sleep(0.02)
"""


@pytest.mark.usefixtures("hasty")
def test_a_call_that_eats_all_memory_is_cut_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = write_app(tmp_path / "app", RUNAWAY)

    async def run() -> None:
        pool = WorkerPool(WorkerLaunch(app, os.environ))
        await pool.start()
        pool._spawn(pool._watch_memory(pool._workers[0].resident_bytes + 40 * MB))
        with pytest.raises(WorkerLost, match="the worker process ended before the function did"):
            await pool.invoke(Invocation(function="hoard", arguments={"x": "null"}, invocation_id=str(uuid.uuid4())))
        await pool.stop()

    asyncio.run(run())
    assert "that was to finish its calls has grown on, to " in caplog.text
