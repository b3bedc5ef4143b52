from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tidemill.lineage.sql_columns import Untraceable, trace

pytest.importorskip("sqlglot", reason="needs the extra `lineage`: pip install 'tidemill[lineage]'")

TABLES = {"t": ["a", "b", "c"], "u": ["a", "d"]}


def told(sql: str) -> dict[str, str]:
    """Columns to their sources in one line; the rows under `*`."""
    traced = trace(sql, TABLES)
    found = dict(traced.columns) | {"*": traced.rows}
    return {name: " ".join(f"{each.table}.{each.column}:{each.use}" for each in sources) for name, sources in found.items()}


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select a as x, b + c as y from t", {"x": "t.a:identity", "y": "t.b:transformation t.c:transformation", "*": ""}),
        ("select * exclude (c) from t", {"a": "t.a:identity", "b": "t.b:identity", "*": ""}),
        ("select A from T", {"a": "t.a:identity", "*": ""}),
        ("select sum(b) as s, count(*) as n from t group by a", {"s": "t.b:aggregation", "n": "", "*": "t.a:group_by"}),
        ("select a as k, k + b as z from t", {"k": "t.a:identity", "z": "t.a:transformation t.b:transformation", "*": ""}),
        ("select t.b, u.d from t join u on u.a = t.a", {"b": "t.b:identity", "d": "u.d:identity", "*": "t.a:join u.a:join"}),
        ("select b from t join u using (a)", {"b": "t.b:identity", "*": "t.a:join u.a:join"}),
        ("select b from t where c > $least", {"b": "t.b:identity", "*": "t.c:filter"}),
        ("select b from t order by c", {"b": "t.b:identity", "*": "t.c:sort"}),
        ("select distinct b from t", {"b": "t.b:identity", "*": "t.b:group_by"}),
        ("select sum(b) filter (c > 1) as s from t", {"s": "t.b:aggregation t.c:filter", "*": ""}),
        (
            "select case when a > 1 then b else c end as x from t",
            {"x": "t.a:conditional t.b:transformation t.c:transformation", "*": ""},
        ),
        (
            "select lag(b) over (partition by a order by c) as x from t",
            {"x": "t.a:window t.b:aggregation t.c:window", "*": ""},
        ),
        (
            "select sum(b) over w as x from t window w as (partition by a)",
            {"x": "t.a:window t.b:aggregation", "*": ""},
        ),
        (
            "with x as (select a, sum(b) as s from t where c > 0 group by a) select s * 2 as y, d from x left join u on u.a = x.a",
            {"y": "t.b:aggregation", "d": "u.d:identity", "*": "t.a:group_by t.a:join t.c:filter u.a:join"},
        ),
        ("select a from t union all select d from u", {"a": "t.a:identity u.d:identity", "*": ""}),
        ("select a from t union select d from u", {"a": "t.a:identity u.d:identity", "*": "t.a:group_by u.d:group_by"}),
        ("select a from t except select d from u", {"a": "t.a:identity", "*": "t.a:filter u.d:filter"}),
        (
            "select b, (select max(d) from u where u.a = t.a) as m from t",
            {"b": "t.b:identity", "m": "t.a:filter u.a:filter u.d:aggregation", "*": ""},
        ),
        ("select b from t where exists (select 1 from u where u.d = t.c)", {"b": "t.b:identity", "*": "t.c:filter u.d:filter"}),
        ("select x from t, unnest([a, b]) as z(x)", {"x": "t.a:transformation t.b:transformation", "*": "t.a:join t.b:join"}),
    ],
)
def test_columns_are_traced(sql: str, expected: dict[str, str]) -> None:
    assert told(sql) == expected


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("select columns('a|b') from t", "it selects columns by a pattern, or a `*` that could not be expanded"),
        ("select t from t", "it selects whole rows as one value"),
        ("with recursive r as (select a from t union all select a + 1 from r where a < 3) select a from r", "it is recursive"),
        ("select a from elsewhere", "it does not say which table `a` belongs to"),
        ("select nothing from t", "it does not say which table `nothing` belongs to"),
        ("select t.nothing from t", "the parser stopped: Unknown column: nothing"),
        ("pivot t on a using sum(b)", "it is not one SELECT"),
        ("select a from t; select b from t", "it is not one SELECT"),
    ],
)
def test_what_the_text_does_not_tell_is_not_guessed(sql: str, why: str) -> None:
    with pytest.raises(Untraceable) as told:
        trace(sql, TABLES)
    assert str(told.value) == why


def test_text_that_is_no_sql_is_untraceable() -> None:
    with pytest.raises(Untraceable, match="the parser stopped"):
        trace("select from where", TABLES)


MEASURED = [
    "select a, sum(b) as s, count(*) as n from t group by a order by a",
    "select t.b + u.d as x, c from t join u using (a) order by t.b, c",
    "select b, case when a > 2 then c else 0 end as x, row_number() over (partition by a order by c) as r from t order by b",
    "with m as (select a, max(c) as top from t group by a) select t.b, m.top - t.c as gap from t join m on m.a = t.a order by t.b",
    "select b from t where c > (select avg(d) from u) order by b",
    "select a, b from t where a in (select a from u where d > 15) order by b",
    "select a, count(distinct c) as n, sum(b) filter (c > 4) as big from t group by all having sum(b) > 20 order by a",
    "select b from t qualify row_number() over (partition by a order by c desc) = 1 order by b",
    "select d as x from u union select b from t order by x",
    "select coalesce(u.d, t.c) as x, t.b from t left join u on u.a = t.a and t.c > 3 order by t.b, x",
]
DATA: dict[str, dict[str, list[Any]]] = {
    "t": {"a": [1, 2, 3, 1, 2, 3], "b": [10, 20, 30, 40, 50, 60], "c": [1, 5, 3, 7, 5, 9]},
    "u": {"a": [1, 2, 4], "d": [10, 20, 30]},
}


def result(sql: str, data: dict[str, dict[str, list[Any]]]) -> dict[str, list[Any]]:
    with duckdb.connect() as database:
        for name, columns in data.items():
            database.register(name, pa.table(columns))
        table = database.sql(sql).to_arrow_table()
    found: dict[str, list[Any]] = table.to_pydict()
    return found


@pytest.mark.parametrize("sql", MEASURED)
def test_whatever_moves_a_column_was_traced_to_it(sql: str) -> None:
    """Measured: changes each input column in several ways and looks which outputs move; the text must have told each of them."""
    traced = trace(sql, TABLES)
    before = result(sql, DATA)
    assert list(before) == [name for name, _ in traced.columns]
    moved_at_all = False
    for table, columns in DATA.items():
        for column, values in columns.items():
            moved: set[str] = set()
            for changed in (values[1:] + values[:1], [value + 3 for value in values], [value * 7 - 11 for value in values], values[::-1]):
                after = result(sql, DATA | {table: columns | {column: changed}})
                moved |= {name for name in before if after[name] != before[name]}
            rows = any((each.table, each.column) == (table, column) for each in traced.rows)
            named = {name for name, sources in traced.columns if any((each.table, each.column) == (table, column) for each in sources)}
            assert moved <= (set(before) if rows else named), f"{table}.{column}"
            moved_at_all = moved_at_all or bool(moved)
    assert moved_at_all
