from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.world import json_of
from tests.unit.lineage.world import Shop


def units(lineage: Any) -> list[str]:
    return [f"{node['steps']} {node['asset']}@{node['partition']}" for node in lineage["nodes"]]


def edges(lineage: Any) -> set[tuple[str, str, str]]:
    names = {node["record"]: f"{node['asset']}@{node['partition']}" for node in lineage["nodes"]}
    return {(names[edge["source"]], names[edge["target"]], edge["input"]) for edge in lineage["edges"]}


@pytest.fixture
def shop() -> Shop:
    shop = Shop()
    assert shop.run("+gold.total")["status"] == "succeeded"
    return shop


def test_upstream_goes_to_the_sources_along_what_was_read(shop: Shop) -> None:
    found = json_of(shop.get("/lineage", asset="gold.total"))
    assert units(found) == [
        "0 gold.total@",
        *("1 silver.per_shop@2013-01", "1 silver.per_shop@2013-02"),
        *("2 bronze.orders@2013-01", "2 bronze.orders@2013-02"),
        *("3 raw.orders@2013-01", "3 raw.orders@2013-02"),
    ]
    assert edges(found) == {
        *((f"silver.per_shop@{month}", "gold.total@", "shops") for month in ("2013-01", "2013-02")),
        *((f"bronze.orders@{month}", f"silver.per_shop@{month}", "orders") for month in ("2013-01", "2013-02")),
        *((f"raw.orders@{month}", f"bronze.orders@{month}", "raw") for month in ("2013-01", "2013-02")),
    }
    assert found["complete"]
    assert all(node["current"] for node in found["nodes"])
    assert [node["state"] for node in found["nodes"]] == ["materialized"] * 5 + ["observed"] * 2


def test_downstream_is_the_reverse_of_upstream(shop: Shop) -> None:
    down = json_of(shop.get("/lineage", asset="raw.orders", direction="downstream"))
    up = json_of(shop.get("/lineage", asset="gold.total"))
    assert down["edges"] == up["edges"]
    assert {node["record"] for node in down["nodes"]} == {node["record"] for node in up["nodes"]}


def test_one_partition_leads_only_to_what_was_made_from_it(shop: Shop) -> None:
    found = json_of(shop.get("/lineage", asset="bronze.orders", partition="2013-02", direction="downstream"))
    assert units(found) == ["0 bronze.orders@2013-02", "1 silver.per_shop@2013-02", "2 gold.total@"]


@pytest.mark.parametrize(("direction", "asset"), [("upstream", "gold.total"), ("downstream", "raw.orders")])
def test_depth_ends_the_walk_and_says_so(shop: Shop, direction: str, asset: str) -> None:
    for depth, complete in ((0, False), (1, False), (2, False), (3, True)):
        found = json_of(shop.get("/lineage", asset=asset, direction=direction, depth=str(depth)))
        assert max(node["steps"] for node in found["nodes"]) == depth
        assert found["complete"] is complete


def test_a_version_that_was_replaced_is_no_longer_current_and_has_no_readers(shop: Shop) -> None:
    shop.amounts["2013-01"] = [100.0, 200.0, 300.0]
    shop.version["2013-01"] = "2"
    assert shop.run("+bronze.orders")["status"] == "succeeded"
    up = json_of(shop.get("/lineage", asset="gold.total"))
    assert {f"{node['asset']}@{node['partition']}" for node in up["nodes"] if not node["current"]} == {
        "bronze.orders@2013-01",
        "raw.orders@2013-01",
    }
    down = json_of(shop.get("/lineage", asset="bronze.orders", partition="2013-01", direction="downstream"))
    assert units(down) == ["0 bronze.orders@2013-01"]
    assert len(json_of(shop.get("/lineage", asset="bronze.orders", partition="2013-02", direction="downstream"))["nodes"]) == 3


def test_equal_content_keeps_its_readers_under_another_record(shop: Shop) -> None:
    shop.version["2013-01"] = "2"  # seen in another version, with the same rows in it: everything above is cut off
    assert shop.run("+gold.total")["status"] == "succeeded"
    down = json_of(shop.get("/lineage", asset="bronze.orders", partition="2013-01", direction="downstream"))
    assert units(down) == ["0 bronze.orders@2013-01", "1 silver.per_shop@2013-01", "2 gold.total@"]
    assert [edge["same_record"] for edge in down["edges"] if edge["input"] == "orders"] == [False]


def test_the_past_has_its_own_lineage(shop: Shop) -> None:
    before = json_of(shop.get("/lineage", asset="bronze.orders", partition="2013-01", direction="downstream"))
    shop.amounts["2013-01"] = [100.0, 200.0, 300.0]
    shop.version["2013-01"] = "2"
    shop.run("+bronze.orders")
    query = {"asset": "bronze.orders", "partition": "2013-01", "direction": "downstream"}
    assert json_of(shop.get("/lineage", as_of=str(before["commit"]), **query)) == before
    assert json_of(shop.get("/lineage", **query)) != before


def test_every_branch_has_its_own_lineage_over_shared_versions(shop: Shop) -> None:
    query = {"asset": "raw.orders", "partition": "2013-01", "direction": "downstream"}
    before = json_of(shop.get("/lineage", **query))
    assert shop.post("/branches", {"name": "dev"}).status == 201
    shop.amounts["2013-01"] = [100.0, 200.0, 300.0]
    shop.version["2013-01"] = "2"
    assert shop.run("+gold.total")["status"] == "succeeded"
    there, here = json_of(shop.get("/lineage", branch="dev", **query)), json_of(shop.get("/lineage", **query))
    assert (there["nodes"], there["edges"]) == (before["nodes"], before["edges"])
    assert (
        units(here)
        == units(there)
        == [
            f"{at} {unit}"
            for at, unit in enumerate(("raw.orders@2013-01", "bronze.orders@2013-01", "silver.per_shop@2013-01", "gold.total@"))
        ]
    )
    assert {node["record"] for node in here["nodes"]}.isdisjoint(node["record"] for node in there["nodes"])
    up = {name: json_of(shop.get("/lineage", asset="gold.total", branch=name)) for name in ("main", "dev")}
    shared = {node["record"] for node in up["main"]["nodes"]} & {node["record"] for node in up["dev"]["nodes"]}
    assert {f"{node['asset']}@{node['partition']}" for node in up["dev"]["nodes"] if node["record"] in shared} == {
        *("silver.per_shop@2013-02", "bronze.orders@2013-02", "raw.orders@2013-02"),
    }
    assert all(node["current"] for found in up.values() for node in found["nodes"])


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"asset": "gold.total", "branch": "nowhere"}, 404, "branch-not-found"),
        ({}, 400, "invalid-query"),
        ({"asset": "gold.totl"}, 404, "asset-not-found"),
        ({"asset": "GOLD"}, 400, "invalid-key"),
        ({"asset": "bronze.orders", "partition": "2013-07"}, 404, "partition-not-found"),
        ({"asset": "gold.total", "partition": "2013-01"}, 404, "partition-not-found"),
        ({"asset": "gold.total", "direction": "sideways"}, 400, "invalid-query"),
        ({"asset": "gold.total", "depth": "-1"}, 400, "invalid-query"),
        ({"asset": "gold.total", "as_of": "99"}, 404, "moment-not-found"),
    ],
)
def test_questions_that_make_no_sense_are_refused(shop: Shop, query: dict[str, str], status: int, code: str) -> None:
    reply = shop.get("/lineage", **query)
    assert (reply.status, json_of(reply)["code"]) == (status, code)


def test_what_was_never_made_has_no_lineage() -> None:
    reply = Shop().get("/lineage", asset="gold.total")
    assert (reply.status, json_of(reply)["code"]) == (404, "not-materialized")
