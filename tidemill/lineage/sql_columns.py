"""Columns of a query, traced to the columns of the tables it reads. Uses sqlglot, which is optional and loaded at the first question.

sqlglot parses the query, expands `*` and names the table of every column; what is left is to follow names through common table expressions,
subqueries and set operations. Two questions are answered for each part of a query: what its columns are computed from, and what decides which rows
it has. A construct whose columns cannot be named from the text makes the whole query untraceable, since half an answer would pass for a whole one.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from tidemill.errors import MissingExtra
from tidemill.model.columns import ColumnUse

_STRENGTH = (ColumnUse.IDENTITY, ColumnUse.TRANSFORMATION, ColumnUse.AGGREGATION)


class Source(NamedTuple):
    """A column of a table that the query reads, and how it bears on the result."""

    table: str
    column: str
    use: ColumnUse


class Traced(NamedTuple):
    """Where the columns of a query come from."""

    columns: tuple[tuple[str, tuple[Source, ...]], ...]
    """Output columns in order, as far as the text names them, each with its sources, sorted."""
    rows: tuple[Source, ...]
    """What decides which rows there are and their order, sorted."""


class Untraceable(Exception):
    """The query cannot be traced; the text says why, as a clause after "because"."""


class _Sqlglot(NamedTuple):
    """What is used of sqlglot. It is typed `Any`, so that types check the same with and without the package."""

    errors: Any
    exp: Any
    parse: Any
    qualify: Any
    build_scope: Any


def trace(sql: str, tables: Mapping[str, Sequence[str]]) -> Traced:
    """Traces the columns of one SELECT in DuckDB's dialect.

    Args:
        sql: the query.
        tables: columns of every table it may read, by table name.

    Raises:
        Untraceable: the text does not tell.
        MissingExtra: sqlglot is not installed.
    """
    lib = _sqlglot()
    try:
        return _trace(lib, sql, tables)
    except lib.errors.SqlglotError as error:
        raise Untraceable(f"the parser stopped: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise Untraceable("it is nested too deeply") from None


def _trace(lib: _Sqlglot, sql: str, tables: Mapping[str, Sequence[str]]) -> Traced:
    statements = lib.parse(sql, dialect="duckdb")
    if len(statements) != 1 or not isinstance(statements[0], lib.exp.Query):
        raise Untraceable("it is not one SELECT")
    schema = {table: dict.fromkeys(columns, "UNKNOWN") for table, columns in tables.items()}
    query = lib.qualify(statements[0], schema=schema, dialect="duckdb", validate_qualify_columns=False)
    if any(each.args.get("recursive") for each in query.find_all(lib.exp.With)):
        raise Untraceable("it is recursive")
    if query.find(lib.exp.PositionalColumn) is not None:
        raise Untraceable("it names columns by their place (`#1`)")
    scope = lib.build_scope(query)
    if scope is None:
        raise Untraceable("it has no columns that can be named")
    tracer = _Tracer(lib.exp, tables)
    return Traced(
        tuple((name, tuple(sorted(tracer.column(scope, at)))) for at, name in enumerate(tracer.names(scope))),
        tuple(sorted(tracer.rows(scope))),
    )


@cache
def _sqlglot() -> _Sqlglot:
    try:
        root: Any = importlib.import_module("sqlglot")
        qualify: Any = importlib.import_module("sqlglot.optimizer.qualify")
        scope: Any = importlib.import_module("sqlglot.optimizer.scope")
    except ModuleNotFoundError:
        raise MissingExtra("Column lineage of SQL assets", "lineage") from None
    return _Sqlglot(root.errors, root.exp, root.parse, qualify.qualify, scope.build_scope)


class _Tracer:
    """Follows columns through the scopes of one qualified query. Scopes and expressions are sqlglot's."""

    def __init__(self, exp: Any, tables: Mapping[str, Sequence[str]]) -> None:
        self._exp = exp
        # DuckDB's names ignore case; sqlglot writes them in lower case.
        self._tables = {table.lower(): (table, {column.lower(): column for column in columns}) for table, columns in tables.items()}
        self._known: dict[tuple[int, int], frozenset[Source]] = {}
        self._open: set[tuple[int, int]] = set()

    def names(self, scope: Any) -> list[str]:
        """The column names of a query part, in order."""
        if isinstance(scope.expression, self._exp.SetOperation):
            branches = [self.names(each) for each in scope.set_operation_scopes]
            return list(dict.fromkeys(name for each in branches for name in each)) if scope.expression.args.get("by_name") else branches[0]
        return [each.alias_or_name for each in self._selects(scope)]

    def column(self, scope: Any, at: int) -> frozenset[Source]:
        """What the column at a position is computed from."""
        key = (id(scope), at)
        if key in self._open:
            raise Untraceable(f"it does not say which table `{self.names(scope)[at]}` belongs to")
        if key not in self._known:
            self._open.add(key)
            self._known[key] = frozenset(self._column(scope, at))
            self._open.remove(key)
        return self._known[key]

    def rows(self, scope: Any) -> frozenset[Source]:
        """What decides which rows a query part has, and their order."""
        key = (id(scope), -1)
        if key not in self._known:
            self._known[key] = frozenset(self._rows(scope))
        return self._known[key]

    def _column(self, scope: Any, at: int) -> Iterator[Source]:
        query = scope.expression
        if isinstance(query, self._exp.SetOperation):
            branches = scope.set_operation_scopes[:1] if isinstance(query, self._exp.Except) else scope.set_operation_scopes
            for branch in branches:
                place = self._place(scope, branch, at)
                if place is not None:
                    yield from self.column(branch, place)
            return
        selects = self._selects(scope)
        if at >= len(selects):
            raise Untraceable("two parts of it have different numbers of columns")
        yield from self._sources(selects[at], scope, ColumnUse.IDENTITY)

    def _place(self, scope: Any, branch: Any, at: int) -> int | None:
        """Where a column of a set operation stands in one of its parts; None if that part does not have it."""
        if not scope.expression.args.get("by_name"):
            return at
        wanted, names = self.names(scope)[at].lower(), [name.lower() for name in self.names(branch)]
        return names.index(wanted) if wanted in names else None

    def _rows(self, scope: Any) -> Iterator[Source]:
        exp, query = self._exp, scope.expression
        if isinstance(query, exp.SetOperation):
            for branch in scope.set_operation_scopes:
                yield from self.rows(branch)
            if query.args.get("distinct") or not isinstance(query, exp.Union):
                use = ColumnUse.GROUP_BY if isinstance(query, exp.Union) else ColumnUse.FILTER
                for branch in scope.set_operation_scopes:
                    yield from _as(use, (source for at in range(len(self.names(branch))) for source in self.column(branch, at)))
            yield from self._order_and_limit(query, scope)
            return
        self._selects(scope)
        for join in query.args.get("joins") or ():
            yield from self._clause(join.args.get("on"), scope, ColumnUse.JOIN)
        yield from self._clause(query.args.get("where"), scope, ColumnUse.FILTER)
        yield from self._clause(query.args.get("having"), scope, ColumnUse.FILTER)
        yield from self._clause(query.args.get("qualify"), scope, ColumnUse.FILTER)
        yield from self._group_keys(query, scope)
        yield from self._order_and_limit(query, scope)
        for each in query.find_all(exp.Explode, exp.Unnest):
            if each.find_ancestor(exp.Query) is query and each.find_ancestor(exp.From, exp.Join, exp.Lateral) is None:
                yield from self._clause(each, scope, ColumnUse.JOIN)  # a row for each of its values
        for _, source in scope.selected_sources.values():
            if isinstance(source, exp.Table):
                self._table(source.name)
            elif isinstance(source.expression, exp.UDTF):
                yield from _as(ColumnUse.JOIN, self._spread(source))
            else:
                yield from self.rows(source)

    def _order_and_limit(self, query: Any, scope: Any) -> Iterator[Source]:
        order = query.args.get("order")
        if order is not None and any(
            isinstance(each.this, self._exp.Var) and each.this.name.upper() == "ALL" for each in order.expressions
        ):
            for at in range(len(self.names(scope))):
                yield from _as(ColumnUse.SORT, self.column(scope, at))
        else:
            yield from self._clause(order, scope, ColumnUse.SORT)
        yield from self._clause(query.args.get("limit"), scope, ColumnUse.FILTER)
        yield from self._clause(query.args.get("offset"), scope, ColumnUse.FILTER)

    def _group_keys(self, query: Any, scope: Any) -> Iterator[Source]:
        exp = self._exp
        group, distinct = query.args.get("group"), query.args.get("distinct")
        yield from self._clause(group, scope, ColumnUse.GROUP_BY)
        everything: list[Any] = []
        if group is not None and group.args.get("all"):
            everything = [each for each in query.selects if not each.find(exp.AggFunc)]
        if distinct is not None:
            yield from self._clause(distinct.args.get("on"), scope, ColumnUse.GROUP_BY)
            everything = everything if distinct.args.get("on") else [*everything, *query.selects]
        for each in everything:
            yield from self._clause(each, scope, ColumnUse.GROUP_BY)

    def _clause(self, clause: Any, scope: Any, use: ColumnUse) -> Iterator[Source]:
        return iter(()) if clause is None else _as(use, self._sources(clause, scope, use))

    def _sources(self, node: Any, scope: Any, use: ColumnUse) -> Iterator[Source]:
        """The columns that an expression is computed from; `use` is what it is used for."""
        exp = self._exp
        match node:
            case exp.Column():
                yield from self._named(node, scope, use)
            case exp.Query():
                yield from self._nested(node, scope, _weaker(use, ColumnUse.TRANSFORMATION))
            case exp.Alias() | exp.Paren():
                yield from self._sources(node.this, scope, use)
            case exp.Window():
                yield from self._sources(node.this, scope, _weaker(use, ColumnUse.TRANSFORMATION))
                for part in self._frame(node, scope):
                    yield from self._sources(part, scope, _weaker(use, ColumnUse.WINDOW))
            case exp.Filter():
                yield from self._sources(node.this, scope, use)
                yield from self._sources(node.expression, scope, _weaker(use, ColumnUse.FILTER))
            case exp.Case() | exp.If():
                yield from self._choice(node, scope, _weaker(use, ColumnUse.TRANSFORMATION))
            case _:
                step = ColumnUse.AGGREGATION if isinstance(node, exp.AggFunc) else ColumnUse.TRANSFORMATION
                for child in node.iter_expressions():
                    yield from self._sources(child, scope, _weaker(use, step))

    def _frame(self, window: Any, scope: Any) -> Iterator[Any]:
        """What a window is partitioned and ordered by, also where it refers to a window that the query names."""
        yield from window.args.get("partition_by") or ()
        if window.args.get("order") is not None:
            yield window.args["order"]
        if window.alias:
            named = [each for each in scope.expression.args.get("windows") or () if each.name.lower() == window.alias.lower()]
            if not named:
                raise Untraceable(f"its window `{window.alias}` is not defined beside it")
            yield from self._frame(named[0], scope)

    def _choice(self, node: Any, scope: Any, use: ColumnUse) -> Iterator[Source]:
        """`CASE` and `IF`: conditions choose, results are handed on."""
        for name, value in node.args.items():
            for child in value if isinstance(value, list) else [value]:
                if not isinstance(child, self._exp.Expression):
                    continue
                if isinstance(child, self._exp.If):
                    yield from self._choice(child, scope, use)
                else:
                    yield from self._sources(child, scope, _weaker(use, ColumnUse.CONDITIONAL) if name == "this" else use)

    def _nested(self, query: Any, scope: Any, use: ColumnUse) -> Iterator[Source]:
        """A query inside an expression: its value, and what decides which rows that is taken from."""
        inner = query.unnest()
        found = next((each for each in scope.subquery_scopes if each.expression is inner), None)
        if found is None:
            raise Untraceable("a query inside it stands where none was expected")
        for at in range(len(self.names(found))):
            for source in self.column(found, at):
                yield source._replace(use=_weaker(use, source.use))
        yield from self.rows(found)

    def _named(self, column: Any, scope: Any, use: ColumnUse) -> Iterator[Source]:
        name = column.name.lower()
        if not column.table:
            # ORDER BY and DISTINCT ON may name a column of the result.
            own = [each.lower() for each in self.names(scope)]
            if name not in own:
                raise Untraceable(f"it does not say which table `{column.name}` belongs to")
            found: Iterable[Source] = self.column(scope, own.index(name))
        else:
            found = self._of_source(column.table, name, scope)
        for source in found:
            yield source._replace(use=_weaker(use, source.use))

    def _of_source(self, alias: str, name: str, scope: Any) -> Iterable[Source]:
        at = scope
        while at is not None and alias not in at.sources:
            at = at.parent
        if at is None:
            raise Untraceable(f"it reads `{alias}`, which is no input")
        source = at.sources[alias]
        if isinstance(source, self._exp.Table):
            table, columns = self._table(source.name)
            if name not in columns:
                raise Untraceable(f"`{table}` has no column `{name}`")
            return [Source(table, columns[name], ColumnUse.IDENTITY)]
        if isinstance(source.expression, self._exp.UDTF):
            return self._spread(source)
        names = [each.lower() for each in self.names(source)]
        if name not in names:
            raise Untraceable(f"`{alias}` has no column `{name}`")
        return self.column(source, names.index(name))

    def _spread(self, scope: Any) -> Iterator[Source]:
        """A function in FROM, such as `unnest`: every column of it is made of all that it is given."""
        for child in scope.expression.iter_expressions():
            if not isinstance(child, self._exp.TableAlias):
                yield from self._sources(child, scope, ColumnUse.TRANSFORMATION)

    def _table(self, name: str) -> tuple[str, Mapping[str, str]]:
        if not name:
            raise Untraceable("it reads a function in place of a table")
        if name.lower() not in self._tables:
            raise Untraceable(f"it reads `{name}`, which is no input")
        return self._tables[name.lower()]

    def _selects(self, scope: Any) -> Sequence[Any]:
        query, exp = scope.expression, self._exp
        if not isinstance(query, exp.Select):
            raise Untraceable(f"it holds a {type(query).__name__.upper()}, whose columns the text does not name")
        if query.args.get("pivots") or any(source.args.get("pivots") for source in query.find_all(exp.Table, exp.Subquery)):
            raise Untraceable("it holds a PIVOT, whose columns the data decide")
        for each in query.selects:
            stars = [star for star in each.find_all(exp.Star) if not isinstance(star.parent, exp.Count)]
            if stars or each.find(exp.Columns):
                raise Untraceable("it selects columns by a pattern, or a `*` that could not be expanded")
            if each.find(exp.TableColumn):
                raise Untraceable("it selects whole rows as one value")
        return list(query.selects)


def _weaker(outer: ColumnUse, inner: ColumnUse) -> ColumnUse:
    """What two steps in a row come to: whatever only decides stays so, values are as far from the original as the longest step takes them."""
    if not inner.is_direct:
        return inner
    if not outer.is_direct:
        return outer
    return max(outer, inner, key=_STRENGTH.index)


def _as(use: ColumnUse, sources: Iterable[Source]) -> Iterator[Source]:
    """The same sources, all used for one thing unless they decide something already."""
    return (source if not source.use.is_direct else source._replace(use=use) for source in sources)
