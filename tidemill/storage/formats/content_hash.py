"""What identifies a table's content: a hash over the logical values, the same however they are stored or held.

Two tables have one hash exactly when no transform could tell them apart. So these do *not* count: chunks, slices, row groups, compression,
dictionary and run-end encoding, 32- or 64-bit offsets, views, the bytes under nulls, padding, which bits make a NaN, nullability flags,
metadata. These do: the names, types and order of columns, the order of rows, null against NaN, 0.0 against -0.0 (1/x tells them apart), units,
time zones, precision and scale.

Format `content/1`, byte by byte in `docs/reference/catalog-format.md`: each column is one SHA-256 stream of blocks of 131,072 rows, values
normalised to plain little-endian buffers; the table's hash covers the row count and the names, types and hashes of its columns. Hashing runs
outside the interpreter's lock on buffers of up to a megabyte, mostly without copying them.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.errors import TidemillError
from tidemill.model.versions import canonical, digest

BLOCK_ROWS = 131_072

_is = pa.types
_NAN = {
    pa.float16(): pa.scalar(float("nan"), pa.float16()),
    pa.float32(): pa.scalar(float("nan"), pa.float32()),
    pa.float64(): pa.scalar(float("nan")),
}
_CODE_BYTES = 64
"""Texts in a dictionary that all have one length, up to this, are taken for codes."""
_EIGHT_BITS = pa.array([sum((eight >> bit & 1) << 8 * bit for bit in range(8)) for eight in range(256)], pa.uint64())
"""Eight bits, lowest first, as eight bytes."""
_UNSIGNED = {1: pa.uint8(), 2: pa.uint16(), 4: pa.uint32(), 8: pa.uint64()}


class UnhashableType(TidemillError):
    """A column of a type that has no canonical form, such as a union."""

    code = "unsupported-type"


class _Sink(Protocol):
    def update(self, data: Any, /) -> None: ...


class ContentHasher:
    """Hashes a table as it streams by, in record batches of any size.

    Holds at most one block of rows (131,072) at a time.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._types = [_logical(field.type, field.name) for field in schema]
        self._columns = [hashlib.sha256() for _ in schema]
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._rows = 0

    def update(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Takes the next rows; they must have the schema's columns."""
        table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        self._rows += table.num_rows
        if self._waiting_rows >= BLOCK_ROWS:
            whole = pa.concat_tables(self._waiting)
            done = whole.num_rows - whole.num_rows % BLOCK_ROWS
            self._hash(whole.slice(0, done))
            self._waiting = [whole.slice(done)]
            self._waiting_rows = whole.num_rows - done

    def hexdigest(self) -> str:
        """The hash of everything taken so far; take no more afterwards."""
        if self._waiting_rows:
            self._hash(pa.concat_tables(self._waiting))
        self._waiting, self._waiting_rows = [], 0
        columns = [[field.name, kind, each.hexdigest()] for field, kind, each in zip(self._schema, self._types, self._columns, strict=True)]
        return digest(canonical(["content/1", self._rows, columns]))

    def _hash(self, table: pa.Table) -> None:
        for position, sink in enumerate(self._columns):
            column = table.column(position)
            for start in range(0, table.num_rows, BLOCK_ROWS):
                block = column.slice(start, BLOCK_ROWS)
                _feed(sink, block.chunk(0) if block.num_chunks == 1 else pa.concat_arrays(_same_dictionary(block)))


def content_hash(table: pa.Table) -> str:
    """The hash of a whole table, as 64 hex digits. Pure.

    Raises:
        UnhashableType: a column holds a union, or a value longer than 2 GiB.
    """
    hasher = ContentHasher(table.schema)
    hasher.update(table)
    return hasher.hexdigest()


def _same_dictionary(block: pa.ChunkedArray) -> list[pa.Array]:
    """Chunks that can be joined: dictionaries may differ from chunk to chunk, so their values are spelled out first."""
    return [_plain(chunk) for chunk in block.chunks]


def _plain(values: pa.Array) -> pa.Array:
    """The same values without an encoding or an extension's clothes; views become offsets."""
    kind = values.type
    if isinstance(values, pa.ExtensionArray):
        return _plain(values.storage)
    if _is.is_dictionary(kind):
        return _plain(values.dictionary.take(values.indices))  # faster than decoding it
    if _is.is_run_end_encoded(kind):
        return _plain(pc.run_end_decode(values))
    if _is.is_string_view(kind):
        return values.cast(pa.large_string())
    if _is.is_binary_view(kind):
        return values.cast(pa.large_binary())
    if _is.is_map(kind):
        entries = pa.struct([pa.field("key", kind.key_type, nullable=False), pa.field("value", kind.item_type)])
        return values.cast(pa.list_(entries))
    if _is.is_decimal32(kind) or _is.is_decimal64(kind):
        return values.cast(pa.decimal128(kind.precision, kind.scale))
    if _is.is_decimal256(kind) and kind.precision <= 38:
        return values.cast(pa.decimal128(kind.precision, kind.scale))
    return values


def _codes(kind: pa.DataType, dictionary: pa.Array) -> pa.Array | None:
    """A dictionary of texts that all have one length, as fixed-width values, which move five times as fast; None if it is another."""
    if not (_is.is_string(kind) or _is.is_binary(kind)) or not len(dictionary) or dictionary.null_count:
        return None
    shortest, longest = (each.as_py() for each in pc.min_max(pc.binary_length(dictionary)).values())
    if shortest != longest or not 0 < longest <= _CODE_BYTES:
        return None
    return dictionary.cast(pa.binary()).cast(pa.binary(longest))


def _feed(sink: _Sink, values: pa.Array) -> None:
    """Adds one block of one column: its row count, then a form that depends on the values only."""
    if _is.is_dictionary(values.type) and (codes := _codes(values.type.value_type, values.dictionary)) is not None:
        _feed_codes(sink, codes, values.indices)
        return
    values = _plain(values)
    kind = values.type
    sink.update(struct.pack("<Q", len(values)))
    if _is.is_null(kind):
        return
    if _is.is_string(kind) or _is.is_binary(kind) or _is.is_large_string(kind) or _is.is_large_binary(kind):
        _feed_text(sink, values)
    elif _is.is_list(kind) or _is.is_large_list(kind) or _is.is_list_view(kind) or _is.is_large_list_view(kind):
        sink.update(_little(_lengths(pc.list_value_length(values))))
        _feed(sink, values.flatten())
    elif _is.is_fixed_size_list(kind):
        _feed_validity(sink, values)
        _feed(sink, values.flatten())
    elif _is.is_struct(kind):
        _feed_validity(sink, values)
        for child in values.flatten():
            _feed(sink, child)
    else:
        _feed_validity(sink, values)
        _feed_fixed(sink, values)


def _feed_validity(sink: _Sink, values: pa.Array) -> None:
    """A zero byte if nothing is null, else a one and then a byte per row: 1 for a value, 0 for null."""
    if values.null_count == 0:
        sink.update(b"\0")
    else:
        sink.update(b"\1")
        sink.update(_bytes(values.is_valid()))


def _feed_text(sink: _Sink, values: pa.Array) -> None:
    """Every row's length in bytes as int32, -1 for null; then all bytes, one value after the other."""
    lengths = pc.binary_length(values)
    sink.update(_little(_lengths(lengths)))
    start, end = _extent(values)
    if values.null_count and end - start != (pc.sum(lengths).as_py() or 0):  # null rows that still own bytes: copy without them
        values = pc.fill_null(values, pa.scalar("" if _is.is_string(values.type) or _is.is_large_string(values.type) else b"", values.type))
        start, end = _extent(values)
    data = values.buffers()[2]
    if data is not None and end > start:
        sink.update(data.slice(start, end - start))


def _feed_codes(sink: _Sink, codes: pa.Array, indices: pa.Array) -> None:
    """The same bytes as for the texts themselves."""
    sink.update(struct.pack("<Q", len(indices)))
    length = pa.scalar(codes.type.byte_width, pa.int32())
    sink.update(_little(pc.if_else(indices.is_valid(), length, pa.scalar(-1, pa.int32()))))
    sink.update(_little(codes.take(indices.drop_null() if indices.null_count else indices)))


def _feed_fixed(sink: _Sink, values: pa.Array) -> None:
    """The values one after the other, little-endian, zero bytes under nulls; booleans as bytes; NaN as one fixed bit pattern."""
    kind = values.type
    if _is.is_boolean(kind):
        sink.update(_bytes(pc.fill_null(values, False) if values.null_count else values))
        return
    if _is.is_floating(kind):
        nan = pc.is_nan(values)
        if pc.any(nan).as_py():
            values = pc.if_else(nan, _NAN[kind], values)
    width = values.type.byte_width
    raw = _UNSIGNED.get(width)
    if raw is not None and not _is.is_fixed_size_binary(values.type):
        values = values.view(raw)
        zero = pa.scalar(0, raw)
    else:
        values = values.view(pa.binary(width))
        zero = pa.scalar(bytes(width), pa.binary(width))
    if values.null_count:
        values = pc.fill_null(values, zero)
    sink.update(_little(values))


def _bytes(bits: pa.BooleanArray) -> pa.Buffer | bytes:
    """A byte per row, 1 or 0, of booleans without nulls: eight at a time through a table, where they begin on a byte."""
    data = bits.buffers()[1]
    if data is None or bits.offset % 8:
        return _little(bits.cast(pa.uint8()))
    eights = pa.Array.from_buffers(pa.uint8(), (len(bits) + 7) // 8, [None, data], offset=bits.offset // 8)
    return _EIGHT_BITS.take(eights).buffers()[1].slice(0, len(bits))


def _little(values: pa.Array) -> pa.Buffer | bytes:
    """The bytes of a fixed-width array without nulls, exactly its rows."""
    width = values.type.byte_width
    data = values.buffers()[1]
    return b"" if data is None else data.slice(values.offset * width, len(values) * width)


def _lengths(lengths: pa.Array) -> pa.Array:
    if lengths.null_count:
        lengths = pc.fill_null(lengths, pa.scalar(-1, lengths.type))
    try:
        return lengths.cast(pa.int32())
    except pa.ArrowInvalid as error:
        raise UnhashableType("A value is longer than 2 GiB.", hint="Store it as a file and keep its reference in the table.") from error


def _extent(values: pa.Array) -> tuple[int, int]:
    """Where the bytes of a text array begin and end in its data buffer."""
    offsets = values.buffers()[1]
    if offsets is None or offsets.size == 0 or not len(values):
        return 0, 0
    form, width = ("<q", 8) if _is.is_large_string(values.type) or _is.is_large_binary(values.type) else ("<i", 4)
    view = memoryview(offsets)
    return struct.unpack_from(form, view, values.offset * width)[0], struct.unpack_from(form, view, (values.offset + len(values)) * width)[
        0
    ]


def _logical(kind: pa.DataType, column: str) -> Any:
    """A type's canonical spelling: text, or a list for nested types. Encodings and widths of offsets leave no trace."""
    if isinstance(kind, pa.BaseExtensionType):
        return ["extension", kind.extension_name, _logical(kind.storage_type, column)]
    if _is.is_dictionary(kind) or _is.is_run_end_encoded(kind):
        return _logical(kind.value_type, column)
    if _is.is_string(kind) or _is.is_large_string(kind) or _is.is_string_view(kind):
        return "string"
    if _is.is_binary(kind) or _is.is_large_binary(kind) or _is.is_binary_view(kind):
        return "binary"
    if _is.is_fixed_size_list(kind):
        return ["fixed_size_list", kind.list_size, _logical(kind.value_type, column)]
    if _is.is_list(kind) or _is.is_large_list(kind) or _is.is_list_view(kind) or _is.is_large_list_view(kind):
        return ["list", _logical(kind.value_type, column)]
    if _is.is_map(kind):
        return ["map", _logical(kind.key_type, column), _logical(kind.item_type, column)]
    if _is.is_struct(kind):
        return ["struct", [[field.name, _logical(field.type, column)] for field in kind]]
    if _is.is_decimal(kind):
        return ["decimal", kind.precision, kind.scale]
    if _is.is_fixed_size_binary(kind):
        return ["fixed_size_binary", kind.byte_width]
    if _is.is_timestamp(kind):
        return ["timestamp", kind.unit, kind.tz or ""]
    if _is.is_time(kind) or _is.is_duration(kind):
        return ["duration" if _is.is_duration(kind) else "time", kind.unit]
    if _is.is_primitive(kind) or _is.is_null(kind) or _is.is_interval(kind):
        return str(kind)
    raise UnhashableType(
        f"Column `{column}` has the type {kind}, which has no canonical form.", hint="Cast it to a plain or nested type first."
    )
