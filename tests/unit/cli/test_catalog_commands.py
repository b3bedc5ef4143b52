"""The commands about the catalog, on a local folder and against an app."""

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


@pytest.fixture
def applied(project: Path, capsys: pytest.CaptureFixture[str]) -> Path:  # noqa: F811
    """Two runs on main: `count` was 3, then 4."""
    assert run(["apply", "--local", "demo/*", "--reason", "first", "--author", "ada"]) == 0
    assert run(["apply", "--local", "demo/*", "--param", "count=4", "--reason", "second", "--author", "bob"]) == 0
    capsys.readouterr()
    return project


def edit(project: Path, old: str, new: str) -> None:  # noqa: F811
    module = project / "pipelines" / "demo" / "assets.py"
    text = module.read_text()
    assert old in text
    module.write_text(text.replace(old, new))


def rows(capsys: pytest.CaptureFixture[str], *options: str) -> Any:
    assert run(["show", "gold.sum", "--local", "--json", *options]) == 0
    return told(capsys)["rows"]["rows"]


def test_history_diff_and_rollback(applied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["history", "--local"]) == 0
    shown = lines(capsys)
    assert " commit bob second 3 " in shown[1]
    assert " commit ada first 3 " in shown[2]
    assert run(["history", "--local", "-n", "1"]) == 0
    assert "older ones with --before 2" in capsys.readouterr().out
    assert run(["history", "--local", "--before", "2", "--json"]) == 0
    assert [each["number"] for each in told(capsys)["entries"]] == [1]

    assert run(["diff", "1", "--local"]) == 0
    assert lines(capsys)[-1] == "3 units: 3 changed"
    assert run(["diff", "1", "1", "--local"]) == 0
    assert "Nothing differs." in capsys.readouterr().out

    assert rows(capsys) == [{"sum": 12}]
    assert rows(capsys, "--as-of", "1") == [{"sum": 6}]
    assert run(["rollback", "1", "--local", "--reason", "too many"]) == 0
    assert capsys.readouterr().out == "main is at commit 3: 3 units changed back.\n"
    assert rows(capsys) == [{"sum": 6}]
    assert rows(capsys, "--as-of", "2") == [{"sum": 12}]


def test_a_rollback_needs_a_reason(applied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rollback", "1", "--local", "--json"]) == 2
    assert "--reason" in told(capsys)["error"]["message"]


def test_a_branch_is_made_run_on_compared_merged_and_ended(applied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["branch", "create", "trial", "--local", "--at", "1"]) == 0
    assert "trial holds 3 units" in capsys.readouterr().out
    assert rows(capsys, "--branch", "trial") == [{"sum": 6}]
    assert run(["plan", "demo/*", "--branch", "trial", "--json"]) == 0
    assert told(capsys)["counts"]["skip"] == 3
    assert run(["apply", "--local", "demo/*", "--branch", "trial", "--param", "count=5", "--json"]) == 0
    assert told(capsys)["branch"] == "trial"
    assert (rows(capsys), rows(capsys, "--branch", "trial")) == ([{"sum": 12}], [{"sum": 20}])
    assert run(["branch", "--local", "--json"]) == 0
    assert [(each["name"], each["current"]) for each in told(capsys)["branches"]] == [("main", True), ("trial", False)]
    assert run(["branch", "diff", "trial", "--local", "--json"]) == 0
    assert told(capsys)["counts"] == {"changed": 3}

    assert run(["branch", "merge", "trial", "--local", "--json"]) == 2, "main changed the same units after the branch began"
    assert told(capsys)["error"]["code"] == "catalog-conflict"
    assert run(["branch", "create", "next", "--local", "--from", "trial"]) == 0
    assert run(["rollback", "1", "--local", "--branch", "next", "--reason", "as it began"]) == 0
    assert run(["branch", "merge", "next", "--into", "trial", "--local"]) == 0
    assert "trial took over next" in capsys.readouterr().out
    assert run(["branch", "delete", "next", "--local"]) == 0
    assert run(["branch", "list", "--local", "--json"]) == 0
    told_after = capsys.readouterr().out
    assert '"next"' not in told_after
    assert '"trial"' in told_after


def test_a_branch_is_brought_up_to_date(applied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["branch", "create", "trial", "--local", "--at", "1"]) == 0
    assert run(["branch", "update", "trial", "--local"]) == 0
    assert "trial took over main (commit 2, 3 units changed)." in capsys.readouterr().out
    assert rows(capsys, "--branch", "trial") == rows(capsys) == [{"sum": 12}]
    assert run(["apply", "--local", "demo/*", "--branch", "trial", "--param", "count=5"]) == 0
    assert run(["apply", "--local", "demo/*", "--param", "count=6"]) == 0
    assert run(["branch", "update", "trial", "--local"]) == 2
    assert "--keep" in capsys.readouterr().err
    assert run(["branch", "update", "trial", "--keep", "--local", "--json"]) == 0
    assert told(capsys)["changed"] == 0
    assert rows(capsys, "--branch", "trial") == [{"sum": 20}]
    assert run(["branch", "merge", "trial", "--local", "--json"]) == 0, "what both changed was settled on the branch"
    assert told(capsys)["branch"] == "main"
    assert rows(capsys) == [{"sum": 20}]
    assert run(["branch", "update", "main", "--local", "--json"]) == 0, "from itself there is nothing to take over"
    assert told(capsys)["changed"] == 0
    assert run(["verify"]) == 0


@pytest.mark.parametrize("arguments", [["branch", "create"], ["branch", "list", "x"], ["branch", "rename", "x"]])
def test_a_branch_command_that_makes_no_sense_exits_with_2(applied: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments, "--local", "--json"]) == 2
    assert told(capsys)["error"]["code"] == "usage"


def test_a_plan_names_what_changed(applied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "demo/*", "--param", "count=4", "--json"]) == 0
    assert {each["reason"] for each in told(capsys)["units"]} == {"up to date"}
    edit(applied, "sum(events", "2 * sum(events")
    assert run(["plan", "demo/*", "--param", "count=4"]) == 0
    assert "gold.sum 1 run its code changed: function pipelines.demo.assets.total" in lines(capsys)
    assert run(["plan", "bronze.events", "--json"]) == 0
    assert {each["reason"] for each in told(capsys)["units"]} == {"parameter count was 4 and is 3; made from exactly the same before"}
    assert run(["plan", "bronze.events", "--as-of", "1", "--json"]) == 0
    planned = told(capsys)
    assert ({each["reason"] for each in planned["units"]}, planned["base"]) == ({"up to date"}, 1)


def test_a_plan_of_one_asset_names_the_input_that_changed(applied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["apply", "--local", "bronze.events", "-p", "d1"]) == 0
    capsys.readouterr()
    assert run(["plan", "gold.sum", "--json"]) == 0
    assert [each["reason"] for each in told(capsys)["units"]] == ["its input bronze.events changed"]


def test_why_shows_the_code_the_run_and_the_inputs(applied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["why", "gold.sum", "--local"]) == 0
    out = capsys.readouterr().out
    assert "events: bronze.events@d1" in out
    assert "with count=4" in out
    assert "by bob (second)" in out
    assert "3 versions as of commit 2, to the sources" in out
    assert run(["why", "gold.sum", "--local", "--as-of", "1", "--json"]) == 0
    assert [each["reason"] for each in told(capsys)["runs"]] == ["first"]
    assert run(["why", "bronze.events", "--local", "--json"]) == 2
    assert told(capsys)["error"]["code"] == "partition-not-found"


def test_why_not_tells_all_its_verdicts(applied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["why-not", "bronze.events@d1", "--local"]) == 0
    taken_over = "bronze.events@d1 would not run, but be taken over: parameter count was 4 and is 3; made from exactly the same before."
    assert lines(capsys)[0] == taken_over
    edit(applied, '"count": 3', '"count": 5')
    assert run(["why-not", "bronze.events@d1", "--local"]) == 0
    assert lines(capsys)[0] == "bronze.events@d1 would run: parameter count was 4 and is 5."
    assert run(["why-not", "gold.sum", "--local"]) == 0
    assert lines(capsys)[0] == "gold.sum would run if what it reads changes: 2 units upstream run first."
    edit(applied, '"count": 5', '"count": 3')
    assert run(["why-not", "gold.sum", "--local", "--as-of", "1"]) == 0
    assert lines(capsys)[0].startswith("gold.sum would not run: nothing it is made from has changed since run ")
    edit(applied, "sum(events", "2 * sum(events")
    assert run(["why-not", "gold.sum", "--local", "--as-of", "1"]) == 0
    assert lines(capsys)[0] == "gold.sum would run: its code changed: function pipelines.demo.assets.total."


def test_fingerprint_shows_what_counts(applied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fingerprint", "gold.sum"]) == 0
    assert "pipelines.demo.assets.total" not in capsys.readouterr().out
    assert run(["fingerprint", "gold.sum", "--explain"]) == 0
    assert "function pipelines.demo.assets.total" in " ".join(capsys.readouterr().out.split())
    assert run(["fingerprint", "bronze.events", "--json"]) == 0
    found = told(capsys)
    assert (found["parameters"], found["reads_partition"], found["inputs"]) == ({"count": 3}, True, [])
    assert run(["fingerprint", "gold.smu", "--json"]) == 2


def objects(folder: Path) -> list[Path]:
    return sorted(each for each in (folder / "objects").rglob("*") if each.is_file())


def test_verify_names_the_first_object_that_is_wrong(applied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify"]) == 0
    assert capsys.readouterr().out.startswith("All is as it should be: 1 branch, 2 log entries, ")
    assert run(["verify", "--rows", "--branch", "main", "--json"]) == 0
    assert told(capsys)["problem"] is None
    assert run(["history", "--local", "--json"]) == 0
    snapshot = told(capsys)["entries"][0]["snapshot"]
    (applied / ".tidemill" / "local" / "objects" / snapshot[:2] / snapshot).unlink()
    assert run(["verify", "--json"]) == 4
    problem = told(capsys)["problem"]
    assert (problem["kind"], problem["name"]) == ("missing", f"objects/{snapshot[:2]}/{snapshot}")


def test_a_bundle_is_verified_without_the_store_it_came_from(applied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = tmp_path / "bundle"
    assert run(["export", str(bundle), "--json"]) == 0
    made = told(capsys)
    checkpoint = f"{made['number']}:{made['entry']}"
    assert run(["verify", "--bundle", str(bundle), "--checkpoint", checkpoint]) == 0
    assert run(["verify", "--bundle", str(bundle), "--checkpoint", f"2:{'0' * 64}", "--json"]) == 4
    capsys.readouterr()
    victim = objects(bundle)[0]
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-1])
    assert run(["verify", "--bundle", str(bundle)]) == 4
    assert f"{victim.parent.name}/{victim.name}` is altered" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.parametrize("arguments", [["--bundle", "nowhere"], ["--checkpoint", "1"], ["--store", "empty"]])
def test_verify_says_what_is_wrong_with_a_command(applied: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", *arguments, "--json"]) == 2
    assert told(capsys)["error"]["code"] == "usage"


def test_gc_only_says_what_it_would_do_unless_told(applied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = applied / ".tidemill" / "local"
    kept = {each: each.read_bytes() for each in objects(store)}
    assert run(["branch", "create", "trial", "--local"]) == 0
    assert run(["rollback", "0", "--local", "--branch", "trial", "--reason", "x"]) == 0
    capsys.readouterr()
    assert run(["gc", "--json"]) == 0
    dry = told(capsys)
    assert (dry["phase"], dry["deleted"], dry["dry_run"]) == ("condemned", [], True)
    assert not (store / "gc").exists()
    assert run(["gc", "--collect", "--json"]) == 0
    assert told(capsys)["dry_run"] is False
    assert {each: each.read_bytes() for each in kept} == kept
    assert run(["gc", "--grace-days", "0.5"]) == 0
    assert run(["gc", "--grace-days", "0.05", "--json"]) == 2
    assert run(["verify"]) == 0


def test_gc_keeps_the_plans_of_runs(applied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--local", "--json"]) == 0
    runs = [each["run_id"] for each in told(capsys)["runs"]]
    plans = []
    for each in runs:
        assert run(["status", each, "--local", "--json"]) == 0
        plans.append(told(capsys)["plan"])
    assert run(["gc", "--json"]) == 0
    assert len(plans) == 2
    assert set(told(capsys)["condemned"]) & set(plans) == set()


def test_the_same_commands_ask_an_app(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(executes=True)
    world.run("+gold.total", reason="first")
    with serving(world) as url:
        monkeypatch.setenv("TIDEMILL_URL", url)
        for arguments in (
            ["history"],
            ["diff", "0"],
            ["branch", "create", "trial"],
            ["branch", "list"],
            ["branch", "diff", "trial"],
            ["branch", "merge", "trial"],
            ["branch", "delete", "trial", "--reason", "done"],
            ["rollback", "0", "--reason", "away with it"],
            ["why", "gold.total", "--as-of", "1"],
            ["why-not", "gold.total"],
            ["show", "gold.total", "--as-of", "1"],
            ["assets", "--as-of", "0"],
        ):
            assert run([*arguments, "--json"]) == 0, arguments
            assert told(capsys), arguments
        assert run(["why-not", "gold.total"]) == 0
        assert lines(capsys)[0] == "gold.total would not run, but be taken over: made from exactly the same before."
