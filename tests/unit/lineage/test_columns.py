from __future__ import annotations

import importlib
from typing import Any

import pytest

from tests.unit.api.world import json_of
from tests.unit.lineage.world import Shop
from tidemill.lineage import sql_columns

needs_sqlglot = pytest.mark.skipif(
    importlib.util.find_spec("sqlglot") is None, reason="needs the extra `lineage`: pip install 'tidemill[lineage]'"
)


def edge(column: str, source: str, use: str) -> dict[str, Any]:
    return {"column": column, "source_asset": "bronze.orders", "source_column": source, "use": use, "known": "parsed"}


@needs_sqlglot
def test_a_query_is_traced_to_the_columns_on_record_and_names_come_from_the_last_version() -> None:
    shop = Shop()
    shop.run("+gold.total")
    assert json_of(shop.get("/assets/silver.per_shop/columns")) == {
        "asset": "silver.per_shop",
        "columns": ["shop", "total", "count_star()"],
        "edges": [
            edge("shop", "shop", "identity"),
            edge("total", "amount", "aggregation"),
            edge("", "id", "filter"),
            edge("", "shop", "group_by"),
            edge("", "shop", "sort"),
        ],
        "unknown_because": "",
        "unknown_columns": [],
        "remarks": [],
        "measurement": None,
    }


@needs_sqlglot
def test_without_columns_on_record_nothing_is_guessed() -> None:
    found = json_of(Shop().get("/assets/silver.per_shop/columns"))
    assert found["edges"] == []
    assert (
        found["unknown_because"]
        == "The columns of `bronze.orders`, which `silver.per_shop` reads, are neither on record nor declared as its `schema`."
    )


def test_a_function_explains_no_columns() -> None:
    shop = Shop()
    shop.run("+gold.total")
    found = json_of(shop.get("/assets/gold.total/columns"))
    assert (found["columns"], found["edges"]) == (["rows"], [])
    assert (
        found["unknown_because"] == "`gold.total` is a Python function that declares nothing of its columns, and it has not been measured."
    )
    outside = json_of(shop.get("/assets/raw.orders/columns"))
    assert outside["unknown_because"] == "`raw.orders` is an external asset, which is made from nothing here."


def test_without_sqlglot_the_answer_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    shop.run("+gold.total")
    sql_columns._sqlglot.cache_clear()
    real = importlib.import_module

    def hidden(name: str) -> Any:
        if name.startswith("sqlglot"):
            raise ModuleNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib, "import_module", hidden)
    try:
        problem = json_of(shop.get("/assets/silver.per_shop/columns"))
        events = json_of(shop.get("/runs/20260102t030405-00000001/events"))["events"]
    finally:
        sql_columns._sqlglot.cache_clear()
    assert problem["code"] == "missing-extra"
    assert problem["hint"] == "Install them with `pip install 'tidemill[lineage]'`."
    outputs = [output for event in events for output in event["outputs"]]
    assert len(outputs) == 5
    assert all("columnLineage" not in output["facets"] for output in outputs)
