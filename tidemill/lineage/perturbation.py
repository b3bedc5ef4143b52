"""Changing one column of a table, in ways that fit its type, and seeing what became of another table. Pure and without chance: the same column is
changed the same way every time.

A change either brings in values that were not there (`is_new`), or only lets those that are there change places. The difference matters: a column that
is grouped by moves every total when its values change places, and none when they are merely renamed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.storage.formats.content_hash import UnhashableType, content_hash

_TYPICAL: tuple[tuple[Callable[[pa.DataType], bool], Any], ...] = (
    (pa.types.is_boolean, True),
    (pa.types.is_integer, 1),
    (pa.types.is_floating, 1.5),
    (pa.types.is_string, "a"),
    (pa.types.is_large_string, "a"),
    (pa.types.is_binary, b"a"),
    (pa.types.is_date, dt.date(2001, 2, 3)),
    (pa.types.is_timestamp, dt.datetime(2001, 2, 3, 4, 5, 6)),  # noqa: DTZ001 - Arrow takes it in the column's own zone
)


class Rows(Enum):
    """Which rows a change touches."""

    ALL = "all"
    THIRD = "every third"
    TENTH = "every tenth"
    ONE = "one in the middle"

    def mask(self, count: int) -> list[bool]:
        """True for every row that is touched."""
        match self:
            case Rows.ALL:
                return [True] * count
            case Rows.THIRD:
                return [at % 3 == 1 or count == 1 for at in range(count)]
            case Rows.TENTH:
                return [at % 10 == 3 or count == 1 for at in range(count)]
            case Rows.ONE:
                return [at == count // 2 for at in range(count)]


class Change(NamedTuple):
    """One way to change a column."""

    name: str
    is_new: bool
    """Whether it brings in values that the column does not hold."""
    rows: Sequence[Rows]
    """Which rows to touch; the next ones if the code refuses the table."""
    apply: Callable[[pa.ChunkedArray], pa.ChunkedArray]
    """The column with every value changed."""


class Moved(NamedTuple):
    """What differs between two results."""

    values: frozenset[str]
    """Columns whose values differ while the rows correspond."""
    rows: bool
    """Whether there are other rows, more, fewer, or in another order."""
    anchored: bool = True
    """Whether another column shows that the rows are still the same ones: it did not move, and is not the same in all of them."""


def changes(field: pa.Field) -> Iterator[Change]:
    """The ways to change a column of this type, those that bring in new values first."""
    shrinking = (Rows.ALL, Rows.THIRD, Rows.TENTH, Rows.ONE)
    for name, apply in _new_values(_plain(field.type)):
        yield Change(name, True, shrinking, apply)
        yield Change(f"{name}, some", True, shrinking[1:], apply)
    if field.nullable:
        yield Change("null", True, shrinking[1:], lambda column: pa.chunked_array([pa.nulls(len(column), column.type)]))
    yield Change("fill", True, shrinking, _filled)
    yield Change("rotate", False, shrinking, lambda column: _taken(column, lambda at, count: (at + 1) % count))
    yield Change("reverse", False, shrinking, lambda column: _taken(column, lambda at, count: count - 1 - at))


def changed(table: pa.Table, name: str, change: Change, rows: Rows) -> pa.Table | None:
    """The table with one column changed; None if that comes to the same table, or the type cannot hold the new values."""
    at = table.column_names.index(name)
    field, before = table.schema.field(at), table.column(at)
    plain = before.cast(field.type.value_type) if pa.types.is_dictionary(field.type) else before
    try:
        after = change.apply(plain)
        if len(after) == 0:
            return None
        touched = rows.mask(len(plain))
        picked = [at + len(plain) * touched[at] for at in range(len(plain))]
        both = pa.concat_arrays([_one(plain), _one(after.cast(plain.type))])
        mixed = both.take(pa.array(picked, pa.int64()))
        result = mixed.dictionary_encode().cast(field.type) if pa.types.is_dictionary(field.type) else mixed
    except (pa.ArrowException, OverflowError, ValueError):
        return None
    made = table.set_column(at, field, result)
    return None if _same(made, table, name) else made


def moved(before: pa.Table, after: pa.Table) -> Moved:
    """What differs between two results of the same code.

    Rows correspond by their place. If there are as many as before in another order, the columns that moved together are told from those whose values moved.
    """
    shared = [name for name in before.column_names if name in after.column_names]
    other = frozenset(before.column_names) ^ frozenset(after.column_names)
    if before.num_rows != after.num_rows:
        return Moved(other, True)
    still = [name for name in shared if _same(before, after, name)]
    differing = [name for name in shared if name not in still]
    shuffled = [name for name in differing if _same_rows(before, after, [name])]
    anchored = any(pc.count_distinct(before[name], mode="all").as_py() > 1 for name in still if _is_countable(before[name].type))
    if not shuffled:
        return Moved(other | frozenset(differing), False, anchored)
    own = frozenset(differing) - frozenset(shuffled)
    if len(still) + len(shuffled) == 1 and not own:  # nothing stands beside it to tell rows that changed places from values that did
        return Moved(other | frozenset(differing), False, anchored)
    if _same_rows(before, after, still + shuffled):
        return Moved(other | own, True, anchored)
    for name in shuffled:
        rest = [each for each in shuffled if each != name]
        if _same_rows(before, after, still + rest):
            return Moved(other | own | {name}, bool(rest), anchored)
    return Moved(other | frozenset(differing), False, anchored)


def is_copied(parts: Sequence[pa.ChunkedArray], result: pa.ChunkedArray) -> bool:
    """Whether a column of a result holds exactly the values of a column of an input (given in parts), in whatever order."""
    if any(part.type != result.type for part in parts) or sum(map(len, parts)) != len(result):
        return False
    source = pa.chunked_array([chunk for part in parts for chunk in part.chunks], result.type)
    return _same_rows(pa.table({"x": source}), pa.table({"x": result}), ["x"])


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _new_values(kind: pa.DataType) -> Iterator[tuple[str, Callable[[pa.ChunkedArray], pa.ChunkedArray]]]:
    is_ = pa.types
    if is_.is_boolean(kind):
        yield "invert", pc.invert
    elif is_.is_integer(kind) or is_.is_floating(kind):
        yield "add", lambda column: pc.add_checked(column, pa.scalar(1, kind))
        yield "subtract", lambda column: pc.subtract_checked(column, pa.scalar(1, kind))
        yield "scale", lambda column: pc.add_checked(pc.multiply_checked(column, pa.scalar(7, kind)), pa.scalar(13, kind))
    elif is_.is_decimal(kind):
        yield "add", lambda column: pc.add(column, pa.scalar(1).cast(kind)).cast(kind)
    elif is_.is_string(kind) or is_.is_large_string(kind) or is_.is_binary(kind) or is_.is_large_binary(kind):
        tail = b"~" if is_.is_binary(kind) or is_.is_large_binary(kind) else "~"
        yield "append", lambda column: pc.binary_join_element_wise(column, pa.scalar(tail, kind), pa.scalar(tail[:0], kind))
    elif is_.is_date(kind):
        yield (
            "later",
            lambda column: _shifted(column, pa.int32() if is_.is_date32(kind) else pa.int64(), 1 if is_.is_date32(kind) else 86_400_000),
        )
    elif is_.is_timestamp(kind):
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
        yield "later", lambda column: _shifted(column, pa.int64(), 7 * per_second)
        yield "much later", lambda column: _shifted(column, pa.int64(), (86_400 + 3_600) * per_second)
    elif is_.is_duration(kind) or is_.is_time64(kind):
        yield "later", lambda column: _shifted(column, pa.int64(), 1)
    elif is_.is_time32(kind):
        yield "later", lambda column: _shifted(column, pa.int32(), 1)


def _shifted(column: pa.ChunkedArray, number: pa.DataType, by: int) -> pa.ChunkedArray:
    return pc.add_checked(column.cast(number), pa.scalar(by, number)).cast(column.type)


def _filled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column with a value in place of its nulls: the first that it holds, else one that is usual for the type."""
    if column.null_count == 0:
        return column
    held = column.drop_null()
    typical = held[0] if len(held) else next((pa.scalar(value, column.type) for fits, value in _TYPICAL if fits(column.type)), None)
    return column if typical is None else pc.fill_null(column, typical)


def _taken(column: pa.ChunkedArray, place: Callable[[int, int], int]) -> pa.ChunkedArray:
    return column.take(pa.array([place(at, len(column)) for at in range(len(column))], pa.int64()))


def _one(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    if isinstance(column, pa.Array):
        return column
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _same(left: pa.Table, right: pa.Table, name: str) -> bool:
    """Whether a column is the same in both, row by row; NaN is NaN, and null is null."""
    one, two = left[name], right[name]
    if one.type != two.type:
        return False
    if one.equals(two):
        return True
    try:
        return content_hash(pa.table({"x": one})) == content_hash(pa.table({"x": two}))
    except UnhashableType:
        return False


def _is_countable(kind: pa.DataType) -> bool:
    return not (pa.types.is_nested(kind) or pa.types.is_dictionary(kind))


def _decoded(table: pa.Table) -> pa.Table:
    """The table without dictionaries, which cannot be sorted."""
    return pa.table({name: table[name].cast(_plain(table[name].type)) for name in table.column_names})


def _same_rows(left: pa.Table, right: pa.Table, names: Sequence[str]) -> bool:
    """Whether both have the same rows in whatever order, as far as these columns go."""
    order = [(name, "ascending") for name in names]
    try:
        one, two = _decoded(left.select(list(names))), _decoded(right.select(list(names)))
        return one.schema.equals(two.schema) and content_hash(one.sort_by(order)) == content_hash(two.sort_by(order))
    except (pa.ArrowException, UnhashableType):
        return False
