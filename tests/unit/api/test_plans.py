"""Plans and suppositions over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.world import World, json_of


@pytest.fixture
def world() -> World:
    return World(executes=True)


def planned(world: World, selection: str = "+gold.total", **more: Any) -> dict[str, Any]:
    reply = world.post("/plans", {"selection": selection, **more})
    assert reply.status == 201
    view: dict[str, Any] = json_of(reply)
    assert reply.headers["Location"].endswith(f"/api/plans/{view['plan']}")
    return view


def test_a_plan_is_made_shown_and_executed_exactly(world: World) -> None:
    made = planned(world, author="ada", reason="monday")
    assert made["counts"] == {"run": 5, "reuse": 0, "skip": 0, "wait": 0, "blocked": 0}
    assert (made["saved"], made["author"], made["reason"], made["branch"], made["base"]) == (True, "ada", "monday", "main", 0)
    assert made["prediction"]["activities"] == {"at_least": 8, "at_most": 8}
    assert (made["prediction"]["seconds"], made["prediction"]["cost"]) == (None, None)
    assert made["prediction"]["unknown"] == ["bronze.orders", "silver.orders", "gold.total"]
    assert json_of(world.get(f"/plans/{made['plan'][:8]}")) == made

    started = json_of(world.post("/runs", {"plan": made["plan"][:8], "author": "bob"}))
    world.threads.join(started["run_id"])
    run = json_of(world.get(f"/runs/{started['run_id']}"))
    assert (run["status"], run["plan"], run["selection"], run["units"]["succeeded"]) == ("succeeded", made["plan"], "+gold.total", 5)

    again = planned(world)
    assert again["counts"]["skip"] == 5
    assert planned(world, rerun=True)["prediction"]["cost"]["at_most"] > 0


def test_units_of_a_plan_come_in_pages(world: World) -> None:
    made = planned(world)
    first = json_of(world.get(f"/plans/{made['plan']}", limit="3"))
    rest = json_of(world.get(f"/plans/{made['plan']}", limit="3", cursor=first["next_cursor"]))
    assert [*first["units"], *rest["units"]] == made["units"]
    assert (len(first["units"]), rest["next_cursor"]) == (3, None)


def test_a_plan_that_has_drifted_is_refused_with_everything_named(world: World) -> None:
    made = planned(world)
    run = world.run("+gold.total")
    reply = world.post("/runs", {"plan": made["plan"]})
    problem = json_of(reply)
    assert (reply.status, problem["code"]) == (409, "plan-drifted")
    assert [each["place"] for each in problem["problems"]] == [
        "bronze.orders@2013-01",
        "bronze.orders@2013-02",
        "silver.orders@2013-01",
        "silver.orders@2013-02",
        "gold.total",
    ]
    assert all(run["run_id"] in each["detail"] for each in problem["problems"])
    assert len(json_of(world.get("/runs"))["runs"]) == 1


def test_drift_between_asking_and_planning_ends_the_run_with_the_reason() -> None:
    world = World()  # remembers runs and does not start them
    made = planned(world)
    started = json_of(world.post("/runs", {"plan": made["plan"]}))
    executing = World(store=world.store, executes=True)
    executing.run("+gold.total")
    assert executing.get(f"/runs/{started['run_id']}").status == 202  # the engine had not heard of it
    executing.threads.join(started["run_id"])
    view = json_of(executing.get(f"/runs/{started['run_id']}"))
    assert (view["status"], view["error"]["code"], view["commit"]) == ("failed", "plan-drifted", 0)


def test_repeating_the_start_of_a_plan_gives_the_same_run_though_it_has_changed_the_catalog(world: World) -> None:
    made = planned(world)
    first = json_of(world.post("/runs", {"plan": made["plan"]}, idempotency_key="monday"))
    world.threads.join(first["run_id"])
    again = world.post("/runs", {"plan": made["plan"]}, idempotency_key="monday")
    assert (again.status, json_of(again)["run_id"]) == (202, first["run_id"])


def test_a_plan_that_is_not_there_is_said_so(world: World) -> None:
    assert world.get(f"/plans/{'0' * 64}").status == 404
    assert world.get("/plans/xyz").status == 404
    assert world.post("/runs", {"plan": "0" * 64}).status == 404
    assert world.post("/plans", {"selection": "nope"}).status == 422
    assert world.post("/plans", {"selection": "*", "branch": "nope"}).status in (404, 422)


def test_what_if_code_changes(world: World) -> None:
    world.run("+gold.total")
    found = json_of(world.post("/what-if", {"code": ["silver.orders"]}))
    assert (found["run"], found["wait"]) == (2, 1)
    assert {each["asset"]: (each["run"], each["wait"]) for each in found["assets"]} == {
        "silver.orders": (2, 0),
        "gold.total": (0, 1),
        "gold.broken": (0, 0),  # never made, so it would run anyway
    }
    total = next(each for each in found["effects"] if each["asset"] == "gold.total")
    assert total["because"] == ["silver.orders@2013-01", "silver.orders@2013-02"]
    assert total["reason"] == "its input `silver.orders@2013-01`, `silver.orders@2013-02` would run first"
    assert found["prediction"]["units"] == {"at_least": 3, "at_most": 4}
    assert json_of(world.post("/what-if", {"code": ["silver.orders"], "partitions": "2013-01"}))["run"] == 1


def test_what_if_an_input_changes(world: World) -> None:
    world.run("+gold.total")
    source = json_of(world.post("/what-if", {"inputs": ["raw.orders@2013-01"]}))
    assert [(each["asset"], each["partition"], each["action"]) for each in source["effects"] if not each["anyway"]] == [
        ("bronze.orders", "2013-01", "run"),
        ("silver.orders", "2013-01", "wait"),
        ("gold.total", "", "wait"),
    ]
    made = json_of(world.post("/what-if", {"inputs": ["silver.orders@2013-02"]}))
    (effect,) = [each for each in made["effects"] if not each["anyway"]]
    assert (effect["asset"], effect["action"], effect["reason"]) == ("gold.total", "run", "its input `silver.orders@2013-02` would change")


@pytest.mark.parametrize(
    ("supposed", "code"),
    [
        ({}, "invalid-request"),
        ({"code": ["raw.orders"]}, "invalid-request"),
        ({"code": ["nope.x"]}, "asset-not-found"),
        ({"inputs": ["gold.broken"]}, "invalid-request"),
        ({"inputs": ["raw.orders@2020-01"]}, "partition-not-found"),
        ({"columns": [{"asset": "bronze.orders", "column": "nope"}]}, "column-not-found"),
    ],
)
def test_suppositions_that_make_no_sense_are_refused(world: World, supposed: dict[str, Any], code: str) -> None:
    world.run("+gold.total")
    assert json_of(world.post("/what-if", supposed))["code"] == code
