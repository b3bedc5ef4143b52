"""Tables as Parquet: the same table gives the same bytes, and damaged bytes give an error, never wrong rows.

Page checksums are written and verified: without them, random bit flips went unnoticed in most reads. Every writer option that could differ
between machines or calls is pinned here, and chunking is undone first, because pages follow chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tidemill.errors import IntegrityError
from tidemill.model.facts import DataFile
from tidemill.model.versions import digest

MEDIA_TYPE = "application/vnd.apache.parquet"

_FILE_BYTES = 128 * 1024 * 1024
"""How much Arrow data goes into one file, roughly: large enough to scan well, small enough to move and hold as one piece."""

_ROW_GROUP_ROWS = 262_144

_FOREIGN_METADATA = {b"pandas"}
"""Schema metadata that describes the program that made a table, not the table: it would make equal tables differ."""


class ParquetFile(NamedTuple):
    """A file's bytes and the fact that describes it."""

    data: bytes
    file: DataFile


def write(table: pa.Table, *, file_bytes: int = _FILE_BYTES) -> list[ParquetFile]:
    """Encodes a table as one or more Parquet files, in row order; a table without rows gives one file without rows. Pure.

    Equal tables (same schema, same values) give equal bytes, however they are chunked, sliced or held in memory.

    Args:
        table: what to write. Schema metadata is kept, except pandas'.
        file_bytes: about how many bytes of Arrow data one file holds.
    """
    kept = {key: value for key, value in (table.schema.metadata or {}).items() if key not in _FOREIGN_METADATA}
    table = table.replace_schema_metadata(kept or None)
    rows = _rows_per_file(table, file_bytes)
    starts = range(0, max(table.num_rows, 1), rows)
    return [_encoded(table.slice(start, rows)) for start in starts]


def read(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Decodes one file.

    Args:
        data: the file's bytes.
        columns: which top-level columns, in which order; all if None.

    Raises:
        IntegrityError: the bytes are not a readable Parquet file, or a page does not match its checksum.
        KeyError: a column that the file does not have.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        unknown = sorted(set(columns or ()) - set(file.schema_arrow.names))
        if not unknown:
            table = _decoded(file, None if columns is None else list(columns))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise IntegrityError(f"A stored Parquet file cannot be read: {_first_line(error)}.", hint="Run `tidemill verify`.") from error
    if unknown:
        raise KeyError(unknown[0])
    return table if columns is None else table.select(list(columns))


def _decoded(file: pq.ParquetFile, columns: list[str] | None) -> pa.Table:
    try:
        return file.read(columns=columns)
    except pa.ArrowNotImplementedError:
        # Dictionaries inside lists or structs cannot be joined across row groups while they are read, but each group can be read alone.
        return pa.concat_tables([file.read_row_group(each, columns=columns) for each in range(file.num_row_groups)])


def _rows_per_file(table: pa.Table, file_bytes: int) -> int:
    files = max(1, -(-sum(_size(column) for column in table.columns) // file_bytes))
    return max(1, -(-int(table.num_rows) // files))


def _size(column: pa.ChunkedArray) -> int:
    """About how many bytes a column's values take; it follows from the values alone, not from slices, bitmaps or what lies under nulls."""
    kind, is_ = column.type, pa.types
    if is_.is_primitive(kind) or is_.is_fixed_size_binary(kind):
        return int(kind.bit_width) * len(column) // 8
    if is_.is_struct(kind):
        return sum(_size(field) for field in column.flatten())
    if is_.is_string(kind) or is_.is_binary(kind) or is_.is_large_string(kind) or is_.is_large_binary(kind):
        return int(pc.sum(pc.binary_length(column)).as_py() or 0) + 4 * len(column)
    if is_.is_list(kind) or is_.is_large_list(kind) or is_.is_fixed_size_list(kind):
        return _size(pc.list_flatten(column)) + 4 * len(column)
    return int(column.nbytes)


def _encoded(table: pa.Table) -> ParquetFile:
    rows = table.num_rows
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.combine_chunks(),
        sink,
        row_group_size=_ROW_GROUP_ROWS,
        version="2.6",
        data_page_version="1.0",
        data_page_size=1024 * 1024,
        dictionary_pagesize_limit=1024 * 1024,
        write_batch_size=1024,
        compression="zstd",
        compression_level=3,
        use_dictionary=True,
        write_statistics=True,
        write_page_index=False,
        write_page_checksum=True,
        store_schema=True,
        store_decimal_as_integer=False,
        use_compliant_nested_type=True,
    )
    data = sink.getvalue().to_pybytes()
    return ParquetFile(data, DataFile(sha256=digest(data), size_bytes=len(data), row_count=rows))


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0].rstrip(".")[:300]
