from __future__ import annotations

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
        ("select a, b from t order by all", {"a": "t.a:identity", "b": "t.b:identity", "*": "t.a:sort t.b:sort"}),
        ("select a from t limit (select min(d) from u)", {"a": "t.a:identity", "*": "u.d:filter"}),
        (
            "select a, unnest([b, c]) as x from t",
            {"a": "t.a:identity", "x": "t.b:transformation t.c:transformation", "*": "t.b:join t.c:join"},
        ),
        (
            "select a, b from t union all by name select d as b, a from u",
            {"a": "t.a:identity u.a:identity", "b": "t.b:identity u.d:identity", "*": ""},
        ),
        ("select a from t union all by name select d from u", {"a": "t.a:identity", "d": "u.d:identity", "*": ""}),
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
        ("select a from t unpivot (v for n in (b, c))", "it holds a PIVOT, whose columns the data decide"),
        ("select a, b from t order by #2", "it names columns by their place (`#1`)"),
        ("select g from t, generate_series(1, t.a) x(g)", "it reads a function in place of a table"),
        ("values (1), (2)", "it is not one SELECT"),
        ("summarize t", "it is not one SELECT"),
        ("select count(t) as n from t", "it selects whole rows as one value"),
        ("select min(columns(*)) from t", "it selects columns by a pattern, or a `*` that could not be expanded"),
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
