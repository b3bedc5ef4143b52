"""Small words for catalog tests: units, entries, instants, and real records with real files behind them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from tidemill.catalog import Catalog, Committed
from tidemill.model.facts import Entry, Materialization
from tidemill.model.keys import UnitKey, unit_key
from tidemill.model.versions import canonical, digest
from tidemill.storage.formats import parquet
from tidemill.storage.formats.content_hash import content_hash
from tidemill.storage.formats.statistics import describe_columns
from tidemill.storage.objects import Objects

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def minute(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def unit(text: str) -> UnitKey:
    return unit_key(text)


def entry(word: str) -> Entry:
    """An entry whose record does not exist: enough wherever only the tree matters."""
    return Entry(digest(f"record of {word}".encode()), digest(word.encode()), digest(f"making of {word}".encode()))


def put(
    catalog: Catalog, changes: Mapping[str, str | Entry | None], *, run: str = "", base: int | None = None, at: float = 0, **more: object
) -> Committed:
    """Commits words (or entries) to units, on top of the head unless a base is given."""
    return catalog.commit(
        {unit(name): entry(value) if isinstance(value, str) else value for name, value in changes.items()},
        base=catalog.head().number if base is None else base,
        run_id=run,
        author="ada",
        reason="test",
        at=minute(at),
        **more,  # type: ignore[arg-type]
    )


def held(catalog: Catalog, at: int | None = None) -> dict[str, Entry]:
    return {str(name): value for name, value in catalog.view(at).all_entries().items()}


def materialize(objects: Objects, name: str, values: list[int], *, run: str = "run-1") -> Entry:
    """A real record with a real Parquet file."""
    key = unit(name)
    table = pa.table({"value": pa.array(values, pa.int64())})
    files = parquet.write(table)
    objects.put_many(each.data for each in files)
    version = content_hash(table)
    record = Materialization(
        asset=key.asset,
        partition=key.partition,
        data_version=version,
        fingerprint=digest(f"{name} {values}".encode()),
        code_version="1",
        parameters={},
        inputs=(),
        files=tuple(each.file for each in files),
        columns=describe_columns(table),
        row_count=table.num_rows,
        size_bytes=sum(each.file.size_bytes for each in files),
        run_id=run,
    )
    return Entry(objects.put(canonical(record)), version, record.fingerprint)
