"""Runs that leave a stamp in everything they make, and readers that look for two stamps at once.

`python stamper.py write ADDRESS CONTAINER FIRST STEP` makes run after run until it is killed, each with the next stamp in every unit of three assets;
`python stamper.py read ADDRESS CONTAINER SECONDS [FILE]` polls meanwhile, until FILE is there, and says how many views and stamps it saw. A view with two
stamps ends it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from tidemill import AssetContext, Definitions, Group, StaticPartitions, asset
from tidemill.catalog import Catalog, CatalogView
from tidemill.execution.local import apply_local
from tidemill.execution.runtime import Runtime
from tidemill.model.facts import Materialization
from tidemill.model.runs import RunRequest
from tidemill.storage import BlobStore, open_store
from tidemill.storage.formats import parquet

PARTS = StaticPartitions(["a", "b", "c", "d"])
UNITS = 9


def definitions(commit: str = "run") -> Definitions:
    group = Group("stamps", commit=commit)

    @asset(key="stamps.first", partitions=PARTS, parameters={"stamp": 0}, group=group, code_version="1")
    def first(context: AssetContext) -> pa.Table:
        return pa.table({"stamp": [context.parameters["stamp"]]})

    @asset(key="stamps.second", partitions=PARTS, inputs={"first": "stamps.first"}, group=group, code_version="1")
    def second(first: pa.Table) -> pa.Table:
        return first

    @asset(key="stamps.last", inputs={"second": "stamps.second"}, group=group, code_version="1")
    def last(second: pa.Table) -> pa.Table:
        return second

    return Definitions([first, second, last])


def make(store: BlobStore, stamp: int, *, commit: str = "run") -> str:
    """One run; how it ended."""
    runtime = Runtime(store, lambda: definitions(commit), project=Path("/project"))
    now = datetime.now(UTC)
    request = RunRequest(run_id=f"run-{stamp:06d}-{os.getpid()}", selection="*", parameters={"stamp": stamp}, requested_at=now)
    return apply_local(runtime, request, threads=2).status.value


def stamps(catalog: Catalog, view: CatalogView) -> list[int]:
    """Every stamp in every file of a view, after making sure that the view is whole."""
    entries = view.all_entries()
    assert len(entries) in (0, UNITS), f"a view of {len(entries)} units"
    found: set[int] = set()
    for entry in entries.values():
        record = catalog.record(entry.record)
        assert isinstance(record, Materialization)
        for file in record.files:
            found.update(parquet.read(catalog.objects.get(file.sha256))["stamp"].to_pylist())
    return sorted(found)


def read(store: BlobStore, seconds: float, stop: Path | None = None) -> dict[str, int]:
    catalog = Catalog(store)
    seen: set[int] = set()
    views = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until and not (stop and stop.exists()):
        view = catalog.view()
        found = stamps(catalog, view)
        assert len(found) <= 1, f"log entry {view.number} shows the stamps {found}"
        seen.update(found)
        views += 1
    return {"views": views, "stamps": len(seen)}


def main(what: str, address: str, container: str, *more: str) -> None:
    store = open_store(address, container=container)
    if what == "read":
        sys.stdout.write(json.dumps(read(store, float(more[0]), Path(more[1]) if len(more) > 1 else None)))
        sys.stdout.flush()
        os._exit(0)  # native threads of the libraries may abort an interpreter that shuts down under load; the report is out
    stamp, step = map(int, more)
    while True:
        status = make(store, stamp)
        sys.stdout.write(f"{stamp} {status}\n")
        sys.stdout.flush()
        stamp += step


if __name__ == "__main__":
    main(*sys.argv[1:])
