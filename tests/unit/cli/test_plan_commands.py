"""Plan, save, apply, what-if on the command line, on a local folder and against an app."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.api.world import World
from tests.unit.cli.app_server import serving
from tests.unit.cli.test_local_commands import project  # noqa: F401 - a fixture
from tidemill.cli.main import run


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_a_saved_plan_is_applied_once_and_then_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    assert run(["plan", "demo/*", "--save"]) == 0
    shown = lines(capsys)
    plan = shown[-1].split()[-1].strip("`.")
    assert shown[-1] == f"Saved. Apply exactly this with `tidemill apply --local {plan}`."
    assert "activities" in shown[-3]
    assert "time and cost not known, since no run of bronze.events, gold.sum is on record" in shown[-3]
    assert run(["apply", "--local", plan, "--json"]) == 0
    assert told(capsys)["plan"].startswith(plan)
    assert run(["apply", "--local", plan, "--json"]) == 2
    error = told(capsys)["error"]
    assert error["code"] == "plan-drifted"
    assert "its entry in the catalog moved: run `" in error["message"]
    assert run(["status", "--local", "--json"]) == 0
    assert len(told(capsys)["runs"]) == 1
    assert run(["plan", "demo/*", "--rerun"]) == 0
    assert "going by 1 run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["apply", "demo/*"], "usage"),
        (["apply", "--local", "0" * 64], "not-found"),
        (["apply", "--local", "0" * 64, "--rerun"], "usage"),
        (["apply", "0" * 64, "-p", "d1"], "usage"),
        (["plan", "demo/*", "--save", "--as-of", "0"], "usage"),
        (["what-if", "--local"], "invalid-request"),
        (["what-if", "--local", "--drop", "gold.sum"], "usage"),
        (["what-if", "--local", "--retype", "gold.sum:sum"], "usage"),
    ],
)
def test_mistakes_are_told(project: Path, arguments: list[str], code: str, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    assert run([*arguments, "--json"]) == 2
    assert told(capsys)["error"]["code"] == code


def test_what_if_names_what_runs_what_waits_and_what_may_break(project: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    assert run(["apply", "--local", "demo/*"]) == 0
    capsys.readouterr()
    assert run(["what-if", "--local", "--code", "bronze.events", "-p", "d1", "--drop", "bronze.events:n"]) == 0
    shown = lines(capsys)
    assert shown[0] == "1 unit would run, 1 unit would run only if what it reads comes out otherwise."
    assert "bronze.events@d1: its code would change" in shown
    assert any(line.startswith("gold.sum may read `n` of `bronze.events`; nobody knows:") for line in shown)
    assert run(["what-if", "--local", "--input", "bronze.events@d1"]) == 0
    shown = lines(capsys)
    assert shown[0] == "1 unit would run."
    assert "gold.sum: its input `bronze.events@d1` would change" in shown


def test_the_same_commands_ask_an_app(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(executes=True)
    with serving(world) as url:
        monkeypatch.setenv("TIDEMILL_URL", url)
        assert run(["plan", "+gold.total", "--app"]) == 0
        plan = lines(capsys)[-1].removeprefix("Saved. Apply exactly this with `tidemill apply ").strip("`.")
        assert run(["apply", plan, "--json"]) == 0
        assert told(capsys)["status"] == "succeeded"
        assert run(["apply", plan, "--json"]) == 2
        assert told(capsys)["error"]["code"] == "plan-drifted"
        assert run(["plan", "+gold.total", "--app", "--json"]) == 0
        assert told(capsys)["counts"]["skip"] == 5
        assert run(["what-if", "--code", "bronze.orders", "--json"]) == 0
        assert told(capsys)["run"] == 2
