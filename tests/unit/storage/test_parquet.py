"""Parquet: equal tables give equal bytes, and damaged bytes give an error."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.errors import IntegrityError
from tidemill.model.versions import digest
from tidemill.storage.formats import parquet

TABLE = pa.table(
    {
        "number": pa.array([1, 2, None, 4] * 500, pa.int64()),
        "text": pa.array(["a", "bb", None, "dddd"] * 500),
        "at": pa.array([datetime(2013, 1, 1, tzinfo=UTC), None] * 1000, pa.timestamp("us", "UTC")),
        "nested": pa.array([[{"x": 1.5}], [], None, [{"x": None}]] * 500),
    }
)


def test_a_table_comes_back_as_it_was() -> None:
    (written,) = parquet.write(TABLE)
    assert (written.file.sha256, written.file.size_bytes, written.file.row_count) == (digest(written.data), len(written.data), 2000)
    assert parquet.read(written.data).equals(TABLE)


def test_columns_come_in_the_order_asked_for() -> None:
    (written,) = parquet.write(TABLE)
    assert parquet.read(written.data, ["text", "number"]).equals(TABLE.select(["text", "number"]))
    with pytest.raises(KeyError, match="nothing"):
        parquet.read(written.data, ["text", "nothing"])


def test_dictionaries_inside_lists_are_read_over_many_row_groups() -> None:
    texts = pa.array(["a", "b", "a", None, "c", "d"]).dictionary_encode()
    table = pa.table({"tags": pa.ListArray.from_arrays(pa.array(range(7), pa.int32()), texts)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=2)
    assert parquet.read(sink.getvalue().to_pybytes())["tags"].to_pylist() == table["tags"].to_pylist()


def test_equal_tables_give_equal_bytes() -> None:
    (expected,) = parquet.write(TABLE)
    rechunked = pa.concat_tables([TABLE.slice(0, 7), TABLE.slice(7, 993), TABLE.slice(1000)])
    sliced = pa.concat_tables([TABLE, TABLE]).combine_chunks().slice(1000, 2000)
    again = pa.Table.from_batches(TABLE.to_batches(max_chunksize=33))
    other_program = TABLE.replace_schema_metadata({"pandas": "{}"})
    for table in (rechunked, sliced, again, other_program):
        assert parquet.write(table)[0].data == expected.data


def test_a_large_table_becomes_several_files_in_row_order() -> None:
    parts = parquet.write(TABLE, file_bytes=10_000)
    assert len(parts) > 3
    assert sum(part.file.row_count for part in parts) == 2000
    assert pa.concat_tables([parquet.read(part.data) for part in parts]).equals(TABLE)
    rechunked = pa.concat_tables([TABLE.slice(0, 7), TABLE.slice(7)])
    assert [part.data for part in parquet.write(rechunked, file_bytes=10_000)] == [part.data for part in parts]


def test_an_empty_table_is_one_file_without_rows() -> None:
    for table in (TABLE.slice(0, 0), TABLE.schema.empty_table()):
        (written,) = parquet.write(table)
        assert written.file.row_count == 0
        assert parquet.read(written.data).equals(TABLE.schema.empty_table())


def test_page_checksums_are_written_and_compression_is_zstd() -> None:
    (written,) = parquet.write(TABLE)
    column = pq.ParquetFile(pa.BufferReader(written.data)).metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"
    flipped = bytearray(written.data)
    flipped[column.dictionary_page_offset + column.total_compressed_size - 1] ^= 1  # the last byte of the last page
    with pytest.raises(IntegrityError):
        parquet.read(bytes(flipped))


def test_no_flipped_bit_gives_other_rows() -> None:
    (written,) = parquet.write(TABLE)
    chance = random.Random(7)
    refused = 0
    for _ in range(300):
        data = bytearray(written.data)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        try:
            table = parquet.read(bytes(data))
        except IntegrityError:
            refused += 1
            continue
        # What a checksum does not cover are statistics and names of the writer in the footer; rows are never wrong. The object's own hash covers all.
        assert table.num_rows == TABLE.num_rows
        if table.schema.equals(TABLE.schema):
            assert table.equals(TABLE)
    assert refused > 150


@pytest.mark.parametrize("data", [b"", b"PAR1", b"not parquet at all", b"PAR1" + b"\xff" * 100 + b"PAR1"])
def test_what_is_not_parquet_is_an_error(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="cannot be read"):
        parquet.read(data)
