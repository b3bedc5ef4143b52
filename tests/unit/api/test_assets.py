from __future__ import annotations

import pytest

from tests.unit.api.world import ORIGIN, World, json_of

HOSTILE = [
    "..",
    "%2e%2e",
    "a%2Fb",
    "a%5Cb",
    "%00",
    "a%0Ab",
    "a?b",
    "a%3Fb",
    "A.B",
    "a..b",
    ".a",
    "a.",
    "x" * 300,
    "%E2%80%AE",
    "%FF",
    "con%20",
    "gold.total%00",
]


@pytest.fixture(scope="module")
def world() -> World:
    world = World(executes=True)
    world.run("+gold.total")
    return world


def test_assets_are_listed_each_after_those_it_reads(world: World) -> None:
    found = json_of(world.get("/assets"))
    assert found["commit"] == 1
    assert [each["key"] for each in found["assets"]] == ["raw.orders", "bronze.orders", "silver.orders", "gold.total", "gold.broken"]
    assert found["assets"][2] == {
        "key": "silver.orders",
        "kind": "asset",
        "pipeline": "",
        "group": "silver",
        "description": "",
        "inputs": ["bronze.orders"],
        "partitions": {"rule": "static", "total": 2, "materialized": 2, "first": "2013-01", "last": "2013-02"},
    }


def test_one_asset_in_full(world: World) -> None:
    found = json_of(world.get("/assets/silver.orders"))
    assert (found["owners"], found["tags"], found["parameters"]) == (["ada"], {"layer": "silver"}, {"factor": 2})
    assert found["inputs"] == [{"name": "bronze", "asset": "bronze.orders", "mapping": "identity"}]
    assert found["readers"] == ["gold.total"]
    assert [column["name"] for column in found["columns"]] == ["id", "amount", "month", "factor"]
    assert found["dataUri"] == f"{ORIGIN}/api/assets/silver.orders/data"
    assert found["place"].startswith("world.py:")


def test_partitions_say_what_each_holds(world: World) -> None:
    found = json_of(world.get("/assets/bronze.orders/partitions"))
    assert [(each["partition"], each["state"], each["row_count"]) for each in found["partitions"]] == [
        ("2013-01", "materialized", 3),
        ("2013-02", "materialized", 3),
    ]
    assert all(len(each["data_version"]) == 64 and each["run_id"] == "20260102t030405-00000001" for each in found["partitions"])
    assert {each["state"] for each in json_of(world.get("/assets/raw.orders/partitions"))["partitions"]} == {"observed"}
    missing = json_of(world.get("/assets/gold.broken/partitions"))["partitions"]
    assert [(each["partition"], each["state"], each["row_count"]) for each in missing] == [("", "missing", None)]


def test_partitions_come_in_pages(world: World) -> None:
    first = json_of(world.get("/assets/bronze.orders/partitions", limit="1"))
    second = json_of(world.get("/assets/bronze.orders/partitions", limit="1", cursor=first["next_cursor"]))
    assert [each["partition"] for each in first["partitions"] + second["partitions"]] == ["2013-01", "2013-02"]
    assert second["next_cursor"] is None
    assert world.get("/assets/bronze.orders/partitions", cursor="2019-01").status == 400


@pytest.mark.parametrize("path", ["", "/partitions", "/data"])
def test_an_unknown_asset_is_404_with_the_nearest_name(world: World, path: str) -> None:
    reply = world.get(f"/assets/gold.totl{path}")
    assert (reply.status, json_of(reply)["code"]) == (404, "asset-not-found")
    assert json_of(reply)["hint"] == "Did you mean `gold.total`?"


@pytest.mark.parametrize("path", ["/assets/{}", "/assets/{}/partitions", "/assets/{}/data", "/runs/{}"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused_and_never_reach_the_store(world: World, path: str, name: str) -> None:
    before = list(world.store.names(""))
    reply = world.get(path.format(name))
    assert reply.status in (400, 404)
    assert reply.media_type == "application/problem+json"
    assert list(world.store.names("")) == before
