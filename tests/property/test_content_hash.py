"""The content hash over random tables: how a table is held, cut or stored never counts; what it says always does."""

from __future__ import annotations

import math
import struct
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.storage.formats import content_hash as module
from tidemill.storage.formats import parquet
from tidemill.storage.formats.content_hash import ContentHasher, content_hash

texts = st.text(st.characters(codec="utf-8", max_codepoint=0x2FF), max_size=6)
COLUMNS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int32(), st.integers(-5, 5)),
    (pa.float64(), st.floats(width=64)),
    (pa.float32(), st.floats(width=32)),
    (pa.bool_(), st.booleans()),
    (pa.string(), texts),
    (pa.binary(), st.binary(max_size=5)),
    (pa.timestamp("us", "Europe/Vienna"), st.integers(0, 10**15)),
    (pa.decimal128(12, 3), st.decimals(-1000, 1000, places=3)),
    (pa.list_(pa.string()), st.lists(st.none() | texts, max_size=3)),
    (
        pa.struct([("a", pa.int8()), ("b", pa.list_(pa.bool_()))]),
        st.fixed_dictionaries({"a": st.none() | st.integers(-3, 3), "b": st.none() | st.lists(st.none() | st.booleans(), max_size=2)}),
    ),
    (pa.map_(pa.string(), pa.float64()), st.dictionaries(texts, st.none() | st.floats(), max_size=2).map(lambda each: list(each.items()))),
    (pa.dictionary(pa.int16(), pa.string()), texts),
    (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["AA", "BB", "CC"])),
    (pa.list_(pa.dictionary(pa.int8(), pa.string())), st.lists(st.none() | st.sampled_from(["x", "y"]), max_size=3)),
]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few rows, so that random tables have several."""
    monkeypatch.setattr(module, "BLOCK_ROWS", 4)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(0, 13))
    columns = draw(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=4))
    arrays = [pa.array(draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), kind) for kind, values in columns]
    return pa.table(dict(zip((f"c{number}" for number in range(len(arrays))), arrays, strict=True)))


@given(tables(), st.data())
def test_cutting_and_rejoining_does_not_count(table: pa.Table, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, table.num_rows), max_size=4)))
    edges = [0, *cuts, table.num_rows]
    pieces = [table.slice(start, end - start) for start, end in pairwise(edges)]
    assert content_hash(pa.concat_tables(pieces)) == content_hash(table)
    padded = pa.concat_tables([table, table, table]).combine_chunks().slice(table.num_rows, table.num_rows)
    assert content_hash(padded) == content_hash(table)
    hasher = ContentHasher(table.schema)
    for piece in pieces:
        hasher.update(piece)
    assert hasher.hexdigest() == content_hash(table)


@given(tables(), st.sampled_from(["none", "zstd", "snappy"]), st.booleans(), st.integers(1, 5))
def test_storing_it_in_any_way_does_not_count(table: pa.Table, compression: str, dictionary: bool, group: int) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=compression, use_dictionary=dictionary, row_group_size=group)
    assert content_hash(parquet.read(sink.getvalue().to_pybytes())) == content_hash(table)
    assert content_hash(pa.concat_tables([parquet.read(each.data) for each in parquet.write(table)])) == content_hash(table)


def identity(value: Any) -> Any:
    """A value with equality as a transform sees it: signed zeros differ, all NaNs are one."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    if isinstance(value, (list, tuple)):
        return [identity(each) for each in value]
    if isinstance(value, dict):
        return {key: identity(each) for key, each in value.items()}
    return value


@given(tables(), tables())
def test_it_is_equal_exactly_when_the_content_is(left: pa.Table, right: pa.Table) -> None:
    same = left.schema.equals(right.schema) and identity(left.to_pylist()) == identity(right.to_pylist())
    assert (content_hash(left) == content_hash(right)) == same


@given(tables(), st.data())
def test_changing_one_cell_counts(table: pa.Table, data: st.DataObject) -> None:
    if not table.num_rows:
        return
    column = data.draw(st.integers(0, table.num_columns - 1))
    row = data.draw(st.integers(0, table.num_rows - 1))
    field = table.schema.field(column)
    values = table.column(column).to_pylist()
    strategy = next(strategy for kind, strategy in COLUMNS if kind == field.type)
    if pa.types.is_timestamp(field.type):
        values = table.column(column).cast(pa.int64()).to_pylist()
    fresh = data.draw(st.none() | strategy)
    if identity(fresh) == identity(values[row]) or (
        pa.types.is_floating(field.type) and fresh is not None and pa.scalar(fresh, field.type) == pa.scalar(values[row], field.type)
    ):
        return
    values[row] = fresh
    changed = table.set_column(column, field, pa.array(values, field.type))
    assert content_hash(changed) != content_hash(table)
