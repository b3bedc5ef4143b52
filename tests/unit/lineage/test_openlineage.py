"""Events of real runs, held against the classes of the official client: what they build from our values must be our values again."""

from __future__ import annotations

import importlib.util
import json
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from tests.unit.api.world import json_of
from tests.unit.lineage.world import Shop


def events_of(shop: Shop, run: str, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        reply = shop.get(f"/runs/{run}/events", **query, **({"cursor": cursor} if cursor else {}))
        assert reply.status == 200, reply.body
        page = json_of(reply)
        found += page["events"]
        cursor = page["next_cursor"]
    return found


@pytest.fixture(scope="module")
def told() -> tuple[Shop, str, list[dict[str, Any]]]:
    shop = Shop()
    run = shop.run("+gold.total")
    assert run["status"] == "succeeded"
    return shop, run["run_id"], events_of(shop, run["run_id"])


def story(events: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [
        (event["eventType"], event["job"]["name"], event["run"]["facets"].get("tidemill_unit", {}).get("partition", "")) for event in events
    ]


def test_a_run_is_a_story_with_a_beginning_and_an_end(told: tuple[Shop, str, list[dict[str, Any]]]) -> None:
    _, _, events = told
    units = [(asset, month) for asset in ("bronze.orders", "silver.per_shop") for month in ("2013-01", "2013-02")] + [("gold.total", "")]
    assert story(events) == [
        ("START", "+gold.total", ""),
        *((kind, *unit) for unit in units for kind in ("START", "COMPLETE")),
        ("COMPLETE", "+gold.total", ""),
    ]


def test_every_unit_names_the_run_as_its_parent(told: tuple[Shop, str, list[dict[str, Any]]]) -> None:
    _, run, events = told
    whole, units = events[0]["run"]["runId"], events[1:-1]
    assert all(event["run"]["facets"]["parent"]["run"]["runId"] == whole for event in units)
    assert all(event["run"]["facets"]["parent"]["job"]["name"] == "+gold.total" for event in units)
    assert all(event["run"]["facets"]["tidemill_unit"]["run"] == run for event in units)
    assert len({event["run"]["runId"] for event in units}) == 5


def test_inputs_and_outputs_say_what_was_read_and_written(told: tuple[Shop, str, list[dict[str, Any]]]) -> None:
    shop, _, events = told
    total = next(event for event in events if event["eventType"] == "COMPLETE" and event["job"]["name"] == "gold.total")
    rows = json_of(shop.get("/assets/silver.per_shop/partitions"))["partitions"]
    (read,) = total["inputs"]
    assert (read["namespace"], read["name"]) == ("tidemill", "silver.per_shop")
    versions = read["facets"]["tidemill_versions"]["versions"]
    assert versions == [{"partition": each["partition"], "dataVersion": each["data_version"]} for each in rows]
    (written,) = total["outputs"]
    held = json_of(shop.get("/assets/gold.total/partitions"))["partitions"][0]
    statistics = written["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["size"], statistics["fileCount"]) == (1, held["size_bytes"], 1)
    assert written["facets"]["version"]["datasetVersion"] == held["data_version"]
    assert written["facets"]["schema"]["fields"] == [{"name": "rows", "type": "int64", "fields": []}]


@pytest.mark.skipif(importlib.util.find_spec("sqlglot") is None, reason="needs the extra `lineage`: pip install 'tidemill[lineage]'")
def test_columns_of_queries_are_in_the_events(told: tuple[Shop, str, list[dict[str, Any]]]) -> None:
    _, _, events = told
    done = next(event for event in events if event["eventType"] == "COMPLETE" and event["job"]["name"] == "silver.per_shop")
    facet = done["outputs"][0]["facets"]["columnLineage"]

    def field(name: str, *uses: tuple[str, str]) -> dict[str, Any]:
        found = [{"type": kind, "subtype": subtype, "description": "", "masking": False} for kind, subtype in uses]
        return {"namespace": "tidemill", "name": "bronze.orders", "field": name, "transformations": found}

    assert facet["fields"] == {
        "shop": {"inputFields": [field("shop", ("DIRECT", "IDENTITY"))]},
        "total": {"inputFields": [field("amount", ("DIRECT", "AGGREGATION"))]},
    }
    assert facet["dataset"] == [field("id", ("INDIRECT", "FILTER")), field("shop", ("INDIRECT", "GROUP_BY"), ("INDIRECT", "SORT"))]


def test_a_failed_run_fails_publishes_nothing_and_keeps_secrets() -> None:
    shop = Shop()
    shop.broken = True
    run = shop.run("+gold.total")
    events = events_of(shop, run["run_id"])
    assert story(events)[-3:] == [("START", "gold.total", ""), ("FAIL", "gold.total", ""), ("FAIL", "+gold.total", "")]
    assert [event["outputs"] for event in events] == [[]] * len(events)
    assert "ValueError" in json.dumps(events[-2]["run"]["facets"]["errorMessage"])
    assert events[-1]["run"]["facets"]["errorMessage"]["message"].startswith("1 unit failed, so nothing was published")
    assert "SECRET" not in json.dumps(events)


def test_events_are_the_same_page_by_page_and_time_after_time(told: tuple[Shop, str, list[dict[str, Any]]]) -> None:
    shop, run, events = told
    assert events_of(shop, run, limit="2") == events
    assert events_of(shop, run, limit="1") == events_of(shop, run)


def test_a_namespace_can_be_chosen(told: tuple[Shop, str, list[dict[str, Any]]]) -> None:
    shop, run, events = told
    chosen = events_of(shop, run, namespace="shop.prod")
    assert chosen == json.loads(json.dumps(events).replace('"namespace": "tidemill"', '"namespace": "shop.prod"'))


def test_a_run_that_did_nothing_has_a_beginning_and_an_end(told: tuple[Shop, str, list[dict[str, Any]]]) -> None:
    shop = Shop()
    shop.run("+gold.total")
    again = shop.run("+gold.total")
    assert [kind for kind, _, _ in story(events_of(shop, again["run_id"]))] == ["START", "COMPLETE"]


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/runs/20260102t030405-0000000f/events", {}, 404),
        ("/runs/RUN/events", {"cursor": "77"}, 400),
        ("/runs/RUN/events", {"cursor": "x"}, 400),
        ("/runs/RUN/events", {"limit": "0"}, 400),
    ],
)
def test_questions_that_make_no_sense_are_refused(
    told: tuple[Shop, str, list[dict[str, Any]]], path: str, query: dict[str, str], status: int
) -> None:
    shop, run, _ = told
    assert shop.get(path.replace("RUN", run), **query).status == status


def test_the_official_client_reads_them_and_writes_them_back(told: tuple[Shop, str, list[dict[str, Any]]]) -> None:
    events: Any = pytest.importorskip("openlineage.client.event_v2", reason="needs openlineage-python, which nothing else here uses")
    serde: Any = pytest.importorskip("openlineage.client.serde")
    _, _, good = told
    failing = Shop()
    failing.broken = True
    failed = events_of(failing, failing.run("+gold.total")["run_id"])
    for event in good + failed:
        UUID(event["run"]["runId"])
        assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
        run = events.Run(runId=event["run"]["runId"])
        job = events.Job(namespace=event["job"]["namespace"], name=event["job"]["name"])
        built = events.RunEvent(
            eventTime=event["eventTime"],
            eventType=events.RunState(event["eventType"]),
            run=run,
            job=job,
            producer=event["producer"],
            inputs=[events.InputDataset(each["namespace"], each["name"]) for each in event["inputs"]],
            outputs=[events.OutputDataset(each["namespace"], each["name"]) for each in event["outputs"]],
        )
        written = serde.Serde.to_dict(built)
        assert written == _without_facets(event)


def _without_facets(event: dict[str, Any]) -> dict[str, Any]:
    bare: dict[str, Any] = json.loads(json.dumps(event))
    bare["run"]["facets"] = {}
    bare["job"]["facets"] = {}
    for dataset in bare["inputs"] + bare["outputs"]:
        for name in ("facets", "inputFacets", "outputFacets"):
            if name in dataset:
                dataset[name] = {}
    return bare
