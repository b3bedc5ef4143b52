"""Columns across assets, and measuring through the API and the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.docs.test_reference import _fits
from tests.unit.api.world import json_of
from tests.unit.cli.app_server import serving
from tests.unit.lineage.world import MONTHS, Shop
from tidemill import AssetContext, AssetSpec, Derives, asset, external_asset, sql_asset
from tidemill.cli.main import run
from tidemill.execution.sampling import sample
from tools.reference.openapi import document

pytest.importorskip("sqlglot", reason="needs the extra `lineage`: pip install 'tidemill[lineage]'")


class Mill(Shop):
    """A source, a Python silver that filters, a SQL gold over it, and a Python top that declares its columns."""

    calls = 0
    order = 0
    declares: Any = None

    def _assets(self) -> list[AssetSpec[..., Any]]:
        mill = self

        @external_asset(key="raw.sales", partitions=MONTHS)
        def raw_sales(context: AssetContext) -> pa.Table:
            count = 90
            return pa.table(
                {
                    "id": list(range(count)),
                    "shop": [("a", "b", "c")[at % 3] for at in range(count)],
                    "amount": [float(at % 11) for at in range(count)],
                    "valid": [at % 5 != 0 for at in range(count)],
                    "note": ["x"] * count,
                }
            )

        @asset(key="silver.sales", partitions=MONTHS, code_version="1")
        def silver_sales(raw_sales: pa.Table) -> pa.Table:
            mill.calls += 1
            kept = raw_sales.filter(raw_sales["valid"])
            return pa.table({"id": kept["id"], "shop": pc.utf8_upper(kept["shop"]), "cents": pc.multiply(kept["amount"], 100.0)})

        per_shop = sql_asset(
            key="gold.per_shop",
            sql="select shop, sum(cents) as cents, count(*) as sales from sales group by shop order by shop",
            inputs={"sales": silver_sales},
            partitions=MONTHS,
        )

        @asset(key="gold.best", code_version="1", columns=mill.declares)
        def gold_best(gold_per_shop: pa.Table) -> pa.Table:
            ordered = gold_per_shop.sort_by([("cents", "descending"), ("shop", "ascending")])
            return ordered.select(["shop", "cents"])

        return [raw_sales, silver_sales, per_shop, gold_best]


@pytest.fixture
def mill() -> Mill:
    return made()


def made(declares: Any = None) -> Mill:
    mill = Mill.__new__(Mill)
    mill.declares = declares
    mill.__init__()  # type: ignore[misc]
    assert mill.run("+gold.best")["status"] == "succeeded"
    return mill


def told(found: Any) -> set[str]:
    return {
        f"{edge['column'] or '*'} <- {edge['source_asset']}.{edge['source_column']}: {edge['use']} {edge['known']}"
        for edge in found["edges"]
    }


def measure(mill: Mill, asset: str, **more: Any) -> Any:
    reply = mill.post(f"/assets/{asset}/columns/measure", more)
    assert reply.status == 200, reply.body
    return json_of(reply)


def test_a_python_asset_is_measured(mill: Mill) -> None:
    found = measure(mill, "silver.sales")
    assert told(found) == {
        "id <- raw.sales.id: transformation measured",
        "shop <- raw.sales.shop: transformation measured",
        "cents <- raw.sales.amount: transformation measured",
        "* <- raw.sales.valid: rows measured",
    }
    assert (found["unknown_because"], found["unknown_columns"], found["remarks"]) == ("", [], [])
    measurement = found["measurement"]
    assert measurement["partition"] == "2013-02"
    assert measurement["samples"] == [{"input": "raw_sales", "asset": "raw.sales", "partitions": 1, "row_count": 90, "of_rows": 90}]
    assert measurement["calls"] > 20


def test_it_is_measured_once_and_publishes_nothing(mill: Mill) -> None:
    head = mill.runtime.catalog.head()
    before = set(mill.runtime.store.names(""))
    first = measure(mill, "silver.sales")
    calls = mill.calls
    assert measure(mill, "silver.sales") == first
    assert measure(mill, "silver.sales", rows=40, partition="2013-01") == first
    assert mill.calls == calls
    assert json_of(mill.get("/assets/silver.sales/columns")) == first
    assert mill.runtime.catalog.head() == head
    (written,) = set(mill.runtime.store.names("")) - before
    assert written.startswith("columns/")
    assert written.endswith("/000001000")


def test_a_larger_sample_is_measured_again_and_counts_from_then_on(mill: Mill) -> None:
    small = measure(mill, "silver.sales", rows=30)["measurement"]
    large = measure(mill, "silver.sales", rows=80)["measurement"]
    assert [each["samples"][0]["row_count"] for each in (small, large)] == [30, 80]
    assert json_of(mill.get("/assets/silver.sales/columns"))["measurement"] == large


def test_other_code_has_to_be_measured_again(mill: Mill) -> None:
    measure(mill, "silver.sales")
    definition = mill.runtime.graph.asset("silver.sales")
    object.__setattr__(definition, "code", type(definition.code)("0" * 64, (), b""))
    found = json_of(mill.get("/assets/silver.sales/columns"))
    assert found["measurement"] is None
    assert found["remarks"] == ["This is about the code of `silver.sales` as it is now; the last version was made by other code."]


def test_a_query_that_was_measured_keeps_what_its_text_says(mill: Mill) -> None:
    parsed = json_of(mill.get("/assets/gold.per_shop/columns"))
    found = measure(mill, "gold.per_shop")
    assert {edge for edge in told(found) if edge.endswith("parsed")} == told(parsed)
    assert all("shop" in edge for edge in told(found) - told(parsed))


DECLARED = {
    "shop": Derives("gold_per_shop.shop", use="identity"),
    "cents": Derives("gold.per_shop.cents", use="identity"),
    "*": [Derives("gold.per_shop.cents", use="sort"), Derives("gold.per_shop.shop", use="sort")],
}


def test_what_is_declared_is_told_and_agrees_with_what_is_measured() -> None:
    mill = made(DECLARED)
    expected = {
        "shop <- gold.per_shop.shop: identity declared",
        "cents <- gold.per_shop.cents: identity declared",
        "* <- gold.per_shop.cents: sort declared",
        "* <- gold.per_shop.shop: sort declared",
    }
    assert told(json_of(mill.get("/assets/gold.best/columns"))) == expected
    found = measure(mill, "gold.best")
    assert expected <= told(found)
    # Both months hold the same shops with the same totals, so the second key never decides.
    assert found["remarks"] == ["Declared, but not seen on the sample: the rows did not move with `gold.per_shop.shop`."]


def test_where_declared_and_measured_disagree_it_is_said() -> None:
    mill = made(
        {
            "shop": Derives("gold_per_shop.sales"),
            "cents": Derives(),
            "typo": Derives("gold_per_shop.shop"),
            "*": Derives("gold_per_shop.gone", use="filter"),
        }
    )
    assert json_of(mill.get("/assets/gold.best/columns"))["remarks"] == [
        "`typo` is declared, but the last version of `gold.best` has no such column.",
        "`*` is declared to come from `gold.per_shop.gone`, which the last version of `gold.per_shop` does not have.",
    ]
    remarks = measure(mill, "gold.best")["remarks"]
    assert {
        "Measured, but not declared: `shop` moves with `gold.per_shop.shop`.",
        "Measured, but not declared: `cents` moves with `gold.per_shop.cents`.",
        "Measured, but not declared: the rows move with `gold.per_shop.cents`.",
        "Declared, but not seen on the sample: `shop` did not move with `gold.per_shop.sales`.",
    } <= set(remarks)


def test_columns_that_are_not_declared_are_not_known() -> None:
    found = json_of(made({"shop": Derives("gold_per_shop.shop")}).get("/assets/gold.best/columns"))
    assert (found["unknown_because"], found["unknown_columns"]) == ("", ["cents"])


def trace(mill: Mill, asset: str, column: str = "", **query: str) -> Any:
    reply = mill.get("/lineage/columns", asset=asset, **({"column": column} if column else {}), **query)
    assert reply.status == 200, reply.body
    return json_of(reply)


def nodes(found: Any) -> set[str]:
    return {f"{node['steps']} {node['asset']}.{node['column']}{' direct' if node['direct'] else ''}" for node in found["nodes"]}


def test_a_column_is_followed_to_the_sources() -> None:
    mill = made(DECLARED)
    measure(mill, "silver.sales")
    found = trace(mill, "gold.best", "cents")
    assert nodes(found) == {
        "0 gold.best.cents direct",
        "1 gold.per_shop.cents direct",
        "1 gold.per_shop.shop",
        "2 silver.sales.cents direct",
        "2 silver.sales.shop",
        "3 raw.sales.amount direct",
        "3 raw.sales.shop",
        "3 raw.sales.valid",
    }
    assert (found["complete"], found["unknown"]) == (True, [])
    assert {step["known"] for step in found["steps"]} == {"declared", "parsed", "measured"}


def test_a_column_is_followed_to_everything_that_it_bears_on() -> None:
    mill = made(DECLARED)
    measure(mill, "silver.sales")
    found = trace(mill, "raw.sales", "amount", direction="downstream")
    assert nodes(found) == {
        "0 raw.sales.amount direct",
        "1 silver.sales.cents direct",
        "2 gold.per_shop.cents direct",
        "3 gold.best.cents direct",
        "3 gold.best.",
    }
    assert nodes(trace(mill, "raw.sales", "note", direction="downstream")) == {"0 raw.sales.note direct"}
    rows = trace(mill, "raw.sales", "valid", direction="downstream")
    assert {"1 silver.sales.", "2 gold.per_shop.cents", "3 gold.best.shop"} <= nodes(rows)
    assert not any(node["direct"] for node in rows["nodes"] if node["steps"])


def test_both_directions_tell_the_same() -> None:
    mill = made(DECLARED)
    measure(mill, "silver.sales")
    up = {(step["source_column"], step["target_asset"], step["target_column"]) for step in trace(mill, "gold.best")["steps"]}
    down = {
        (step["source_column"], step["target_asset"], step["target_column"])
        for step in trace(mill, "raw.sales", direction="downstream")["steps"]
    }
    assert {each for each in down if each[1] != "silver.sales"} <= up
    assert down


def test_where_it_ends_for_want_of_knowledge_is_said(mill: Mill) -> None:
    found = trace(mill, "gold.per_shop", "cents")
    assert nodes(found) == {"0 gold.per_shop.cents direct", "1 silver.sales.cents direct", "1 silver.sales.shop"}
    assert found["unknown"] == [
        {
            "asset": "silver.sales",
            "because": "`silver.sales` is a Python function that declares nothing of its columns, and it has not been measured.",
        }
    ]


def test_depth_ends_the_walk_and_says_so() -> None:
    mill = made(DECLARED)
    found = trace(mill, "gold.best", "cents", depth="1")
    assert max(node["steps"] for node in found["nodes"]) == 1
    assert not found["complete"]


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "status", "code"),
    [
        ("GET", "/lineage/columns", {"asset": "gold.best", "column": "nobody"}, None, 400, "column-not-found"),
        ("GET", "/lineage/columns", {"asset": "nobody"}, None, 404, "asset-not-found"),
        ("GET", "/lineage/columns", {}, None, 400, "invalid-query"),
        ("POST", "/assets/raw.sales/columns/measure", {}, {}, 422, "not-measurable"),
        ("POST", "/assets/silver.sales/columns/measure", {}, {"rows": 3}, 422, "invalid-body"),
        ("POST", "/assets/silver.sales/columns/measure", {}, {"partition": "1999"}, 422, "partition-not-found"),
        ("POST", "/assets/nobody/columns/measure", {}, {}, 422, "asset-not-found"),
    ],
)
def test_questions_that_make_no_sense_are_refused(
    mill: Mill, method: str, path: str, query: dict[str, str], body: Any, status: int, code: str
) -> None:
    reply = mill.post(path, body) if method == "POST" else mill.get(path, **query)
    assert (reply.status, json_of(reply)["code"]) == (status, code)


def test_what_was_never_made_cannot_be_measured() -> None:
    mill = Mill()
    reply = mill.post("/assets/silver.sales/columns/measure", {})
    assert (reply.status, json_of(reply)["code"]) == (404, "not-materialized")


counter = (pa.table({"x": [number]}) for number in range(1000))


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda raw_sales: raw_sales / 0, "cannot be run on a sample"),
        (lambda raw_sales: next(counter) if raw_sales else None, "gives another result each time"),
    ],
)
def test_code_that_cannot_be_measured_says_why(mill: Mill, function: Callable[[pa.Table], Any], why: str) -> None:
    definition = mill.runtime.graph.asset("silver.sales")
    object.__setattr__(definition, "function", function)
    reply = mill.post("/assets/silver.sales/columns/measure", {})
    assert json_of(reply)["code"] == "not-measurable"
    assert why in json_of(reply)["detail"]
    assert list(mill.runtime.store.names("columns/")) == []


def test_events_tell_what_was_measured(mill: Mill) -> None:
    measure(mill, "silver.sales")
    run_id = str(mill.runtime.runs.recent(1)[0])
    events = json_of(mill.get(f"/runs/{run_id}/events"))["events"]
    facet = next(
        event["outputs"][0]["facets"]["columnLineage"]
        for event in events
        if event["outputs"] and event["outputs"][0]["name"] == "silver.sales"
    )
    (cents,) = facet["fields"]["cents"]["inputFields"]
    assert (cents["field"], cents["transformations"][0]["description"]) == ("amount", "measured")
    assert [each["field"] for each in facet["dataset"]] == ["valid"]


def test_the_command_measures_shows_and_follows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    mill = made(DECLARED)
    with serving(mill) as url:
        monkeypatch.setenv("TIDEMILL_URL", url)
        monkeypatch.setenv("COLUMNS", "160")
        assert run(["lineage", "silver.sales", "--columns", "--measure"]) == 0
        text = capsys.readouterr().out
        assert "raw.sales.amount (transformation, measured)" in text
        assert "Measured on silver.sales@2013-02 with 90 of 90 rows of raw.sales" in text
        assert run(["lineage", "gold.best.cents", "--columns"]) == 0
        text = capsys.readouterr().out
        assert "├── gold.per_shop.cents  identity, sort, declared" in text
        assert "raw.sales.amount  transformation, measured" in text
        assert "7 columns it comes from, 3 of them by value all the way, as of commit 1" in text
        assert run(["lineage", "raw.sales.amount", "--columns", "--direction", "downstream"]) == 0
        assert "gold.best, its rows  sort, declared" in capsys.readouterr().out
        assert run(["lineage", "gold.best.cents", "--columns", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == trace(mill, "gold.best", "cents")
        assert run(["lineage", "gold.best", "--measure", "--json"]) == 2
        assert run(["lineage", "silver.sales@2013-01", "--columns", "--json"]) == 2


@pytest.mark.parametrize(("rows", "wanted"), [(1000, 50), (50, 50), (20, 20), (7, 7)])
def test_a_sample_is_the_head_and_some_of_the_rest_in_order(rows: int, wanted: int) -> None:
    table = pa.table({"x": list(range(50))})
    found = sample(table, rows)["x"].to_pylist()
    assert len(found) == wanted
    assert found == sorted(set(found))
    assert found[: wanted // 2] == list(range(wanted // 2))


@cache
def _document() -> dict[str, Any]:
    found: dict[str, Any] = document()
    return found


@pytest.mark.parametrize(
    ("method", "path", "template"),
    [
        ("get", "/lineage/columns?asset=gold.best", "/lineage/columns"),
        ("post", "/assets/silver.sales/columns/measure", "/assets/{asset}/columns/measure"),
        ("get", "/assets/silver.sales/columns", "/assets/{asset}/columns"),
    ],
)
def test_replies_are_what_the_document_says(mill: Mill, method: str, path: str, template: str) -> None:
    measure(mill, "silver.sales")
    path, _, asked = path.partition("?")
    reply = mill.ask(method.upper(), path, query=dict([asked.split("=")]) if asked else {})
    api = _document()
    content = api["paths"][f"/api{template}"][method]["responses"][str(reply.status)]["content"]
    assert _fits(json_of(reply), content[reply.media_type]["schema"], api["components"]["schemas"])
