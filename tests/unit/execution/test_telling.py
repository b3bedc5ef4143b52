"""Runs that tell a lineage backend of themselves, in process and through the activities: what arrives is what can be exported afterwards."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from activities import ACTIVITIES
from orchestrators.materialize_run import materialize_run
from tests.unit.execution.test_publishing import NOW, Project
from tests.unit.lineage.backend import backend
from tests.unit.lineage.openlineage_schemas import faults
from tidemill.errors import SettingsError
from tidemill.execution.local import apply_local
from tidemill.execution.run_history import run_history
from tidemill.execution.runs import CancelRecord
from tidemill.execution.runtime import Runtime
from tidemill.execution.telling import tell_of_runs
from tidemill.lineage.openlineage import Event, end_event, start_event, unit_events
from tidemill.messages.codec import to_json
from tidemill.messages.run import RunInput
from tidemill.model.keys import RunId
from tidemill.model.runs import RunRequest, RunStatus
from tidemill.settings import LineageBackend
from tidemill.testing.replay import Asked, ReplayDriver

LOST = "OpenLineage events of run"


class Telling(Project):
    """The project of the publishing tests, whose runs are told to a backend."""

    def __init__(self, address: str, commit: str = "run", **backend: str) -> None:
        super().__init__(commit)
        self._backend = LineageBackend(address=address, **backend)
        self._runtime = super().runtime()
        tell_of_runs(self._runtime, self._backend)

    def runtime(self) -> Runtime:
        return self._runtime

    def exported(self, run: str) -> list[Event]:
        history = run_history(self._runtime, RunId(run))
        last = end_event(history)
        return [start_event(history), *unit_events(history, history.started), *([last] if last else [])]


def keyed(events: list[Event]) -> dict[str, Event]:
    """Events by everything they say: repeats are one."""
    return {json.dumps(event, sort_keys=True): event for event in events}


@pytest.fixture(params=["local", "durable"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("commit", ["run", "window", "unit"])
def test_what_a_run_tells_is_what_can_be_exported(way: str, commit: str) -> None:
    with backend(key="right") as (address, taken):
        project = Telling(address, commit, key="right")
        result = getattr(project, way)()
    assert result.status is RunStatus.SUCCEEDED
    assert [fault for event in taken for fault in faults(event)] == []
    assert keyed(taken) == keyed(project.exported(result.run_id))
    assert Counter(event["eventType"] for event in taken) == {"START": 10, "COMPLETE": 10}  # eight days, a sum, and the run
    assert (taken[0]["eventType"], taken[-1]["eventType"]) == ("START", "COMPLETE")
    assert taken[0]["run"]["runId"] == taken[-1]["run"]["runId"]
    kinds = [event["eventType"] for event in taken]
    last_start = len(kinds) - 1 - kinds[::-1].index("START")
    assert (kinds.index("COMPLETE") < last_start) is (commit != "run")  # what is published on the way is told on the way
    assert {event["job"]["name"] for event in taken if event["outputs"]} == {"bronze.n", "gold.sum"}


def test_an_activity_that_is_repeated_tells_the_same_again() -> None:
    with backend() as (address, taken):
        project = Telling(address)
        runtime, request = project.runtime(), project.request()
        runtime.runs.create(request)
        driver = ReplayDriver(materialize_run, to_json(RunInput(run_id=request.run_id)), instance_id=request.run_id)

        def twice(asked: Asked) -> object:
            ACTIVITIES[asked.name].answer(runtime, asked.payload)  # its reply is lost
            return ACTIVITIES[asked.name].answer(runtime, asked.payload)

        driver.finish(twice)
    assert keyed(taken) == keyed(project.exported(request.run_id))
    assert len(taken) == 2 * len(keyed(taken))


def test_a_run_that_fails_says_so_and_what_of_it(way: str) -> None:
    def refuse(day: str) -> None:
        if day == "d4":
            raise ValueError("no luck with https://x.blob.core.windows.net/c?sig=SECRET")

    with backend() as (address, taken):
        project = Telling(address)
        project.on_day = refuse
        assert getattr(project, way)().status is RunStatus.FAILED
    kinds = Counter(event["eventType"] for event in taken)
    assert kinds == {"START": 9, "COMPLETE": 7, "FAIL": 2}
    failed = next(event for event in taken if event["eventType"] == "FAIL")
    assert failed["run"]["facets"]["tidemill_unit"]["partition"] == "d4"  # told when its tranche was recorded, before the run ended
    assert taken[-1]["eventType"] == "FAIL"
    assert "SECRET" not in json.dumps(taken)
    assert [fault for event in taken for fault in faults(event)] == []


def test_a_run_that_is_cancelled_is_aborted() -> None:
    with backend() as (address, taken):
        project = Telling(address)
        cancel = CancelRecord(author="ada", reason="enough", requested_at=NOW)

        def enough(_: str) -> None:
            project.runtime().runs.request_cancel(RunId("run-1"), cancel)

        project.on_day = enough
        assert project.durable().status is RunStatus.CANCELED
    assert taken[-1]["eventType"] == "ABORT"
    assert [event["outputs"] for event in taken if event["outputs"]] == []


def test_a_run_that_cannot_be_planned_begins_and_fails() -> None:
    with backend() as (address, taken):
        project = Telling(address)
        request = RunRequest(run_id="run-9", selection="nothing.like.it", requested_at=NOW)
        project.runtime().runs.create(request)
        driver = ReplayDriver(materialize_run, to_json(RunInput(run_id="run-9")), instance_id="run-9")
        asked = driver.open[min(driver.open)]
        driver.complete(asked.number, ACTIVITIES[asked.name].answer(project.runtime(), asked.payload))
        assert driver.done
    assert [event["eventType"] for event in taken] == ["START", "FAIL"]


def test_a_backend_that_is_not_there_costs_one_sentence_for_each_run(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        project = Telling(f"http://127.0.0.1:{taken.getsockname()[1]}/api/v1/lineage")
        first = project.local()
        project.stamp = 2
        began = time.monotonic()
        second = apply_local(project.runtime(), project.request(), threads=1)
        assert time.monotonic() - began < 30
    assert (first.status, second.status) == (RunStatus.SUCCEEDED, RunStatus.SUCCEEDED)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [text.split()[4] for text in told] == ["run-1", "run-2"]
    assert told[0].startswith(f"{LOST} run-1 were not handed to http://127.0.0.1")
    assert told[0].endswith("send them later with `tidemill export-events run-1`.")


def test_a_backend_that_is_silent_does_not_hold_a_run_up(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.execution.telling._ANSWER_SECONDS", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        project = Telling(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        assert project.local().status is RunStatus.SUCCEEDED
    assert [record.getMessage().split()[4] for record in caplog.records if LOST in record.getMessage()] == ["run-1"]


def test_a_backend_that_refuses_is_asked_again_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    with backend(refuse_after=3, recovers=True) as (address, taken):
        project = Telling(address)
        project.runtime().listener._clock = lambda: now  # type: ignore[attr-defined]
        project.local()
        assert len(taken) == 3
        now = 61.0
        again = apply_local(project.runtime(), project.request(), threads=1)
        assert [event["eventType"] for event in taken[3:]] == ["START", "COMPLETE"]
    assert again.status is RunStatus.SUCCEEDED
    assert [record.getMessage().split()[4] for record in caplog.records if LOST in record.getMessage()] == ["run-1"]


def test_events_go_to_a_file_that_many_runs_share(tmp_path: Path) -> None:
    project = Telling(f"file:{tmp_path / 'events.jsonl'}", "unit")
    runs = [project.local().run_id, project.local().run_id]
    written: list[Any] = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert keyed(written) == keyed([event for run in runs for event in project.exported(run)])


ADDRESS = "http://lineage:5000"


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, None),
        ({"OPENLINEAGE_URL": ADDRESS}, f"{ADDRESS}/api/v1/lineage"),
        ({"OPENLINEAGE_URL": f"{ADDRESS}/", "OPENLINEAGE_ENDPOINT": "/x"}, f"{ADDRESS}/x"),
        ({"OPENLINEAGE_URL": ADDRESS, "OPENLINEAGE_DISABLED": "True"}, None),
        ({"OPENLINEAGE_URL": ADDRESS, "TIDEMILL_OPENLINEAGE": "off"}, None),
        ({"OPENLINEAGE_URL": ADDRESS, "TIDEMILL_OPENLINEAGE": "file:x.jsonl"}, "file:x.jsonl"),
        ({"TIDEMILL_OPENLINEAGE": "https://x/y"}, "https://x/y"),
    ],
)
def test_settings_say_where_they_go(environment: dict[str, str], address: str | None) -> None:
    found = LineageBackend.from_environment(environment | {"OPENLINEAGE_API_KEY": "secret", "OPENLINEAGE_NAMESPACE": "n"})
    assert found == (None if address is None else LineageBackend(address=address, key="secret", namespace="n"))
    assert "secret" not in repr(found)
    assert found is None or replace(found, address="file:///var/x").path == Path("/var/x")


@pytest.mark.parametrize("variable", ["TIDEMILL_OPENLINEAGE", "OPENLINEAGE_URL"])
def test_a_setting_that_is_no_address_is_refused_with_what_to_write(variable: str) -> None:
    with pytest.raises(SettingsError, match="lineage") as refused:
        LineageBackend.from_environment({variable: "lineage"})
    assert variable in str(refused.value.hint)
