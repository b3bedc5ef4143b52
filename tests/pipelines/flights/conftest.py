"""The whole year, made once by calling the transforms and the SQL directly, and folders of altered source files."""

from __future__ import annotations

import csv
import io
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import duckdb
import pyarrow as pa
import pytest

from pipelines.flights import sources
from pipelines.flights.transforms.bronze import flights_of_month
from pipelines.flights.transforms.delay_report import delay_report
from pipelines.flights.transforms.route_day import route_days
from pipelines.flights.transforms.silver import enriched_flights

os.environ.pop("FLIGHTS_DATA_DIR", None)  # the facts are those of the installed files

SQL = Path(sources.__file__).parent / "sql"


@dataclass(frozen=True)
class Year:
    """Every table of the pipeline; the monthly ones by month."""

    bronze: dict[str, pa.Table]
    silver: dict[str, pa.Table]
    carrier_month: dict[str, pa.Table]
    airport_delay: dict[str, pa.Table]
    route_day: dict[str, pa.Table]
    report: pa.Table


def run_sql(name: str, flights: pa.Table) -> pa.Table:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("flights", flights)
        return connection.sql((SQL / f"{name}.sql").read_text(encoding="utf-8")).to_arrow_table()


@pytest.fixture(scope="session")
def year() -> Year:
    dimensions = sources.weather(), sources.planes(), sources.airports()
    bronze = {month: flights_of_month(sources.flights(month), month) for month in sources.MONTHS}
    silver = {month: enriched_flights(flights, *dimensions) for month, flights in bronze.items()}
    carrier_month = {month: run_sql("carrier_month", flights) for month, flights in silver.items()}
    airport_delay = {month: run_sql("airport_delay", flights) for month, flights in silver.items()}
    return Year(
        bronze=bronze,
        silver=silver,
        carrier_month=carrier_month,
        airport_delay=airport_delay,
        route_day={month: route_days(flights) for month, flights in silver.items()},
        report=delay_report(together(carrier_month), together(airport_delay), sources.airlines(), sources.airports()),
    )


def together(months: dict[str, pa.Table]) -> pa.Table:
    return pa.concat_tables(months.values())


FLIGHT = MappingProxyType(
    {
        "year": 2013, "month": 1, "day": 1, "dep_time": 517, "sched_dep_time": 515, "dep_delay": 2, "arr_time": 830, "sched_arr_time": 819,
        "arr_delay": 11, "carrier": "UA", "flight": 1545, "tailnum": "N14228", "origin": "EWR", "dest": "IAH", "air_time": 227, "distance": 1400,
        "hour": 5, "minute": 15, "time_hour": "2013-01-01T10:00:00Z",
    }
)  # fmt: skip


def flights_csv(*changes: Mapping[str, object]) -> str:
    """A flights file in which each row is the flight above with some values changed."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FLIGHT, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**FLIGHT, **change} for change in changes)
    return text.getvalue()


def zipped(text: str | bytes, name: str = "flights.csv") -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return data.getvalue()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Makes the pipeline read a folder of its own, in which some files are replaced (bytes or text) or taken away (None)."""
    installed = sources.data_dir()

    def folder(**files: str | bytes | None) -> Path:
        for file in (sources.FLIGHTS, sources.WEATHER, sources.PLANES, sources.AIRPORTS, sources.AIRLINES):
            content = files.get(file.name.split(".")[0], b"as installed")
            target = tmp_path / file.name
            target.unlink(missing_ok=True)
            if content == b"as installed":
                shutil.copy2(installed / file.name, target)
            elif content is not None:
                target.write_bytes(content.encode() if isinstance(content, str) else content)
        monkeypatch.setenv("FLIGHTS_DATA_DIR", str(tmp_path))
        return tmp_path

    yield folder
    for cache in (sources.flights_file, sources.weather_file, sources.planes_file, sources.airports_file, sources.airlines_file):
        cache.forget()
