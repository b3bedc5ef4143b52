"""How much the catalog costs: storage calls and seconds with a million units, and how fast content is hashed.

`python -m benchmarks.catalog [UNITS]` prints a table. Beside the hash stands plain SHA-256 over the same bytes, which no content hash can beat.
"""

from __future__ import annotations

import functools
import hashlib
import random
import resource
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.catalog import Catalog
from tidemill.model.facts import Entry
from tidemill.model.keys import AssetKey, PartitionKey, UnitKey
from tidemill.model.versions import digest
from tidemill.storage.formats import parquet
from tidemill.storage.formats.content_hash import content_hash
from tidemill.storage.memory import MemoryStore
from tidemill.testing.faults import FaultyStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ASSETS = 100


def timed(what: str, act: Callable[[], object], store: FaultyStore | None = None) -> object:
    """Does it, and prints how long it took and how many storage calls it made."""
    if store is not None:
        store.calls.clear()
    started = time.perf_counter()
    result = act()
    seconds = time.perf_counter() - started
    calls = ""
    if store is not None:
        writes = sum(call.verb in {"create", "replace"} for call in store.calls)
        calls = f"{len(store.calls):8,} calls ({writes:,} writes)"
    print(f"  {what:<52} {seconds * 1000:12,.1f} ms {calls}")
    return result


def process_seconds(act: Callable[[], object]) -> float:
    """Seconds of processor time, which other work on the machine does not lengthen much."""
    started = time.process_time()
    act()
    return time.process_time() - started


def entry(word: str) -> Entry:
    return Entry(digest(b"record " + word.encode()), digest(word.encode()), digest(b"made " + word.encode()))


def catalog(count: int) -> None:
    print(f"Catalog of {count:,} units in {ASSETS} assets, in memory:")
    store = FaultyStore(MemoryStore())
    units = {UnitKey(AssetKey(f"asset.number_{n % ASSETS}"), PartitionKey(f"{n // ASSETS:06d}")): entry(str(n)) for n in range(count)}
    who: dict[str, Any] = {"author": "bench", "reason": "bench", "at": NOW}
    timed("commit all of them at once", lambda: Catalog(store).commit(units, base=0, run_id="run-all", **who), store)
    chance = random.Random(1)
    some = chance.sample(sorted(units), 10)
    one = some[0]
    timed("open and look up one unit", lambda: Catalog(store).view().entry(one), store)
    timed("open and list one asset", lambda: Catalog(store).view().entries(one.asset), store)
    timed("open and list the assets", lambda: Catalog(store).view().assets(), store)
    changed = {unit: entry(f"new {unit}") for unit in some}
    timed("commit 10 changed units", lambda: Catalog(store).commit(changed, base=1, run_id="run-ten", **who), store)
    timed("diff of two snapshots that differ in 10 units", lambda: Catalog(store).diff(1, 2), store)
    timed("commit 1 changed unit", lambda: Catalog(store).commit({one: entry("x")}, base=2, run_id="run-one", **who), store)
    timed("roll back to the first snapshot", lambda: Catalog(store).rollback(1, **who), store)
    timed("make a branch", lambda: Catalog(store).create_branch("bench", **who), store)
    timed("read all of them", lambda: Catalog(store).view().all_entries(), store)
    print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB, store and units included")


def columns(rows: int) -> dict[str, pa.Array]:
    """One column of every type that has a form of its own."""
    numbers = pa.array(range(rows), pa.int64())
    texts = numbers.cast(pa.string())
    small = pc.bit_wise_and(numbers, 1023)
    gaps = pc.equal(pc.bit_wise_and(numbers, 7), 0)
    whole = numbers.cast(pa.decimal128(19, 0))
    fours = pa.array(range(0, rows + 1, 4), pa.int32())
    pairs = pa.StructArray.from_arrays([numbers, texts], ["a", "b"])
    ratios = pc.divide(numbers.cast(pa.float64()), 3.0)
    return {
        "int64": numbers,
        "int64, one in eight null": pc.if_else(gaps, None, numbers),
        "int8": small.cast(pa.int16()).cast(pa.int8(), safe=False),
        "bool": gaps,
        "float64": ratios,
        "float64, one in eight NaN": pc.if_else(gaps, float("nan"), ratios),
        "date32": small.cast(pa.int32()).cast(pa.date32()),
        "timestamp with zone": numbers.cast(pa.timestamp("us", "UTC")),
        "decimal128(22, 2)": whole.cast(pa.decimal128(22, 2)),
        "decimal64(18, 0)": whole.cast(pa.decimal128(18, 0)).cast(pa.decimal64(18, 0)),
        "decimal256(40, 0)": numbers.cast(pa.decimal256(40, 0)),
        "string, 7 bytes": texts,
        "string, 40 bytes": pc.binary_join_element_wise(texts, texts, texts, texts, texts, "-"),
        "string, one in eight null": pa.array(pc.if_else(gaps, None, texts).to_pylist()),
        "string, one in eight null that owns bytes": pc.if_else(gaps, None, texts),
        "string_view, 7 bytes": texts.cast(pa.string_view()),
        "dictionary, 1,024 codes of 4 bytes": pc.utf8_lpad(small.cast(pa.string()), 4).dictionary_encode(),
        "dictionary, 1,024 texts of 1 to 4 bytes": small.cast(pa.string()).dictionary_encode(),
        "dictionary, 1,024 texts of 20 to 23 bytes": pc.binary_join_element_wise("a name of some sort ", small.cast(pa.string()), "").dictionary_encode(),
        "dictionary, 1,024 numbers": small.dictionary_encode(),
        "list of 4 int64": pa.ListArray.from_arrays(fours, numbers),
        "list of 4 strings": pa.ListArray.from_arrays(fours, texts),
        "fixed-size list of 4 int64": pa.FixedSizeListArray.from_arrays(numbers, 4),
        "struct of int64 and string": pairs,
        "list of 4 structs": pa.ListArray.from_arrays(fours, pairs),
        "map of 4 string to int64": pa.MapArray.from_arrays(fours, texts, numbers),
        "run-end encoded int64, 100 alike": pa.RunEndEncodedArray.from_arrays(pa.array(range(100, rows + 1, 100), pa.int32()), numbers[: rows // 100]),
    }  # fmt: skip


def spelled_out(column: pa.Array) -> int:
    """Bytes of a column without its encoding, in the width that is hashed: a byte for a boolean, 16 for a small decimal."""
    if pa.types.is_decimal32(column.type) or pa.types.is_decimal64(column.type):
        return 16 * len(column)
    if pa.types.is_dictionary(column.type):
        return int(column.dictionary_decode().nbytes)
    if pa.types.is_run_end_encoded(column.type):
        return int(pc.run_end_decode(column).nbytes)
    return len(column) if pa.types.is_boolean(column.type) else int(column.nbytes)


def hashing(rows: int) -> None:
    print(f"Content hash of one column of {rows:,} rows, one core, the quickest of three, beside SHA-256 of as many bytes:")
    made = columns(rows)
    for name, column in made.items():
        table = pa.table({"x": column})
        content_hash(table.slice(0, 1000))
        size = spelled_out(column)
        plain = b"x" * size
        seconds = min(process_seconds(functools.partial(content_hash, table)) for _ in range(3))
        floor = min(process_seconds(functools.partial(hashlib.sha256, plain)) for _ in range(3))
        print(f"  {name:<44} {size / 1e6:8.1f} MB {size / 1e6 / seconds:8,.0f} MB/s   SHA-256 alone {size / 1e6 / floor:8,.0f} MB/s")
    numbers, texts = made["int64"], made["string, 7 bytes"]
    table = pa.table({"number": numbers, "text": texts, "ratio": made["float64"]})
    timed("write as Parquet (zstd, page checksums)", lambda: parquet.write(table))
    (written,) = parquet.write(table)
    timed("read it back, checksums verified", lambda: parquet.read(written.data))
    print(f"  {table.nbytes / 1e6:,.0f} MB of Arrow in {len(written.data) / 1e6:,.0f} MB of Parquet")


if __name__ == "__main__":
    hashing(2_000_000)
    catalog(int(sys.argv[1].replace("_", "")) if len(sys.argv) > 1 else 1_000_000)
