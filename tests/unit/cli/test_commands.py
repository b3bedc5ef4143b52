from __future__ import annotations

import json
import os
import re
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tidemill
from tests.unit.api.world import World
from tests.unit.cli.app_server import serving
from tidemill.api.engine import EngineState, EngineStatus
from tidemill.cli.client import AppClient
from tidemill.cli.commands import run as run_command
from tidemill.cli.following import follow
from tidemill.cli.main import COMMANDS, run
from tidemill.cli.output import TextOutput
from tidemill.execution.run_plans import plan_run
from tidemill.model.keys import RunId
from tidemill.version import VERSION

RUN_ID = re.compile(r"20260102t030405-[0-9a-f]{8}")


@pytest.fixture
def world() -> World:
    return World(executes=True)


@pytest.fixture
def idle() -> World:
    """An app whose engine does nothing."""
    return World()


@pytest.fixture
def app(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with serving(world) as url:
        monkeypatch.setenv("TIDEMILL_URL", url)
        yield world


@pytest.fixture
def idle_app(idle: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with serving(idle) as url:
        monkeypatch.setenv("TIDEMILL_URL", url)
        yield idle


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    """The one JSON document on standard output; nothing on standard error."""
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out)


class TestRun:
    def test_a_run_is_watched_to_its_end(self, app: World, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["run", "+gold.total", "--reason", "first", "--author", "ada"]) == 0
        out = capsys.readouterr().out
        assert "succeeded" in out
        assert "5 units, 13 rows written, commit 1 changed 7 units" in out
        assert re.search(r"^silver\.orders +2 +2 +6 ", out, re.MULTILINE)
        assert "first" in out

    def test_as_json_it_is_the_run(self, app: World, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["run", "+gold.total", "-p", "*", "--param", "factor=3", "--json"]) == 0
        view = told(capsys)
        assert (view["status"], view["parameters"], view["units"]["succeeded"]) == ("succeeded", {"factor": 3}, 5)

    def test_a_failed_run_exits_with_1_and_shows_why(self, app: World, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["run", "+gold.broken"]) == 1
        out = capsys.readouterr().out
        assert "user-code-failed · gold.broken" in out
        assert "ValueError" in out
        assert "so nothing was published" in out
        assert "Traceback" not in out

    def test_detached_it_returns_at_once(self, idle_app: World, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["run", "gold.total", "--detach"]) == 0
        assert idle_app.remembering.started == ["20260102t030405-00000001"]
        assert "tidemill status 20260102t030405-00000001 --follow" in capsys.readouterr().out

    def test_ctrl_c_leaves_it_going_and_says_how_to_follow(
        self, idle_app: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(run_command, "follow", interrupted)
        assert run(["run", "gold.total"]) == 130
        out = capsys.readouterr().out
        assert "tidemill status 20260102t030405-00000001 --follow" in out
        assert "tidemill cancel 20260102t030405-00000001" in out

    def test_ctrl_c_before_it_started_exits_with_130(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(run_command, "connect", interrupted)
        assert run(["run", "gold.total", "--json"]) == 130
        assert told(capsys)["error"]["code"] == "interrupted"

    def test_a_mistake_is_one_panel_and_exit_code_2(self, app: World, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["run", "gold.totl"]) == 2
        err = capsys.readouterr().err
        assert "asset-not-found" in err
        assert "Did you mean `gold.total`?" in err
        assert err.count("╭") == 1

    def test_the_same_key_is_the_same_run(self, idle_app: World, capsys: pytest.CaptureFixture[str]) -> None:
        for _ in range(2):
            assert run(["run", "gold.total", "--detach", "--idempotency-key", "k", "--json"]) == 0
        assert idle_app.remembering.started == ["20260102t030405-00000001"]

    @pytest.mark.parametrize("param", ["factor", "=3"])
    def test_a_parameter_that_is_no_pair_is_refused_here(self, param: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["run", "gold.total", "--param", param, "--json"]) == 2
        assert told(capsys)["error"]["message"] == f"--param {param} is not name=value."


class TestStatus:
    def test_the_latest_runs(self, app: World, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["status"]) == 0
        assert "No runs yet" in capsys.readouterr().out
        run(["run", "+gold.total", "--json"])
        capsys.readouterr()
        assert run(["status"]) == 0
        assert RUN_ID.search(capsys.readouterr().out)
        assert run(["status", "--json"]) == 0
        assert [each["selection"] for each in told(capsys)["runs"]] == ["+gold.total"]

    def test_one_run_that_goes_on(self, idle_app: World, capsys: pytest.CaptureFixture[str]) -> None:
        run(["run", "gold.total", "--detach", "--json"])
        started = told(capsys)["run_id"]
        assert run(["status", started]) == 0
        assert f"{started} pending" in capsys.readouterr().out

    def test_following_ends_with_the_run(self, app: World, capsys: pytest.CaptureFixture[str]) -> None:
        run(["run", "+gold.broken", "--detach", "--json"])
        assert run(["status", told(capsys)["run_id"], "--follow", "--json"]) == 1
        assert told(capsys)["status"] == "failed"

    def test_an_unknown_run(self, app: World, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["status", "20200101t000000-00000000", "--json"]) == 2
        assert told(capsys)["error"]["code"] == "not-found"

    def test_a_misspelled_run(self, app: World, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["status", "../../x?y", "--json"]) == 2
        assert told(capsys)["error"]["code"] == "invalid-key"


class TestCancel:
    def test_a_run_is_fenced(self, idle_app: World, capsys: pytest.CaptureFixture[str]) -> None:
        run(["run", "gold.total", "--detach", "--json"])
        started = told(capsys)["run_id"]
        assert run(["cancel", started, "--reason", "enough", "--author", "ada"]) == 0
        assert "publishes nothing any more" in capsys.readouterr().out
        canceled = idle_app.runtime.runs.cancel(RunId(started))
        assert canceled is not None
        assert (canceled.author, canceled.reason) == ("ada", "enough")

    def test_an_ended_run_exits_with_2(self, app: World, capsys: pytest.CaptureFixture[str]) -> None:
        run(["run", "+gold.total", "--json"])
        assert run(["cancel", told(capsys)["run_id"], "--json"]) == 2
        assert told(capsys)["error"]["code"] == "run-already-final"


class TestAssetsAndShow:
    def test_assets(self, app: World, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["assets"]) == 0
        assert re.search(r"^silver\.orders +asset +static +0/2 +bronze\.orders", capsys.readouterr().out, re.MULTILINE)
        assert run(["assets", "--json"]) == 0
        assert len(told(capsys)["assets"]) == 5

    def test_an_asset_and_its_rows(self, app: World, capsys: pytest.CaptureFixture[str]) -> None:
        run(["run", "+gold.total", "--json"])
        capsys.readouterr()
        assert run(["show", "silver.orders", "-n", "2"]) == 0
        out = capsys.readouterr().out
        assert "owners      ada" in out
        assert "2 rows of 6" in out

    def test_one_partition(self, app: World, capsys: pytest.CaptureFixture[str]) -> None:
        run(["run", "+gold.total", "--json"])
        capsys.readouterr()
        assert run(["show", "silver.orders@2013-02", "--columns", "id,amount", "--json"]) == 0
        assert told(capsys)["rows"] == [{"id": 1, "amount": 1.5}, {"id": 2, "amount": 2.5}, {"id": 3, "amount": None}]
        assert run(["show", "silver.orders@2013-02", "-c", "amount"]) == 0
        assert re.search(r"^ *null$", capsys.readouterr().out, re.MULTILINE)

    @pytest.mark.parametrize("asset", ["silver.orders", "raw.orders"])
    def test_an_asset_without_rows_is_shown_all_the_same(self, app: World, capsys: pytest.CaptureFixture[str], asset: str) -> None:
        assert run(["show", asset, "--json"]) == 0
        assert told(capsys)["rows"] is None

    @pytest.mark.parametrize(
        ("unit", "code"),
        [
            ("gold.totl", "asset-not-found"),
            ("silver.orders@2014-01", "partition-not-found"),
            ("silver.orders@", "invalid-key"),
            ("A B", "invalid-key"),
        ],
    )
    def test_what_is_not_there_exits_with_2(self, app: World, capsys: pytest.CaptureFixture[str], unit: str, code: str) -> None:
        assert run(["show", unit, "--json"]) == 2
        assert told(capsys)["error"]["code"] == code


class TestTheAppIsAway:
    @pytest.mark.parametrize(
        "arguments", [["run", "x"], ["status"], ["status", "abc", "-f"], ["cancel", "abc"], ["assets"], ["show", "gold.total"]]
    )
    def test_one_sentence_and_exit_code_3(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "sleep", lambda _: None)
        monkeypatch.setattr("tidemill.cli.following.PATIENCE_SECONDS", 0.0)
        assert run([*arguments, "--url", "http://127.0.0.1:9", "--json"]) == 3
        assert told(capsys)["error"]["message"] == "The app at http://127.0.0.1:9 does not answer (connection refused)."

    def test_something_else_answers(self, capsys: pytest.CaptureFixture[str]) -> None:
        world = World()
        with serving(world) as url:
            assert run(["assets", "--url", f"{url}/elsewhere", "--json"]) == 2  # our own app, at a wrong path: its own problem
        assert told(capsys)["error"]["code"] == "route-not-found"

    def test_an_address_that_is_none(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["assets", "--url", "ftp://x", "--json"]) == 3
        assert "does not answer" in told(capsys)["error"]["message"]


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["rnu"], "No such command 'rnu'. Did you mean 'run'?"),
            (["run"], "Missing argument"),
            (["run", "x", "--nope"], "No such option"),
            (["status", "--limit", "0"], "Invalid value"),
            (["apply", "x"], "is not the id of a plan"),
        ],
    )
    def test_a_command_line_that_cannot_be_read_exits_with_2(
        self, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run([*arguments, "--json"]) == 2
        error = told(capsys)["error"]
        assert message in error["message"]
        assert error["hint"]

    def test_help_lists_every_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["--help"]) == 0
        out = capsys.readouterr().out
        assert [name for name in COMMANDS if f"  {name} " not in out] == []

    @pytest.mark.parametrize("name", list(COMMANDS))
    def test_every_command_has_help_and_takes_json(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert run([name, "--help"]) == 0
        out = capsys.readouterr().out
        assert "--json" in out
        assert COMMANDS[name].summary in out

    def test_the_version_is_that_of_the_package(self) -> None:
        project = tomllib.loads((Path(tidemill.__file__).parents[1] / "pyproject.toml").read_text())
        assert project["project"]["version"] == VERSION

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["--version"]) == 0
        assert capsys.readouterr().out == "tidemill 0.1.0\n"

    def test_a_defect_is_one_panel_and_exit_code_4(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("boom")

        monkeypatch.setattr("tidemill.cli.commands.assets.connect", broken)
        assert run(["assets"]) == 4
        err = capsys.readouterr().err
        assert "RuntimeError: boom" in err
        assert "Traceback" not in err
        monkeypatch.setenv("TIDEMILL_TRACE", "1")
        assert run(["assets"]) == 4
        assert "Traceback" in capsys.readouterr().err


def test_progress_of_a_run_is_told_line_by_line_without_a_terminal(idle_app: World, capsys: pytest.CaptureFixture[str]) -> None:
    run(["run", "+gold.total", "--detach", "--json"])
    started = RunId(told(capsys)["run_id"])
    plan_run(idle_app.runtime, started)
    counting = {"phase": "running", "assets": {"bronze.orders": [2, 1, 0, 0, 0]}}
    idle_app.remembering.statuses[started] = EngineStatus(state=EngineState.RUNNING, custom_status=counting)

    def sleep(seconds: float) -> None:
        idle_app.remembering.statuses[started] = EngineStatus(state=EngineState.FAILED)

    with AppClient(os.environ["TIDEMILL_URL"]) as client:
        assert follow(client, started, TextOutput(), sleep=sleep).status == "failed"
    assert f"{started}: 1/5 units" in capsys.readouterr().err
