"""Checklist 55 to 66, engine: crashes, batching, limits, ids in use, terminate, suspend, rewind, purge, large values, timers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import app_settings, copy_of_app
from tests.conformance.target import Target
from tests.devhost.shell.support import RunningHost, running

pytestmark = [pytest.mark.conformance, pytest.mark.e2e, pytest.mark.timeout(180)]


@contextmanager
def started(app: Path, settings: dict[str, str]) -> Iterator[tuple[RunningHost, Target]]:
    with running(app, settings=settings) as host:
        yield host, Target(f"http://127.0.0.1:{host.port}")


def kinds(history: list[dict[str, Any]]) -> list[str]:
    return [event["EventType"] for event in history]


def gated(target: Target) -> str:
    instance = target.start("c_not_waited")
    target.until(lambda: target.count(f"started-{instance}"), what="the activity's start")
    return instance


def waiting(target: Target, name: str = "o_event") -> str:
    instance = target.start(name)
    target.wait(instance, until=("Running",))
    return instance


def test_item_55_a_killed_host_loses_and_doubles_nothing(tmp_path: Path, storage: str) -> None:
    app, settings = copy_of_app(tmp_path), app_settings(storage)
    with started(app, settings) as (host, target):
        fans = [target.start("c_rearm") for _ in range(3)] + [target.start("c_family") for _ in range(3)]
        waits = waiting(target)
        entity = target.start("c_notes", None, {"steps": [["signal", "add", number] for number in range(10)] + [["call", "get", None]]})
        time.sleep(0.15)
        host.kill()
    with started(app, settings) as (_, target):
        assert [target.wait(name)["runtimeStatus"] for name in fans] == ["Completed"] * len(fans)
        assert [target.status(name)["output"] for name in fans[:3]] == [["0", "1", "2", "3", "4", "5"]] * 3
        assert target.wait(entity)["output"] == [list(range(10))]
        target.raise_event(waits, "go", "after")
        assert target.wait(waits)["output"] == "after"
        for name in fans[:3]:
            assert all(target.count(f"{name}-{number}") >= 1 for number in range(6))
            done = [event["Result"] for event in target.history(name) if event["EventType"] == "TaskCompleted"]
            assert sorted(done) == [f"{name}-{number}" for number in range(6)]


def test_item_56_an_activity_cut_off_runs_again(tmp_path: Path, storage: str) -> None:
    app, settings = copy_of_app(tmp_path), app_settings(storage)
    with started(app, settings) as (host, target):
        instance = gated(target)
        finished = target.start("c_forgets")
        target.wait(finished)
        host.kill()
    with started(app, settings) as (_, target):
        target.until(lambda: target.count(f"started-{instance}") == 2, what="a second start")
        target.mark(instance)
        assert target.wait(instance)["output"] == instance
        assert kinds(target.history(instance)) == ["ExecutionStarted", "TaskCompleted", "ExecutionCompleted"]
        assert target.count(f"asked-{finished}") == 1


def test_item_57_events_during_an_episode_wait_for_the_next(target: Target) -> None:
    instance = waiting(target, "c_three_events")
    for name in ("c", "b", "a"):
        target.raise_event(instance, name, name)
    assert target.wait(instance)["output"] == ["a", "b", "c"]
    assert sorted(event["Name"] for event in target.history(instance) if event["EventType"] == "EventRaised") == ["a", "b", "c"]


def test_item_58_completions_that_are_there_come_together(target: Target) -> None:
    """150 results in far fewer episodes, seen by the times of the events: those of one episode are handed over together."""
    instance = target.start("o_fan", None, "150")
    assert target.wait(instance, seconds=60)["output"] == sum(range(150))
    assert kinds(target.history(instance)).count("TaskCompleted") == 150


def test_item_58_in_one_episode(storage: str) -> None:
    from tests.devhost.durable.scenarios import in_host

    async def story(host: Any) -> None:
        instance = await host.start_new("fan", None, {"n": 150})
        await host.wait(instance)
        partition = await host.extension._store.load(instance)
        episodes = [event.kind.name for event in partition.events].count("OrchestratorStarted")
        assert episodes < 75, episodes

    in_host(storage, story)


def test_item_59_limits_are_kept(tmp_path: Path, storage: str) -> None:
    app = copy_of_app(tmp_path)
    host_json = json.loads((app / "host.json").read_text())
    host_json["extensions"]["durableTask"] |= {"maxConcurrentActivityFunctions": 2, "maxConcurrentOrchestratorFunctions": 1}
    (app / "host.json").write_text(json.dumps(host_json))
    with started(app, app_settings(storage)) as (_, target):
        assert target.output("c_widest", {"n": 6}) == 2
        assert [target.wait(name)["runtimeStatus"] for name in [target.start("o_chain") for _ in range(5)]] == ["Completed"] * 5


def test_item_59_the_apps_own_limit_is_wider(target: Target) -> None:
    assert 3 <= target.output("c_widest", {"n": 12}) <= 20


def test_item_60_ids_in_use(target: Target) -> None:
    def start(instance: str) -> tuple[int, str]:
        reply = target.manage("POST", f"/orchestrators/o_chain/{instance}")
        return reply.status, reply.json().get("ExceptionMessage", "")

    text = "An Orchestration instance with the status {} already exists."
    live, held = waiting(target), waiting(target)
    target.post(held, "suspend?reason=x")
    target.wait(held, until=("Suspended",))
    assert start(live) == (500, text.format("Running"))
    assert start(held) == (500, text.format("Suspended"))
    target.post(held, "terminate?reason=x")
    ended = [(target.start("o_chain"), "Completed"), (target.start("o_error"), "Failed"), (held, "Terminated")]
    for instance, status in ended:
        assert target.wait(instance)["runtimeStatus"] == status
        assert start(instance)[0] == 202
        assert target.wait(instance)["output"] == [1, 2, 3]
        history = target.history(instance)
        assert history[0]["Generation"] == 1
        assert kinds(history) == ["ExecutionStarted", *["TaskCompleted"] * 3, "ExecutionCompleted"]
    target.post(live, "terminate?reason=end")


def test_item_61_terminate(target: Target) -> None:
    instance = gated(target)
    assert target.post(instance, "terminate?reason=stop%20it").status == 202
    found = target.wait(instance, seconds=5)
    assert (found["runtimeStatus"], found["output"]) == ("Terminated", "stop it")
    assert kinds(target.history(instance))[-2:] == ["ExecutionTerminated", "ExecutionCompleted"]
    target.mark(instance)  # its activity was not interrupted; its result goes nowhere
    time.sleep(0.5)
    assert target.status(instance)["output"] == "stop it"
    parent = target.start("c_parent_leaves")
    child = f"{parent}-child"
    target.wait(child, until=("Running",))
    target.post(parent, "terminate?reason=stop")
    assert target.wait(parent, seconds=5)["runtimeStatus"] == "Terminated"
    assert target.status(child)["runtimeStatus"] == "Running"
    assert target.wait(child)["output"] == "child done"


def test_item_62_suspend_and_resume(target: Target) -> None:
    instance, timer = waiting(target), target.start("c_sleeps", None, {"seconds": 3})
    target.wait(timer, until=("Running",))
    for name in (instance, timer):
        target.post(name, "suspend?reason=hold")
        target.wait(name, until=("Suspended",))
    assert target.raise_event(instance, "go", "held").status == 202
    time.sleep(3)
    for name in (instance, timer):
        assert target.status(name)["runtimeStatus"] == "Suspended"
    assert "TimerFired" in kinds(target.history(timer))
    assert "EventRaised" in kinds(target.history(instance))
    for name in (instance, timer):
        target.post(name, "resume?reason=go")
    assert (target.wait(instance)["output"], target.wait(timer)["output"]) == ("held", "slept")
    stopped = waiting(target)
    target.post(stopped, "suspend?reason=hold")
    target.wait(stopped, until=("Suspended",))
    target.post(stopped, "terminate?reason=over")
    found = target.wait(stopped)
    assert (found["runtimeStatus"], found["output"]) == ("Terminated", "over")


def test_item_63_rewind(target: Target) -> None:
    instance = target.start("o_once_fail")
    assert target.wait(instance)["runtimeStatus"] == "Failed"
    assert target.post(instance, "rewind?reason=again").status == 202
    found = target.wait(instance, until=("Completed",))
    assert found["output"] == "recovered"
    assert kinds(target.history(instance)).count("GenericEvent") == 4
    assert target.post(instance, "rewind?reason=x").status == 410
    live = waiting(target)
    assert target.post(live, "rewind?reason=x").status == 500
    target.post(live, "terminate?reason=end")


def test_item_64_purge(target: Target) -> None:
    live, done = gated(target), target.start("o_chain")
    target.wait(done)
    for instance in (live, done):
        assert target.manage("DELETE", f"/instances/{instance}").json() == {"instancesDeleted": 1}
        assert target.status(instance) == {}
    target.mark(live)
    time.sleep(0.5)
    assert target.status(live) == {}
    assert target.wait(target.start("o_chain", live))["output"] == [1, 2, 3]


def test_item_64_a_purge_by_filter_and_its_trap(tmp_path: Path, storage: str) -> None:
    with started(copy_of_app(tmp_path), app_settings(storage)) as (_, target):
        completed, failed, live = target.start("o_chain"), target.start("o_error"), waiting(target)
        target.wait(completed)
        target.wait(failed)
        target.signal("Notes/purged", "who")
        target.until(lambda: target.status("@notes@purged"), what="the entity")
        since = "/instances/?createdTimeFrom=2020-01-01T00:00:00Z"
        assert target.manage("DELETE", f"{since}&runtimeStatus=Completed").json() == {"instancesDeleted": 1}
        assert (target.status(completed), target.status(failed)["runtimeStatus"]) == ({}, "Failed")
        assert target.manage("DELETE", f"{since}&createdTimeTo=2020-01-02T00:00:00Z").status == 404
        # No status, or only such as are not terminal: everything goes, what runs and entities too.
        assert target.manage("DELETE", f"{since}&runtimeStatus=Running").json() == {"instancesDeleted": 3}
        assert (target.status(live), target.manage("GET", "/instances").json()) == ({}, [])


def test_item_65_large_values(target: Target) -> None:
    size = 150_000
    child, many, text = target.output("c_big", {"size": size})
    assert (child, many, len(text)) == (size, [size] * 3, size)
    instance = target.start("o_no_yield", None, {"text": "i" * size})
    assert target.wait(instance)["input"] == {"text": "i" * size}
    event = waiting(target)
    assert target.raise_event(event, "go", "e" * size).status == 202
    assert target.wait(event)["output"] == "e" * size
    key = target.new_id("big")
    target.signal(f"Notes/{key}", "add", raw=json.dumps(json.dumps("s" * size)).encode())
    target.until(lambda: target.manage("GET", f"/entities/notes/{key}").status == 200, what="the state")
    assert target.manage("GET", f"/entities/notes/{key}").json() == ["s" * size]


def test_item_66_timers_fire_early_by_less_than_a_second(target: Target) -> None:
    for wanted, least, most in ((2.5, 2.0, 3.2), (0.9, 0.0, 0.9), (3.0, 2.0, 3.2)):
        instance = target.start("c_sleeps", None, {"seconds": wanted})
        target.wait(instance)
        history = target.history(instance)
        begun, ended = (datetime.fromisoformat(history[place]["Timestamp"]) for place in (0, -1))
        assert least <= (ended - begun).total_seconds() <= most, wanted
    late = target.start("c_sleeps", None, {"seconds": -5})
    assert target.wait(late, seconds=5)["output"] == "slept"


def test_item_66_timers_survive_a_restart(tmp_path: Path, storage: str) -> None:
    app, settings = copy_of_app(tmp_path), app_settings(storage)
    with started(app, settings) as (_, target):
        instance = target.start("c_sleeps", None, {"seconds": 3})
        target.wait(instance, until=("Running",))
    with started(app, settings) as (_, target):
        assert target.wait(instance)["output"] == "slept"


def test_item_66_events_to_nobody_are_dropped(target: Target) -> None:
    assert target.raise_event(target.new_id(), "go", 1).status == 404
    instance = gated(target)
    assert target.raise_event(instance, "nobody_waits", 1).status == 202
    time.sleep(0.3)
    target.mark(instance)
    assert target.wait(instance)["output"] == instance
    assert "EventRaised" in kinds(target.history(instance))
