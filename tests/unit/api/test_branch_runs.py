"""Runs on a branch: they read what the branch holds, publish there and nowhere else, and what they made is shared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.api.world import ASSETS, NOW, World, json_of
from tidemill.api.app import ApiApp
from tidemill.definitions.definitions import Definitions
from tidemill.execution.runtime import Runtime
from tidemill.testing.engines import ThreadEngine

ALL = "gold.total+silver.orders+bronze.orders"


@pytest.fixture
def world() -> World:
    """A catalog with one run on main, and the branch `trial` beside it."""
    world = World(executes=True)
    assert world.run("+gold.total")["status"] == "succeeded"
    assert world.post("/branches", {"name": "trial"}).status == 201
    return world


def head(world: World, branch: str) -> dict[str, Any]:
    """Where a branch is: number, snapshot and all."""
    found: dict[str, Any] = json_of(world.get(f"/branches/{branch}"))
    return found


def test_a_run_on_a_branch_leaves_main_as_it_is_until_it_is_merged(world: World) -> None:
    main, log = head(world, "main"), {name: world.store.get(name) for name in world.store.names("log/main/")}
    run = world.run("silver.orders or gold.total", branch="trial", parameters={"factor": 5}, author="ada")
    assert (run["status"], run["branch"], run["units"]["succeeded"]) == ("succeeded", "trial", 3)
    assert head(world, "main") == main
    assert {name: world.store.get(name) for name in world.store.names("log/main/")} == log
    differs = json_of(world.get("/branches/trial/diff"))["changes"]
    assert [(each["asset"], each["partition"]) for each in differs] == [
        ("gold.total", ""),
        ("silver.orders", "2013-01"),
        ("silver.orders", "2013-02"),
    ]
    merged = json_of(world.post("/branches/trial/merge", {"author": "ada"}))
    assert (merged["branch"], merged["changed"]) == ("main", 3)
    again = world.run("silver.orders or gold.total", parameters={"factor": 5})
    assert (again["status"], again["units"]["succeeded"], again["changed"]) == ("succeeded", 0, 0)


def test_a_branch_holds_what_its_parent_held_and_what_is_made_there_is_found_on_the_parent(world: World) -> None:
    same = world.run("+gold.total", branch="trial")
    assert (same["units"]["succeeded"], same["changed"]) == (0, 0)
    world.run("silver.orders", branch="trial", parameters={"factor": 5})
    before = json_of(world.get("/assets/silver.orders/partitions", branch="trial"))["partitions"]
    run = world.run("silver.orders", parameters={"factor": 5})
    assert run["status"] == "succeeded"
    assert sum(asset["seconds"] for asset in run["assets"]) < 60
    after = json_of(world.get("/assets/silver.orders/partitions"))["partitions"]
    assert [(each["run_id"], each["data_version"]) for each in after] == [(each["run_id"], each["data_version"]) for each in before]


def test_results_of_a_branch_are_read_on_it(world: World) -> None:
    run = world.run("silver.orders", branch="trial", parameters={"factor": 5})
    (output,) = run["outputs"]
    assert output["dataUri"].endswith("/api/assets/silver.orders/data?branch=trial")
    trial = json_of(world.get("/assets/silver.orders/data", branch="trial", format="json"))["rows"]
    main = json_of(world.get("/assets/silver.orders/data", format="json"))["rows"]
    assert ({row["factor"] for row in trial}, {row["factor"] for row in main}) == ({5}, {2})
    newest = json_of(world.get("/runs"))["runs"][0]
    assert (newest["branch"], newest["run_id"]) == ("trial", run["run_id"])


def test_a_branch_that_does_not_exist_is_refused_before_anything_is_recorded(world: World) -> None:
    before = list(world.store.names(""))
    for name, code in (("nope", "branch-not-found"), ("No Good", "invalid-key")):
        reply = world.post("/runs", {"selection": "gold.total", "branch": name})
        assert json_of(reply)["code"] == code, reply.body
        assert reply.status in (400, 422)
    assert list(world.store.names("")) == before


def test_an_idempotency_key_still_answers_when_the_branch_is_gone(world: World) -> None:
    asked = {"selection": "gold.total", "branch": "trial"}
    first = json_of(world.post("/runs", asked, idempotency_key="k"))["run_id"]
    world.threads.join(first)
    world.ask("DELETE", "/branches/trial")
    assert json_of(world.post("/runs", asked, idempotency_key="k"))["run_id"] == first
    assert json_of(world.post("/runs", asked))["code"] == "branch-not-found"


class TestWithoutAnEngine:
    """What is asked of a run that has not begun."""

    @pytest.fixture
    def world(self, world: World) -> World:
        waiting = World(store=world.store)
        waiting.tokens = 100
        return waiting

    def test_cancelling_fences_the_branch_of_the_run_and_no_other(self, world: World) -> None:
        run = json_of(world.post("/runs", {"selection": "gold.total", "branch": "trial"}))["run_id"]
        main = head(world, "main")
        assert world.post(f"/runs/{run}/cancel", {"author": "ada"}).status == 202
        assert head(world, "main") == main
        newest = json_of(world.get("/history", branch="trial"))["entries"][0]
        assert (newest["kind"], newest["run_id"]) == ("fence", run)

    def test_a_run_whose_branch_is_gone_can_be_cancelled(self, world: World) -> None:
        run = json_of(world.post("/runs", {"selection": "gold.total", "branch": "trial"}))["run_id"]
        world.ask("DELETE", "/branches/trial")
        assert world.post(f"/runs/{run}/cancel", {"author": "ada"}).status == 202
        assert world.runtime.runs.cancel(run) is not None

    def test_a_run_whose_branch_is_gone_fails_with_the_reason(self, world: World) -> None:
        run = json_of(world.post("/runs", {"selection": "gold.total", "branch": "trial", "rerun": True}))["run_id"]
        world.ask("DELETE", "/branches/trial")
        executing = World(store=world.store, executes=True)
        executing.get(f"/runs/{run}")
        executing.threads.join(run)
        view = json_of(executing.get(f"/runs/{run}"))
        assert (view["status"], view["error"]["message"]) == ("failed", "Branch `trial` was deleted.")


def test_the_app_can_live_on_a_branch(world: World) -> None:
    elsewhere = World(store=world.store, executes=True)
    elsewhere.runtime = Runtime(world.store, lambda: Definitions(ASSETS), project=Path.cwd(), branch="dev", now=lambda: NOW)
    elsewhere.threads = ThreadEngine(elsewhere.runtime)
    elsewhere.app = ApiApp(runtime=elsewhere.runtime, engine=elsewhere.threads, token=elsewhere.app.token)
    elsewhere.tokens = 200
    health = elsewhere.get("/health")
    assert (health.status, "tidemill branch create dev" in health.body.decode()) == (503, True)
    assert json_of(elsewhere.post("/runs", {"selection": "gold.total"}))["code"] == "branch-not-found"
    assert [each["name"] for each in json_of(elsewhere.get("/branches"))["branches"]] == ["main", "trial"]
    made = json_of(elsewhere.post("/branches", {"name": "dev"}))
    assert (made["name"], made["current"], made["units"]) == ("dev", True, head(world, "main")["units"])
    assert elsewhere.get("/health").status == 200
    run = elsewhere.run("silver.orders", parameters={"factor": 7})
    assert (run["status"], run["branch"]) == ("succeeded", "dev")
    assert head(world, "dev")["number"] == run["commit"]
    assert len(json_of(elsewhere.get("/branches/dev/diff", against="main"))["changes"]) == 2
