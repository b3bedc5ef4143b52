"""The content hash, case by case. The hashes written out here are the format: they may never change."""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tidemill.model.versions import canonical, digest
from tidemill.storage.formats.content_hash import BLOCK_ROWS, ContentHasher, UnhashableType, content_hash


def one(values: object, kind: pa.DataType | None = None) -> str:
    return content_hash(pa.table({"x": pa.array(values, kind) if not isinstance(values, (pa.Array, pa.ChunkedArray)) else values}))


def test_the_format_written_out_by_hand() -> None:
    """Two columns, spelled byte by byte as the reference says."""
    table = pa.table({"n": pa.array([1, None, 3], pa.int16()), "s": pa.array(["a", None, "bcd"])})
    numbers = struct.pack("<Q", 3) + b"\1" + bytes([1, 0, 1]) + struct.pack("<hhh", 1, 0, 3)
    texts = struct.pack("<Q", 3) + struct.pack("<iii", 1, -1, 3) + b"abcd"
    columns = [["n", "int16", hashlib.sha256(numbers).hexdigest()], ["s", "string", hashlib.sha256(texts).hexdigest()]]
    assert content_hash(table) == digest(canonical(["content/1", 3, columns]))


def test_nested_values_written_out_by_hand() -> None:
    kind = pa.list_(pa.struct([("a", pa.bool_())]))
    table = pa.table({"x": pa.array([[{"a": True}, None], None, []], kind)})
    entries = struct.pack("<Q", 2) + b"\1" + bytes([1, 0]) + struct.pack("<Q", 2) + b"\1" + bytes([1, 0]) + bytes([1, 0])
    column = struct.pack("<Q", 3) + struct.pack("<iii", 2, -1, 0) + entries
    columns = [["x", ["list", ["struct", [["a", "bool"]]]], hashlib.sha256(column).hexdigest()]]
    assert content_hash(table) == digest(canonical(["content/1", 3, columns]))


KINDS = [
    ([1, None], pa.int8()),
    ([1, None], pa.uint64()),
    ([1.5, None], pa.float16()),
    ([1.5, None], pa.float32()),
    ([1.5, None, float("nan")], pa.float64()),
    ([True, None, False], pa.bool_()),
    (["a", None, ""], pa.string()),
    ([b"a", None, b""], pa.binary()),
    ([b"ab", None], pa.binary(2)),
    ([Decimal("1.50"), None], pa.decimal128(10, 2)),
    ([Decimal("1.50"), None], pa.decimal256(60, 2)),
    ([date(2013, 1, 1), None], pa.date32()),
    ([date(2013, 1, 1), None], pa.date64()),
    ([datetime(2013, 1, 1), None], pa.timestamp("us")),  # noqa: DTZ001 - a column without a zone
    ([datetime(2013, 1, 1, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
    ([1, None], pa.time32("s")),
    ([1, None], pa.time64("ns")),
    ([1, None], pa.duration("ms")),
    ([(1, 2, 3), None], pa.month_day_nano_interval()),
    ([None, None], pa.null()),
    ([[1], None, []], pa.list_(pa.int8())),
    ([[1, 2], None], pa.list_(pa.int8(), 2)),
    ([{"a": 1}, None, {"a": None}], pa.struct([("a", pa.int8())])),
    ([[("a", 1)], None, []], pa.map_(pa.string(), pa.int8())),
]


def test_every_kind_of_value_has_its_own_hash() -> None:
    hashes = {str(kind): one(values, kind) for values, kind in KINDS}
    assert len(set(hashes.values())) == len(KINDS)
    # Everything at once, so that no release changes the hash of anybody's data.
    assert digest(canonical(hashes)) == "558cad7051ffb8719c8c5811a14fb7933f4c4f92a02b7928eaad20a039c32528"


@pytest.mark.parametrize(("values", "kind"), KINDS, ids=[str(kind) for _, kind in KINDS])
def test_slices_and_chunks_do_not_count(values: list[object], kind: pa.DataType) -> None:
    whole = pa.array(values, kind)
    padded = pa.array([*values, *values, *values], kind).slice(len(values), len(values))
    chunked = pa.chunked_array([whole.slice(0, 1), whole.slice(1, 0), whole.slice(1)])
    assert one(padded) == one(chunked) == one(whole)
    assert one(whole.slice(0, 1)) != one(whole)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pa.array(["a", None]), pa.array(["a", None], pa.large_string())),
        (pa.array(["a", None]), pa.array(["a", None], pa.string_view())),
        (pa.array(["a", None, "a"]), pa.array(["a", None, "a"]).dictionary_encode()),
        (pa.array(["a", "b"]), pa.DictionaryArray.from_arrays([1, 0], ["b", "a"])),
        (pa.array(["a", None]), pa.DictionaryArray.from_arrays([0, 1], pa.array(["a", None]))),
        (pa.array([1, 1, 2]), pc.run_end_encode(pa.array([1, 1, 2]))),
        (pa.array([b"a", None]), pa.array([b"a", None], pa.large_binary())),
        (pa.array([b"a", None]), pa.array([b"a", None], pa.binary_view())),
        (pa.array([[1], None]), pa.array([[1], None], pa.large_list(pa.int64()))),
        (pa.array([[1], None, [2, 3]]), pa.array([[1], None, [2, 3]], pa.list_view(pa.int64()))),
        (pa.array([["a"], None]), pa.array([["a"], None], pa.list_(pa.dictionary(pa.int8(), pa.large_string())))),
        (pa.array([Decimal("1.5")], pa.decimal128(5, 1)), pa.array([Decimal("1.5")], pa.decimal256(5, 1))),
        (pa.array([Decimal("1.5")], pa.decimal128(5, 1)), pa.array([Decimal("1.5")], pa.decimal32(5, 1))),
    ],
)
def test_how_values_are_encoded_does_not_count(left: pa.Array, right: pa.Array) -> None:
    assert one(left) == one(right)


def test_bytes_under_nulls_do_not_count() -> None:
    valid = pa.py_buffer(bytes([0b101]))
    clean = pa.array([1, None, 3], pa.int32())
    dirty = pa.Array.from_buffers(pa.int32(), 3, [valid, pa.py_buffer(struct.pack("<iii", 1, 77, 3))])
    assert one(dirty) == one(clean)
    text = pa.Array.from_buffers(pa.string(), 3, [valid, pa.py_buffer(struct.pack("<iiii", 0, 1, 5, 6)), pa.py_buffer(b"aGARBc")])
    assert text.to_pylist() == ["a", None, "c"]
    assert one(text) == one(pa.array(["a", None, "c"]))
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 3, 4], pa.int32()), pa.array([1, 8, 9, 4]), mask=pa.array([False, True, False]))
    assert lists.to_pylist() == [[1], None, [4]]
    assert one(lists) == one(pa.array([[1], None, [4]]))
    structs = pa.StructArray.from_arrays([pa.array([1, 99])], ["a"], mask=pa.array([False, True]))
    assert one(structs) == one(pa.array([{"a": 1}, None]))
    flags = pa.Array.from_buffers(pa.bool_(), 3, [valid, pa.py_buffer(bytes([0b11111011]))])
    assert flags.to_pylist() == [True, None, False]
    assert one(flags) == one(pa.array([True, None, False]))


def test_which_nan_it_is_does_not_count_but_null_and_signed_zero_do() -> None:
    quiet, signed = (
        pa.Array.from_buffers(pa.float64(), 1, [None, pa.py_buffer(struct.pack("<Q", bits))])
        for bits in (0x7FF8000000000000, 0xFFF8000000000123)
    )
    assert one(quiet) == one(signed) == one([float("nan")], pa.float64())
    assert one([None], pa.float64()) != one(quiet)
    assert one([0.0]) != one([-0.0])
    assert one([0.0]) != one([None], pa.float64())


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pa.table({"a": [1], "b": [2]}), pa.table({"b": [2], "a": [1]})),
        (pa.table({"a": [1]}), pa.table({"b": [1]})),
        (pa.table({"a": [1, 2]}), pa.table({"a": [2, 1]})),
        (pa.table({"a": pa.array([1], pa.int32())}), pa.table({"a": pa.array([1], pa.int64())})),
        (pa.table({"a": ["ab", "c"]}), pa.table({"a": ["a", "bc"]})),
        (pa.table({"a": ["", None]}), pa.table({"a": [None, ""]})),
        (pa.table({"a": [[], None]}), pa.table({"a": pa.array([None, []], pa.list_(pa.null()))})),
        (pa.table({"a": pa.array([0], pa.timestamp("us"))}), pa.table({"a": pa.array([0], pa.timestamp("us", "UTC"))})),
        (pa.table({"a": pa.array([0], pa.timestamp("us"))}), pa.table({"a": pa.array([0], pa.timestamp("ms"))})),
        (
            pa.table({"a": pa.array([Decimal("1.0")], pa.decimal128(5, 1))}),
            pa.table({"a": pa.array([Decimal("1.0")], pa.decimal128(5, 2))}),
        ),
        (pa.table({"a": pa.array([[1, 2]], pa.list_(pa.int64(), 2))}), pa.table({"a": [[1, 2]]})),
        (pa.table({"a": pa.array([], pa.int64())}), pa.table({"a": pa.array([], pa.string())})),
        (pa.table({"a": [1]}), pa.table({"a": [1], "b": pa.nulls(1)})),
        (pa.table({"a": ["x"]}), pa.table({"a": [b"x"]})),
    ],
)
def test_what_a_transform_could_tell_apart_counts(left: pa.Table, right: pa.Table) -> None:
    assert content_hash(left) != content_hash(right)


def test_nullability_and_metadata_do_not_count() -> None:
    plain = pa.table({"a": [1]})
    strict = pa.table(
        [plain["a"]], schema=pa.schema([pa.field("a", pa.int64(), nullable=False, metadata={"unit": "m"})], metadata={"k": "v"})
    )
    assert content_hash(strict) == content_hash(plain)


def test_blocks_and_streams_do_not_count() -> None:
    rows = 2 * BLOCK_ROWS + 17
    numbers = pa.array(range(rows), pa.int64())
    table = pa.table({"n": numbers, "s": numbers.cast(pa.string()), "some": pc.if_else(pc.greater(numbers, BLOCK_ROWS), None, numbers)})
    hasher = ContentHasher(table.schema)
    for batch in table.to_batches(max_chunksize=10_007):
        hasher.update(batch)
    assert hasher.hexdigest() == content_hash(table)
    assert content_hash(table.slice(0, BLOCK_ROWS)) != content_hash(table.slice(0, BLOCK_ROWS + 1))


def test_no_rows_and_no_columns_have_a_hash_too() -> None:
    hashes = {
        content_hash(pa.table({})),
        content_hash(pa.table({"a": pa.array([], pa.int64())})),
        content_hash(pa.table({"a": pa.nulls(0)})),
    }
    assert len(hashes) == 3


def test_extension_types_count_by_name_and_storage() -> None:
    raw = pa.array([b"0" * 16], pa.binary(16))
    assert one(pa.ExtensionArray.from_storage(pa.uuid(), raw)) != one(raw)
    assert one(pa.ExtensionArray.from_storage(pa.uuid(), raw)) == one(pa.chunked_array([pa.ExtensionArray.from_storage(pa.uuid(), raw)]))


def test_a_union_is_refused_by_name() -> None:
    union = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
    with pytest.raises(UnhashableType, match="Column `x` has the type sparse_union"):
        one(union)
