"""The floor: the year of flights through bronze, silver and gold in a plain loop, month by month, on local Parquet files.

The same transforms and SQL files as the pipeline, the same writer options, one process, and no orchestrator: nothing of Tidemill is imported.
Every stage writes its table and the next stage reads it back, as it would from a store. What an orchestrator takes beyond this is its own.

    python benchmarks/plain_loop.py [--repeat N]

prints one JSON object: seconds by stage (of the quickest repetition, each with the source files read anew), their sum, processor time, rows and
bytes written.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

_STARTED = time.perf_counter()

import duckdb  # noqa: E402 - imports are timed
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from pipelines.flights import sources  # noqa: E402
from pipelines.flights.transforms.bronze import flights_of_month  # noqa: E402
from pipelines.flights.transforms.delay_report import delay_report  # noqa: E402
from pipelines.flights.transforms.route_day import route_days  # noqa: E402
from pipelines.flights.transforms.silver import enriched_flights  # noqa: E402

IMPORT_SECONDS = time.perf_counter() - _STARTED

SQL = ROOT / "pipelines" / "flights" / "sql"
WRITER = {"compression": "zstd", "compression_level": 3, "write_page_checksum": True}


@dataclass
class Loop:
    """One pass over the year, in a folder."""

    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    size_bytes: int = 0
    database: duckdb.DuckDBPyConnection = field(default_factory=lambda: duckdb.connect(config={"threads": 1}))

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started

    def write(self, asset: str, partition: str, table: pa.Table) -> None:
        with self.timed("write"):
            path = self.folder / asset / f"{partition}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path, **WRITER)
        self.rows[asset] = self.rows.get(asset, 0) + table.num_rows
        self.size_bytes += path.stat().st_size

    def read(self, asset: str, partition: str) -> pa.Table:
        with self.timed("read"), pa.OSFile(str(self.folder / asset / f"{partition}.parquet")) as file:
            return pq.read_table(file, page_checksum_verification=True)

    def query(self, name: str, flights: pa.Table) -> pa.Table:
        with self.database.cursor() as cursor:
            cursor.execute("set timezone = 'UTC'")
            cursor.register("flights", flights)
            return cursor.sql((SQL / f"{name}.sql").read_text(encoding="utf-8")).to_arrow_table()

    def year(self) -> None:
        with self.timed("load"):
            weather, planes, airports, airlines = sources.weather(), sources.planes(), sources.airports(), sources.airlines()
            raw = {month: sources.flights(month) for month in sources.MONTHS}
        for month in sources.MONTHS:
            with self.timed("bronze.flights"):
                bronze = flights_of_month(raw[month], month)
            self.write("bronze.flights", month, bronze)
            bronze = self.read("bronze.flights", month)
            with self.timed("silver.flights"):
                silver = enriched_flights(bronze, weather, planes, airports)
            self.write("silver.flights", month, silver)
            silver = self.read("silver.flights", month)
            for name in ("carrier_month", "airport_delay"):
                with self.timed(f"gold.{name}"):
                    gold = self.query(name, silver)
                self.write(f"gold.{name}", month, gold)
            with self.timed("gold.route_day"):
                gold = route_days(silver)
            self.write("gold.route_day", month, gold)
        months = {
            name: pa.concat_tables([self.read(f"gold.{name}", month) for month in sources.MONTHS])
            for name in ("carrier_month", "airport_delay")
        }
        with self.timed("gold.delay_report"):
            report = delay_report(months["carrier_month"], months["airport_delay"], airlines, airports)
        self.write("gold.delay_report", "all", report)


def measure(repeat: int = 1) -> dict[str, Any]:
    """The quickest of `repeat` passes, each in a new folder and with the source files read anew."""
    best: dict[str, Any] = {}
    for _ in range(repeat):
        for cache in (sources.flights_file, sources.weather_file, sources.planes_file, sources.airports_file, sources.airlines_file):
            cache.forget()
        with tempfile.TemporaryDirectory() as folder:
            loop = Loop(Path(folder))
            started = time.process_time()
            loop.year()
            cpu = time.process_time() - started
            loop.database.close()
        total = sum(loop.seconds.values())
        if not best or total < best["total_seconds"]:
            stages = {stage: round(seconds, 4) for stage, seconds in loop.seconds.items()}
            best = {
                "seconds": stages,
                "total_seconds": round(total, 4),
                "cpu_seconds": round(cpu, 4),
                "rows": loop.rows,
                "size_bytes": loop.size_bytes,
            }
    return best | {
        "total_without_load_seconds": round(best["total_seconds"] - best["seconds"]["load"], 4),
        "import_seconds": round(IMPORT_SECONDS, 4),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The year of flights in a plain loop, without an orchestrator.")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="passes; the quickest counts (default 1)")
    print(json.dumps(measure(parser.parse_args().repeat), indent=2))
