"""History, diff, rollback, branches, time travel, why and why-not, over the API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.world import World, json_of


@pytest.fixture
def world() -> World:
    """Two runs: the second with another parameter, so it changed both silvers and left the gold's content as it was."""
    world = World(executes=True)
    world.run("+gold.total", reason="first", author="ada")
    world.run("+gold.total", parameters={"factor": 3}, reason="second", author="bob")
    return world


def factor(world: World, **query: str) -> Any:
    return json_of(world.get("/assets/silver.orders/data", partition="2013-01", **query))["rows"][0]["factor"]


def test_history_is_newest_first_and_comes_in_pages(world: World) -> None:
    found = json_of(world.get("/history", limit="1"))
    assert [(each["number"], each["author"], each["reason"], each["kind"], each["changed"]) for each in found["entries"]] == [
        (2, "bob", "second", "commit", 3)
    ]
    assert found["entries"][0]["run_id"] == "20260102t030405-00000002"
    older = json_of(world.get("/history", cursor=found["next_cursor"]))
    assert [(each["number"], each["units"]) for each in older["entries"]] == [(1, 7)]
    assert older["next_cursor"] is None
    assert json_of(world.get("/history", cursor="9"))["code"] == "invalid-query"


def test_nothing_was_ever_committed() -> None:
    empty = World()
    assert json_of(empty.get("/history"))["entries"] == []
    assert [(each["name"], each["number"], each["at"]) for each in json_of(empty.get("/branches"))["branches"]] == [("main", 0, None)]


def test_a_diff_tells_what_kind_of_change_it_was(world: World) -> None:
    found = json_of(world.get("/diff", before="1"))
    assert [(each["asset"], each["partition"], each["change"]) for each in found["changes"]] == [
        ("gold.total", "", "remade"),
        ("silver.orders", "2013-01", "changed"),
        ("silver.orders", "2013-02", "changed"),
    ]
    assert (found["total"], found["counts"]) == (3, {"changed": 2, "remade": 1})
    assert (found["before"]["number"], found["after"]["number"]) == (1, 2)
    assert json_of(world.get("/diff", before="0", after="1"))["counts"] == {"added": 7}
    assert json_of(world.get("/diff", before="1", after="0"))["counts"] == {"removed": 7}


def test_a_diff_comes_in_pages(world: World) -> None:
    first = json_of(world.get("/diff", before="1", limit="2"))
    rest = json_of(world.get("/diff", before="1", limit="2", cursor=first["next_cursor"]))
    assert [each["partition"] for each in first["changes"] + rest["changes"]] == ["", "2013-01", "2013-02"]
    assert rest["next_cursor"] is None


def test_reads_go_back_to_a_number_a_snapshot_a_run_and_a_time(world: World) -> None:
    snapshot = json_of(world.get("/history"))["entries"][1]["snapshot"]
    assert factor(world) == 3
    assert [factor(world, as_of=moment) for moment in ("1", snapshot, snapshot[:10], "20260102t030405-00000001")] == [2, 2, 2, 2]
    assert factor(world, as_of="2026-01-02T03:04:05Z") == 3
    assert json_of(world.get("/assets/silver.orders", as_of="1"))["commit"] == 1
    assert json_of(world.get("/assets", as_of="0"))["assets"][1]["partitions"]["materialized"] == 0
    assert {each["state"] for each in json_of(world.get("/assets/silver.orders/partitions", as_of="2025-01-01"))["partitions"]} == {
        "missing"
    }


@pytest.mark.parametrize("path", ["/assets", "/assets/silver.orders", "/assets/silver.orders/partitions", "/assets/silver.orders/data"])
@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"as_of": "99"}, 404, "moment-not-found"),
        ({"as_of": "yesterday"}, 404, "moment-not-found"),
        ({"branch": "nope"}, 404, "branch-not-found"),
        ({"branch": "../main"}, 400, "invalid-key"),
    ],
)
def test_a_moment_or_branch_that_is_not_there_is_told(world: World, path: str, query: dict[str, str], status: int, code: str) -> None:
    reply = world.get(path, **query)
    assert (reply.status, json_of(reply)["code"]) == (status, code)


def test_rollback_is_a_commit_and_can_be_rolled_back(world: World) -> None:
    done = json_of(world.post("/rollback", {"to": "1", "reason": "wrong factor", "author": "eve"}))
    assert (done["number"], done["changed"], done["branch"]) == (3, 3, "main")
    assert factor(world) == 2
    latest = json_of(world.get("/history"))["entries"][0]
    assert (latest["kind"], latest["author"], latest["reason"]) == ("rollback", "eve", "wrong factor")
    assert json_of(world.post("/rollback", {"to": "1", "reason": "again"})) | {"snapshot": ""} == done | {"changed": 0, "snapshot": ""}
    world.post("/rollback", {"to": "2", "reason": "it was right"})
    assert factor(world) == 3


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"to": "1"}, 422, "invalid-body"),
        ({"to": "1", "reason": ""}, 422, "invalid-body"),
        ({"to": "99", "reason": "x"}, 422, "moment-not-found"),
        ({"to": "1", "reason": "x", "branch": "nope"}, 422, "branch-not-found"),
        ({"to": "1", "reason": "x", "base": 1}, 409, "catalog-conflict"),
    ],
)
def test_a_rollback_that_cannot_be_is_refused(world: World, body: dict[str, Any], status: int, code: str) -> None:
    reply = world.post("/rollback", body)
    assert (reply.status, json_of(reply)["code"]) == (status, code)
    assert len(json_of(world.get("/history"))["entries"]) == 2


def test_a_branch_from_its_making_to_its_end(world: World) -> None:
    made = world.post("/branches", {"name": "trial", "start": "1", "author": "ada", "reason": "try"})
    assert (made.status, made.headers["Location"]) == (201, "http://127.0.0.1:7071/api/branches/trial")
    assert (json_of(made)["units"], json_of(made)["current"]) == (7, False)
    assert (factor(world), factor(world, branch="trial")) == (3, 2)
    assert json_of(world.get("/branches/trial/diff"))["counts"] == {"changed": 2, "remade": 1}
    world.post("/rollback", {"to": "0", "reason": "empty it", "branch": "trial"})
    assert json_of(world.get("/branches/trial/diff"))["counts"] == {"removed": 7}
    assert [each["name"] for each in json_of(world.get("/branches"))["branches"]] == ["main", "trial"]
    ended = world.ask("DELETE", "/branches/trial", query={"author": "ada"})
    assert (ended.status, json_of(ended)["branch"]) == (200, "trial")
    assert [each["name"] for each in json_of(world.get("/branches"))["branches"]] == ["main"]
    assert factor(world) == 3
    assert world.get("/branches/trial").status == 404


def test_a_merge_takes_over_what_the_branch_changed(world: World) -> None:
    world.post("/branches", {"name": "trial"})
    world.post("/rollback", {"to": "0", "reason": "empty it", "branch": "trial"})
    done = json_of(world.post("/branches/trial/merge", {"author": "ada", "reason": "no longer wanted"}))
    assert (done["branch"], done["changed"]) == ("main", 7)
    assert json_of(world.get("/history"))["entries"][0]["kind"] == "merge"


def test_a_merge_of_units_that_both_changed_names_both(world: World) -> None:
    world.post("/branches", {"name": "trial"})
    world.post("/rollback", {"to": "0", "reason": "x", "branch": "trial", "author": "eve"})
    world.post("/rollback", {"to": "1", "reason": "y", "author": "ada"})
    reply = world.post("/branches/trial/merge", {})
    assert (reply.status, json_of(reply)["code"]) == (409, "catalog-conflict")
    assert "eve" in json_of(reply)["detail"]
    assert "ada" in json_of(reply)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/branches", {"name": "main"}, 422),
        ("POST", "/branches", {"name": "A b"}, 422),
        ("POST", "/branches", {"name": "x", "origin": "nope"}, 422),
        ("POST", "/branches/nope/merge", {}, 404),
        ("POST", "/branches/main/merge", {"into": "nope"}, 422),
        ("DELETE", "/branches/main", None, 422),
        ("DELETE", "/branches/nope", None, 404),
        ("GET", "/branches/nope", None, 404),
        ("GET", "/branches/nope/diff", None, 404),
        ("GET", "/branches/..", None, 400),
    ],
)
def test_what_cannot_be_done_with_a_branch_is_refused(world: World, method: str, path: str, body: Any, status: int) -> None:
    before = list(world.store.names(""))
    reply = world.post(path, body) if method == "POST" else world.ask(method, path)
    assert (reply.status, reply.media_type) == (status, "application/problem+json")
    assert list(world.store.names("")) == before


def test_why_is_the_chain_to_the_sources(world: World) -> None:
    found = json_of(world.get("/assets/silver.orders/why", partition="2013-02"))
    assert [(each["depth"], each["asset"], each["partition"], each["kind"]) for each in found["origins"]] == [
        (0, "silver.orders", "2013-02", "materialized"),
        (1, "bronze.orders", "2013-02", "materialized"),
        (2, "raw.orders", "2013-02", "observed"),
    ]
    assert (found["complete"], found["commit"], found["origins"][0]["parameters"]) == (True, 2, {"factor": 3})
    assert [(each["author"], each["reason"], each["commit"]) for each in found["runs"]] == [("bob", "second", 2), ("ada", "first", 1)]
    then = json_of(world.get("/assets/silver.orders/why", partition="2013-02", as_of="1"))
    assert then["origins"][0]["parameters"] == {"factor": 2}
    assert not json_of(world.get("/assets/gold.total/why", limit="2"))["complete"]


def test_why_needs_something_to_explain(world: World) -> None:
    assert json_of(world.get("/assets/gold.broken/why"))["code"] == "not-materialized"
    assert json_of(world.get("/assets/silver.orders/why"))["code"] == "partition-not-found"
    assert json_of(world.get("/assets/gold.total/why", partition="2013-01"))["code"] == "partition-not-found"


def test_why_not_names_the_parameter_here_and_upstream(world: World) -> None:
    here = json_of(world.get("/assets/silver.orders/why-not", partition="2013-01"))
    assert (here["unit"]["action"], here["unit"]["reason"]) == (
        "reuse",
        "parameter factor was 3 and is 2; made from exactly the same before",
    )
    assert here["unit"]["differences"] == [{"kind": "parameter", "name": "factor", "unit": "", "before": "3", "after": "2"}]
    assert (here["causes"], here["made_by"]) == ([], "20260102t030405-00000002")
    below = json_of(world.get("/assets/gold.total/why-not"))
    # Both versions of what it reads are known, so it is certain that it would not run either.
    assert (below["unit"]["action"], below["causes"]) == ("reuse", [])
    assert [(each["kind"], each["unit"]) for each in below["unit"]["differences"]] == [
        ("input", "silver.orders@2013-01"),
        ("input", "silver.orders@2013-02"),
    ]


def test_why_not_says_that_nothing_changed(world: World) -> None:
    found = json_of(world.get("/assets/silver.orders/why-not", partition="2013-01", as_of="1"))
    assert (found["unit"]["action"], found["unit"]["differences"], found["base"]) == ("skip", [], 1)
    never = json_of(world.get("/assets/gold.broken/why-not", as_of="1"))
    assert (never["unit"]["action"], never["unit"]["reason"], never["made_by"]) == ("run", "never materialized", "")
    assert json_of(world.get("/assets/raw.orders/why-not", partition="2013-01"))["code"] == "invalid-request"
