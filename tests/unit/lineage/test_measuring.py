"""Measuring on small tables, where it is known what moves what."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tidemill.lineage.measuring import Code, Measured, NotRepeatable, Parts, Refused, measure
from tidemill.lineage.perturbation import Rows, changed, changes, moved

ROWS = 60
TABLE = pa.table(
    {
        "shop": ["b", "a", "a", "c", "b", "c"] * 10,
        "amount": list(range(ROWS)),
        "kind": [at % 7 for at in range(ROWS)],
        "late": [None if at % 4 == 0 else at for at in range(ROWS)],
        "unused": [at * 2.5 for at in range(ROWS)],
    }
)


def measured(code: Callable[[pa.Table], pa.Table], table: pa.Table = TABLE) -> Measured:
    return measure(lambda inputs: code(inputs["t"][0][1]), {"t": [("", table)]})


def edges(found: Measured) -> set[str]:
    return {f"{edge.column or '*'} <- {edge.source_column}: {edge.use}" for edge in found.edges}


def test_copies_and_computed_columns() -> None:
    def code(table: pa.Table) -> pa.Table:
        doubled = pc.multiply(table["amount"], 2)
        return pa.table({"shop": table["shop"], "double": doubled, "is_late": pc.is_valid(table["late"]), "one": pa.repeat(1, len(table))})

    found = measured(code)
    assert edges(found) == {"shop <- shop: identity", "double <- amount: transformation", "is_late <- late: transformation"}
    assert (found.columns, found.row_count, found.refused) == (("shop", "double", "is_late", "one"), ROWS, ())


def test_a_grouping_key_decides_rows_and_chooses_what_is_counted() -> None:
    def code(table: pa.Table) -> pa.Table:
        grouped = table.group_by("shop", use_threads=False).aggregate([("amount", "sum"), ("late", "count")])
        return grouped.sort_by("shop")

    assert edges(measured(code)) == {
        "shop <- shop: transformation",
        "amount_sum <- amount: transformation",
        "amount_sum <- shop: conditional",
        "late_count <- late: transformation",
        "late_count <- shop: conditional",
        "* <- shop: rows",
    }


def test_what_is_filtered_by_decides_the_rows() -> None:
    found = measured(lambda table: table.filter(pc.greater(table["kind"], 3)).select(["shop", "amount"]))
    assert "* <- kind: rows" in edges(found)
    assert {edge for edge in edges(found) if "kind" in edge} == {"* <- kind: rows"}


def test_what_is_sorted_by_decides_the_rows_and_moves_no_values() -> None:
    found = measured(lambda table: table.sort_by([("late", "ascending"), ("amount", "ascending")]).select(["amount", "shop"]))
    assert {edge for edge in edges(found) if "late" in edge} == {"* <- late: rows"}
    assert {"amount <- amount: identity", "shop <- shop: identity"} <= edges(found)


def test_a_lookup_moves_what_was_looked_up() -> None:
    def code(inputs: Mapping[str, Parts]) -> pa.Table:
        left, right = inputs["left"][0][1], inputs["right"][0][1]
        place = pc.index_in(left["shop"], value_set=right["shop"]).combine_chunks()
        return pa.table({"amount": left["amount"], "town": right["town"].take(place)})

    right = pa.table({"shop": ["a", "b", "c"], "town": ["Ulm", "Bonn", "Kiel"]})
    found = measure(code, {"left": [("", TABLE)], "right": [("", right)]})
    assert {f"{edge.column} <- {edge.input}.{edge.source_column}: {edge.use}" for edge in found.edges} == {
        "amount <- left.amount: identity",
        "town <- left.shop: transformation",
        "town <- right.shop: transformation",
        "town <- right.town: transformation",
    }


def test_every_partition_of_an_input_is_changed() -> None:
    def code(inputs: Mapping[str, Parts]) -> pa.Table:
        return pa.table({"last": [pc.sum(inputs["t"][-1][1]["amount"]).as_py()], "name": [inputs["t"][0][0]]})

    found = measure(code, {"t": [("2013-01", TABLE), ("2013-02", TABLE)]})
    assert edges(found) == {"last <- amount: transformation"}


def test_code_that_refuses_other_values_is_told_and_what_it_takes_is_measured() -> None:
    def code(table: pa.Table) -> pa.Table:
        if set(table["shop"].to_pylist()) != {"a", "b", "c"}:
            raise Refused("there are three shops")
        if table["kind"].to_pylist() != TABLE["kind"].to_pylist():
            raise Refused("kinds are sacred")
        return table.select(["shop", "kind", "amount"])

    found = measured(code)
    assert [(each.input, each.column) for each in found.refused] == [("t", "kind")]
    assert found.refused[0].because == "the code does not take other values in it: kinds are sacred"
    # Only changes of place were taken, and those tell that the values are handed on.
    assert edges(found) == {"shop <- shop: identity", "amount <- amount: identity"}


def test_code_that_refuses_the_sample_or_gives_two_results_is_not_measured() -> None:
    def refuses(_: Mapping[str, Parts]) -> pa.Table:
        raise Refused("never")

    counter = itertools.count()
    inputs: Mapping[str, Parts] = {"t": [("", TABLE)]}
    with pytest.raises(Refused, match="never"):
        measure(refuses, inputs)
    with pytest.raises(NotRepeatable):
        measure(lambda _: pa.table({"x": [next(counter)]}), inputs)


def test_measuring_twice_gives_the_same_edges() -> None:
    def code(table: pa.Table) -> pa.Table:
        return table.group_by("kind", use_threads=False).aggregate([("amount", "max")]).sort_by("kind")

    assert measured(code) == measured(code)


EVERY_TYPE: dict[str, pa.Array] = {
    "bool": pa.array([True, False, None] * 5),
    "int8": pa.array([127, -128, 5] * 5, pa.int8()),
    "uint64": pa.array([0, 2**64 - 1, None] * 5, pa.uint64()),
    "double": pa.array([1.5, float("nan"), None] * 5),
    "decimal": pa.array([Decimal("9.99"), Decimal("-1.00"), None] * 5, pa.decimal128(3, 2)),
    "text": pa.array(["a", "", None] * 5),
    "large_text": pa.array(["a", "", None] * 5, pa.large_string()),
    "binary": pa.array([b"a", b"", None] * 5),
    "date": pa.array([dt.date(2013, 1, 31), None, dt.date(1, 1, 1)] * 5),
    "date64": pa.array([dt.date(2013, 1, 31), None, dt.date(2000, 1, 1)] * 5, pa.date64()),
    "instant": pa.array([dt.datetime(2013, 1, 31, tzinfo=dt.UTC), None, dt.datetime(2013, 2, 1, tzinfo=dt.UTC)] * 5),
    "time": pa.array([dt.time(23, 59), None, dt.time(0)] * 5),
    "duration": pa.array([dt.timedelta(1), None, dt.timedelta(0)] * 5),
    "dictionary": pa.array(["x", "y", None] * 5).dictionary_encode(),
    "list": pa.array([[1, 2], [], None] * 5),
    "struct": pa.array([{"x": 1}, {"x": 2}, None] * 5),
    "nulls": pa.array([None] * 15, pa.int64()),
}


@pytest.mark.parametrize("name", sorted(EVERY_TYPE))
def test_every_type_can_be_changed_and_is_seen_to_move(name: str) -> None:
    table = pa.table({"x": EVERY_TYPE[name], "row": list(range(15))})
    made = [(each, changed(table, "x", each, Rows.THIRD)) for each in changes(table.schema.field("x"))]
    taken = [after for _, after in made if after is not None]
    assert taken
    assert all(after.schema.equals(table.schema) and after["row"].equals(table["row"]) for after in taken)
    assert any(each.is_new for each, after in made if after is not None)
    found = measured(lambda table: table, table)
    assert (
        {edge for edge in edges(found) if edge.startswith("x <-")} == {"x <- x: identity"}
        if name not in {"list", "struct"}
        else edges(found)
    )


def test_columns_that_may_hold_no_nulls_get_none() -> None:
    schema = pa.schema([pa.field("x", pa.int64(), nullable=False)])
    table = pa.table({"x": [1, 2, 3, 4]}, schema=schema)
    assert all(after["x"].null_count == 0 for each in changes(schema.field("x")) if (after := changed(table, "x", each, Rows.THIRD)))


@pytest.mark.parametrize(
    ("before", "after", "values", "rows"),
    [
        ({"a": [1, 2, 3], "b": [1, 2, 3]}, {"a": [1, 2, 3], "b": [1, 2, 3]}, set(), False),
        ({"a": [1, 2, 3], "b": [1, 2, 3]}, {"a": [1, 2, 3], "b": [2, 1, 3]}, {"b"}, False),
        ({"a": [1, 2, 3], "b": [4, 5, 6]}, {"a": [3, 2, 1], "b": [6, 5, 4]}, set(), True),
        ({"a": [1, 2, 3], "b": [4, 5, 6], "c": [7, 8, 9]}, {"a": [3, 2, 1], "b": [6, 5, 4], "c": [0, 0, 0]}, {"c"}, True),
        ({"a": [1, 2, 3], "b": [4, 5, 6], "c": [7, 8, 9]}, {"a": [3, 2, 1], "b": [6, 5, 4], "c": [7, 9, 8]}, {"c"}, True),
        ({"a": [1, 2, 3]}, {"a": [1, 2]}, set(), True),
        ({"a": [1, 2, 3]}, {"a": [3, 2, 1]}, {"a"}, False),
        ({"a": [1], "b": [2]}, {"a": [1], "c": [2]}, {"b", "c"}, False),
        ({"a": [1, 2], "b": ["x", "y"]}, {"a": [1, 2], "b": [1, 2]}, {"b"}, False),
    ],
)
def test_what_moved(before: dict[str, list[Any]], after: dict[str, list[Any]], values: set[str], rows: bool) -> None:
    assert moved(pa.table(before), pa.table(after))[:2] == (frozenset(values), rows)


def test_the_code_is_never_given_what_it_could_change() -> None:
    given: list[pa.Table] = []

    def code(inputs: Mapping[str, Parts]) -> pa.Table:
        given.append(inputs["t"][0][1])
        return inputs["t"][0][1]

    typed: Code = code
    measure(typed, {"t": [("", TABLE)]})
    assert given[0] is TABLE
    assert TABLE["amount"].to_pylist() == list(range(ROWS))
