"""Declaring where columns come from: what is meant, and every mistake word for word."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from tests.unit.definitions.test_definitions import only, problems
from tidemill import AssetSpec, Derives, asset, external_asset, sql_asset
from tidemill.definitions.columns import DeclaredSource
from tidemill.model.columns import ColumnUse


@external_asset(key="raw.orders", schema=pa.schema([("id", pa.int64()), ("amount", pa.float64())]))
def orders() -> pa.Table:
    return pa.table({"id": [1], "amount": [1.0]})


@external_asset(key="raw.shops")
def shops() -> pa.Table:
    return pa.table({"name": ["a"]})


def total(columns: Any, schema: pa.Schema | None = None) -> AssetSpec[..., Any]:
    @asset(key="gold.total", columns=columns, schema=schema)
    def gold_total(raw_orders: pa.Table, raw_shops: pa.Table) -> pa.Table:
        return raw_orders

    return gold_total


def wrong(columns: Any, schema: pa.Schema | None = None) -> list[str]:
    return problems(total(columns, schema), orders, shops)


def test_an_input_is_named_by_its_parameter_or_by_its_key() -> None:
    declared = total(
        {
            "total": Derives("raw_orders.amount", use="aggregation"),
            "first": "raw.orders.id",
            "mixed": ["raw.orders.id", Derives("raw.shops.name", use="join")],
            "made": Derives(),
            "*": Derives("raw_orders.id", use="filter"),
        }
    )
    assert only(declared, orders, shops).columns == {
        "total": (DeclaredSource("raw_orders", "amount", ColumnUse.AGGREGATION),),
        "first": (DeclaredSource("raw_orders", "id", ColumnUse.TRANSFORMATION),),
        "mixed": (DeclaredSource("raw_orders", "id", ColumnUse.TRANSFORMATION), DeclaredSource("raw_shops", "name", ColumnUse.JOIN)),
        "made": (),
        "*": (DeclaredSource("raw_orders", "id", ColumnUse.FILTER),),
    }


def test_columns_with_dots_go_to_the_longest_name_that_fits() -> None:
    @external_asset(key="raw")
    def raw() -> pa.Table:
        return pa.table({"orders.id": [1]})

    @asset(key="gold.x", inputs={"a": raw, "b": orders}, columns={"x": ["raw.orders.id", "a.orders.id"]})
    def gold_x(a: pa.Table, b: pa.Table) -> pa.Table:
        return a

    found = only(gold_x, raw, orders).columns["x"]
    assert [(each.input, each.column) for each in found] == [("b", "id"), ("a", "orders.id")]


def test_a_query_may_declare_columns_too_and_what_is_not_declared_is_empty() -> None:
    query = sql_asset(key="gold.q", sql="select amount from o", inputs={"o": orders}, columns={"amount": "o.amount"})
    assert only(query, orders).columns["amount"] == (DeclaredSource("o", "amount", ColumnUse.TRANSFORMATION),)
    assert only(orders).columns == {}


def test_declared_columns_are_no_part_of_the_code_version() -> None:
    assert only(total({"x": "raw_orders.id"}), orders, shops).code_version == only(total(None), orders, shops).code_version


@pytest.mark.parametrize(
    ("columns", "schema", "told"),
    [
        (
            {"x": "raw_order.id"},
            None,
            "Asset `gold.total`: `columns` derives `x` from `raw_order.id`, which is no column of an input. Did you mean `raw_orders`?",
        ),
        (
            {"x": "raw_orders.amont"},
            None,
            "Asset `gold.total`: `columns` derives `x` from column `amont` of `raw.orders`, which that does not have. Did you mean `amount`?",
        ),
        (
            {"x": Derives("raw_orders.id", use="filtr")},
            None,
            "Asset `gold.total`: `columns` says that `x` is used as `filtr`, which is no use of a column. Did you mean `filter`?",
        ),
        (
            {"*": "raw_orders.id"},
            None,
            "Asset `gold.total`: `columns` says of `*`, which is all columns, that it hands on values (`transformation`). Say what decides the rows: filter, join, group_by, sort or rows.",
        ),
        (
            {"totl": "raw_orders.id"},
            pa.schema([("total", pa.int64())]),
            "Asset `gold.total`: `columns` declares `totl`, which its schema does not have. Did you mean `total`?",
        ),
        (
            ["x"],
            None,
            "Asset `gold.total`: `columns` is ['x']. It must be what columns come from, such as `{'total': Derives('orders.amount')}`.",
        ),
        (
            {"x": 1},
            None,
            "Asset `gold.total`: `columns` is {'x': 1}. It must be what columns come from, such as `{'total': Derives('orders.amount')}`.",
        ),
        (
            {"x": "raw_orders."},
            None,
            "Asset `gold.total`: `columns` derives `x` from `raw_orders.`, which is no column of an input. Did you mean `raw_orders`?",
        ),
    ],
)
def test_mistakes_are_told(columns: Any, schema: pa.Schema | None, told: str) -> None:
    assert wrong(columns, schema) == [told]


def test_all_mistakes_are_told_at_once() -> None:
    assert len(wrong({"x": "nobody.id", "y": ["raw_orders.nothing", Derives("raw_orders.id", use="magic")]})) == 3


def test_of_an_asset_without_a_schema_any_column_may_be_named() -> None:
    assert only(total({"x": "raw_shops.whatever"}), orders, shops).columns["x"][0].column == "whatever"
