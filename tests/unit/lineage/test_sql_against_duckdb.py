"""What the text tells of a query, held against the query itself: whatever is seen to move when DuckDB runs it must have been told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

import duckdb
import pyarrow as pa
import pytest

from tidemill.lineage.measuring import Measured, Parts, Refused, measure
from tidemill.lineage.sql_columns import trace

pytest.importorskip("sqlglot", reason="needs the extra `lineage`: pip install 'tidemill[lineage]'")

DATA = {
    "t": pa.table({"a": [1, 2, 3, 1, 2, 3, 4], "b": [10, 20, 30, 40, 50, 60, 70], "c": [1, 5, 3, 7, 5, 9, 2]}),
    "u": pa.table({"a": [1, 2, 4, 5], "d": [10, 20, 30, 25]}),
    "s": pa.table({"k": [1, 2, 3], "p": [{"x": 1, "y": 2}, {"x": 3, "y": 4}, {"x": 5, "y": 9}], "l": [[1, 2], [3], [4, 5, 6]]}),
}
TABLES = {name: table.column_names for name, table in DATA.items()}

QUICK = [
    "select t.b, u.d from t left join u on u.a = t.a and t.c > 3 order by t.b",
    "select b, sum(c) over (partition by a order by b rows between 1 preceding and current row) w from t order by b",
    "select a, b from t union all by name select d as b, a from u",
    "select b from t qualify row_number() over (partition by a order by c) = 1 order by b",
    "select k, unnest(l) as x from s order by all",
]

THOROUGH = [
    "select t.b, u.d from t full join u on u.a = t.a order by all",
    "select t.b, x.m from t left join lateral (select max(d) as m from u where u.a <= t.a) x on true order by b",
    "with x as (select a, b from t where c > 2), y as (select a, sum(b) s from x group by a) select y.s, u.d from y join u using (a) order by 1, 2",
    "select a, sum(b) s from t group by a having max(c) > 5 order by a",
    "select b from t where a in (select a from u where d > 15) order by b",
    "select t.b from t semi join u using (a) order by b",
    "select t.b, u.d from t asof join u on t.c >= u.a order by b",
    "select a, c, sum(b) s from t group by rollup (a, c) order by all",
    "select a, string_agg(b::varchar, ',' order by c) x from t group by a order by a",
    "select a from t except select a from u",
    "select * exclude (a) rename (b as bb) from t order by all",
    "from t select b where c > 3 order by b",
    "select b, case a when 1 then c when 2 then b else 0 end x from t order by b",
    "select k, p.x as x, p.y + k as z from s order by k",
    "select distinct on (a) a, b from t order by a, c",
    "select b, (select sum(d) from u where u.a <= t.a) m from t order by b",
    "select b from t order by b limit (select min(a) from u)",
    "select t.b from t anti join u on u.a = t.a order by b",
    "select t.b, u.d from t natural join u order by b",
    "select b, d from t cross join u order by b, d",
    "select b, d from t, u where t.a = u.a order by b",
    "select t.b, u.d from t positional join u",
    "select t.b, x.m from t, lateral (select max(d) as m from u where u.a <= t.a) x order by b",
    "with t as (select a as q from u) select q from t order by q",
    "with x(n) as (select b from t) select n from x order by n",
    "select b, rank() over (order by c) r, ntile(2) over w n from t window w as (order by c desc) order by b",
    "select a, sum(b) as s from t group by all order by all",
    "select a, c, sum(b) s from t group by grouping sets ((a), (c)) order by all",
    "select arg_max(b, c) x from t",
    "select list(b order by c desc) x from t",
    "select quantile_cont(b, 0.5) q, median(c) m from t",
    "select mode() within group (order by c) x from t",
    "select sum(b) filter (where a > 1) f from t",
    "select a from t intersect select a from u",
    "(select a from t limit 3) union all (select d from u limit 1)",
    "select * replace (b * 2 as b) from t order by c",
    "select * from (select a, b from t) q join u using (a) order by all",
    "from t",
    "select b, if(a > 2, c, 0) x, coalesce(nullif(c, 5), a) y, z from (select *, a > 1 as z from t) order by b",
    "select b, x from t, unnest([a, c]) as z(x) order by b, x",
    "select k, [e * 2 for e in l if e > k] as g from s order by k",
    "select b from t where c > any (select a from u) order by b",
    "select b from t where not exists (select 1 from u where u.a = t.a and u.d > t.b) order by b",
    "select b from t order by (select max(d) from u where u.a = t.a) nulls last, b",
    "select b from t order by c limit 3",
    "select b as x, x + c as y, y * 2 as z from t where x > 15 order by z",
    "select count(*) n from t where a > 1",
    "select a, sum(b) over () s from t order by all",
    "select v.x, t.b from t join (values (1, 5), (2, 6)) v(x, y) on v.x = t.a order by all",
    "select t1.b, t2.c from t t1 join t t2 on t1.a = t2.c order by all",
    "select b from (select b, row_number() over (order by c) r from t) where r <= 3 order by b",
    "select a, b from t where (a, b) in (select a, d from u) order by b",
    "select {'x': a, 'y': c} z from t order by b",
    "select b from t where b between c and (select max(d) from u) order by b",
    "select a, lead(b, c::int) over (order by b) x from t order by all",
    "select sum(b) over (order by c range between 2 preceding and 2 following) x, b from t order by b",
    "select array(select d from u where u.a <= t.a order by d) e, b from t order by b",
    "select b from t where c = (select c from t order by b limit 1) order by b",
    "select x.b from (t join u using (a)) x",
    "with x as (from t select a, b), y as (from x where a > 1) from y select sum(b) s",
    "select sum(distinct b) s, count(distinct a) n, approx_count_distinct(c) z from t",
    "select coalesce(t.a, u.a) k from t full outer join u on t.a = u.a order by k",
    "select a from t full join u using (a) order by a",
    "select (select b from t t2 where t2.c = u.a limit 1) z from u order by d",
]


@pytest.mark.parametrize("sql", QUICK)
def test_whatever_moves_was_told(sql: str) -> None:
    _hold(sql)


@pytest.mark.proof
@pytest.mark.parametrize("sql", THOROUGH)
def test_whatever_moves_was_told_in_every_construct(sql: str) -> None:
    _hold(sql)


def _hold(sql: str) -> None:
    traced, seen = trace(sql, TABLES), _measured(sql)
    assert len(traced.columns) == len(seen.columns)
    rows = {(each.table, each.column) for each in traced.rows}
    named = {name: {(each.table, each.column) for each in found} for name, (_, found) in zip(seen.columns, traced.columns, strict=True)}
    missed = [edge for edge in seen.edges if (edge.input, edge.source_column) not in rows | named.get(edge.column, set())]
    assert missed == []
    assert seen.edges


@cache
def _database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


def _measured(sql: str) -> Measured:
    def code(inputs: Mapping[str, Parts]) -> pa.Table:
        cursor = _database().cursor()
        try:
            for name, parts in inputs.items():
                cursor.register(name, parts[0][1])
            return cursor.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            raise Refused(str(error)) from None

    # Tables that the query does not name cannot move it.
    return measure(code, {name: [("", table)] for name, table in DATA.items() if re.search(rf"\b{name}\b", sql)})
