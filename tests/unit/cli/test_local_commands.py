from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tidemill
from tidemill.cli.main import run

ASSETS = '''
import pyarrow as pa
from tidemill import StaticPartitions, asset

DAYS = StaticPartitions(["d1", "d2"])

@asset(key="bronze.events", partitions=DAYS, parameters={"count": 3})
def events(context) -> pa.Table:
    """Events as they came."""
    return pa.table({"n": list(range(context.parameters["count"]))})

@asset(key="gold.sum", inputs={"events": "bronze.events"})
def total(events: pa.Table) -> pa.Table:
    return pa.table({"sum": [sum(events["n"].to_pylist())]})
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    pipeline = tmp_path / "pipelines" / "demo"
    pipeline.mkdir(parents=True)
    (pipeline / "assets.py").write_text(ASSETS)
    monkeypatch.chdir(pipeline)
    monkeypatch.delenv("TIDEMILL_STORAGE", raising=False)
    monkeypatch.delenv("TIDEMILL_URL", raising=False)
    kept = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "pipelines"}
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "pipelines"]:
        del sys.modules[name]
    sys.modules.update(kept)


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_plan_apply_show_and_plan_again(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "demo/*", "--json"]) == 0
    planned = told(capsys)
    assert planned["counts"] == {"run": 3, "reuse": 0, "skip": 0, "wait": 0, "blocked": 0}
    assert [(each["asset"], each["partition"]) for each in planned["units"]] == [
        ("bronze.events", "d1"),
        ("bronze.events", "d2"),
        ("gold.sum", ""),
    ]

    assert run(["apply", "--local", "demo/*", "--json"]) == 0
    applied = told(capsys)
    assert (applied["status"], applied["units"]["succeeded"], applied["commit"]) == ("succeeded", 3, 1)
    assert (project / ".tidemill" / "local").is_dir()

    assert run(["show", "gold.sum", "--local", "--json"]) == 0
    assert told(capsys)["rows"]["rows"] == [{"sum": 6}]
    assert run(["assets", "--local", "--json"]) == 0
    assert [each["partitions"]["materialized"] for each in told(capsys)["assets"]] == [2, 1]
    assert run(["status", applied["run_id"], "--local", "--json"]) == 0
    assert told(capsys)["status"] == "succeeded"

    assert run(["apply", "--local", "demo/*"]) == 0
    assert "3 units, nothing changed" in capsys.readouterr().out
    assert run(["plan", "demo/*"]) == 0
    assert "3 units: 3 up to date" in capsys.readouterr().out
    assert run(["plan", "demo/*", "--rerun", "-p", "d2", "--json"]) == 0
    assert told(capsys)["counts"]["run"] >= 1


def test_a_parameter_changes_what_is_planned(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["apply", "--local", "demo/*", "--json"])
    capsys.readouterr()
    assert run(["plan", "demo/*", "--param", "count=4", "--json"]) == 0
    assert told(capsys)["counts"] == {"run": 2, "reuse": 0, "skip": 0, "wait": 1, "blocked": 0}


def test_the_picture_of_a_plan(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "demo/*"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[:4] == [
        "asset units action why partitions",
        "bronze.events 2 run never materialized d1, d2",
        "gold.sum 1 run never materialized",
        "3 units: 3 to run",
    ]


def test_a_failing_asset_exits_with_1(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["apply", "--local", "demo/*", "--param", "count=-1.5"]) == 2
    assert "unknown-parameter" in capsys.readouterr().err
    module = project / "pipelines" / "demo" / "assets.py"
    module.write_text(module.read_text().replace('return pa.table({"sum"', "raise OSError('disk on fire')\n    return pa.table({\"sum\""))
    assert run(["apply", "--local", "demo/*"]) == 1
    out = capsys.readouterr().out
    assert "disk on fire" in out
    assert "Traceback" not in out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["plan", "demo/*", "-p", "d3"], "partition-not-found"),
        (["plan", "nope"], "asset-not-found"),
        (["apply", "--local", "((("], "invalid-selection"),
        (["plan", "demo/*", "--store", "ftp://x"], "invalid-settings"),
    ],
)
def test_mistakes_exit_with_2(project: Path, arguments: list[str], code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments, "--json"]) == 2
    assert told(capsys)["error"]["code"] == code


def test_broken_definitions_are_told_with_their_place(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "pipelines" / "demo" / "more.py").write_text("from tidemill import asset\n\n@asset(key='x.y')\ndef y(nowhere): ...\n")
    assert run(["plan", "demo/*", "--json"]) == 2
    error = told(capsys)["error"]
    assert error["code"] == "invalid-definitions"
    assert error["problems"][0]["place"].startswith("pipelines/demo/more.py:")
    assert run(["assets", "--local"]) == 2
    err = capsys.readouterr().err
    assert "pipelines/demo/more.py:" in err
    assert "Traceback" not in err


def test_outside_a_project_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["plan", "x", "--json"]) == 2
    assert "no folder `pipelines`" in told(capsys)["error"]["problems"][0]["detail"]


def _imported_by(code: str) -> set[str]:
    """The packages that are loaded after some code ran in a fresh interpreter."""
    told = f"{code}\nimport sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}), file=sys.stderr)"
    root = str(Path(tidemill.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=60, env=environment)
    return set(done.stderr.splitlines()[-1].split())


def test_help_and_remote_commands_do_not_wait_for_arrow() -> None:
    loaded = _imported_by("from tidemill.cli.main import run; run(['--help']); run(['status', '--url', 'http://127.0.0.1:9', '--json'])")
    assert "httpx" in loaded
    assert loaded & {"pyarrow", "duckdb", "azure", "obstore", "aiohttp"} == set()


def test_help_alone_does_not_even_load_the_client() -> None:
    assert "httpx" not in _imported_by("from tidemill.cli.main import run; run(['--help'])")


def test_apply_needs_no_azure_package(project: Path) -> None:
    loaded = _imported_by(
        f"import os; os.chdir({str(project)!r}); from tidemill.cli.main import run; assert run(['apply', '--local', 'demo/*', '--json']) == 0"
    )
    assert "pyarrow" in loaded
    assert loaded & {"azure", "obstore", "aiohttp", "opentelemetry"} == set()
