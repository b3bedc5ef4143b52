"""Where the columns of the main job come from, measured: what is known of the transforms must be seen, and nothing that they do not do."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyarrow as pa
import pytest

from pipelines.flights import sources
from pipelines.flights.transforms.bronze import flights_of_month
from pipelines.flights.transforms.delay_report import delay_report
from pipelines.flights.transforms.route_day import route_days
from pipelines.flights.transforms.silver import enriched_flights
from tests.pipelines.flights.conftest import SQL, Year, run_sql
from tidemill.execution.sampling import sample
from tidemill.lineage.measuring import Parts, Refused, measure
from tidemill.lineage.sql_columns import trace

ROWS = 120
LOOKED_UP = 3000  # enough of the year's hours that some of the sampled flights meet one


def edges(function: Callable[..., pa.Table], **tables: pa.Table) -> dict[str, set[str]]:
    """Sources by column, `input.column`; what decides the rows under `*`. Uses that hand on nothing are marked with `?`."""

    def code(inputs: Mapping[str, Parts]) -> pa.Table:
        try:
            return function(**{name: parts[0][1] for name, parts in inputs.items()})
        except (ValueError, LookupError, pa.ArrowException) as error:
            raise Refused(str(error)) from None

    found: dict[str, set[str]] = {}
    for edge in measure(
        code, {name: [("", sample(table, LOOKED_UP if name == "weather" else ROWS))] for name, table in tables.items()}
    ).edges:
        mark = "" if edge.use.is_direct or not edge.column else "?"
        found.setdefault(edge.column or "*", set()).add(f"{edge.input}.{edge.source_column}{mark}")
    return found


def test_bronze_hands_every_column_on(year: Year) -> None:
    raw = year.bronze["2013-03"]
    found = edges(lambda raw: flights_of_month(raw, "2013-03"), raw=raw)
    guarded = {"year", "month"}  # it takes flights of its own month only
    assert found == {name: {f"raw.{name}"} for name in raw.column_names if name not in guarded}


@pytest.mark.proof
def test_silver(year: Year) -> None:
    found = edges(
        enriched_flights, flights=year.bronze["2013-03"], weather=sources.weather(), planes=sources.planes(), airports=sources.airports()
    )
    assert found["date"] == {"flights.year", "flights.month", "flights.day"}
    assert found["scheduled_departure"] == {"flights.time_hour", "flights.minute"}
    assert found["departed_at"] == {"flights.time_hour", "flights.minute", "flights.dep_delay"}
    assert found["distance"] == {"flights.distance"}
    assert found["cancelled"] == {"flights.dep_time"}
    assert found["diverted"] == {"flights.dep_time", "flights.arr_delay"}
    assert found["temp"] >= {"weather.temp", "weather.origin", "weather.time_hour", "flights.origin", "flights.time_hour"}
    assert found["plane_seats"] >= {"planes.seats", "planes.tailnum", "flights.tailnum"}
    assert found["dest_name"] == {"airports.name", "airports.faa", "flights.dest"}
    assert found["*"] >= {"flights.time_hour", "flights.minute"}
    everything = {each.rstrip("?") for each in set().union(*found.values())}
    assert everything.isdisjoint({"flights.hour", "flights.arr_time", "planes.speed", "airports.lat", "airports.lon", "airports.alt"})


@pytest.mark.proof
def test_route_days(year: Year) -> None:
    found = edges(route_days, flights=year.silver["2013-03"])
    assert found["distance_total"] - {f"flights.{name}?" for name in ("date", "origin", "dest")} == {"flights.distance"}
    assert found["mean_arr_delay"] - {f"flights.{name}?" for name in ("date", "origin", "dest")} == {"flights.arr_delay"}
    assert found["cancelled"] - {f"flights.{name}?" for name in ("date", "origin", "dest")} == {"flights.cancelled"}
    assert found["*"] == {"flights.date", "flights.origin", "flights.dest"}
    assert all("flights.temp" not in each for each in found.values())


@pytest.mark.proof
def test_the_report(year: Year) -> None:
    found = edges(
        delay_report,
        carrier_month=pa.concat_tables(list(year.carrier_month.values())[:4]),
        airport_delay=pa.concat_tables(list(year.airport_delay.values())[:2]),
        airlines=sources.airlines(),
        airports=sources.airports(),
    )
    assert found["flights"] >= {"carrier_month.flights", "airport_delay.flights"}
    assert "airlines.name" in found["name"]
    assert found["distance_total"] >= {"carrier_month.distance_total", "airport_delay.distance_total"}
    assert not any("departed_wet" in each for sources_ in found.values() for each in sources_)


@pytest.mark.proof
@pytest.mark.parametrize("name", ["carrier_month", "airport_delay"])
def test_what_moves_in_the_queries_was_told_by_their_text(year: Year, name: str) -> None:
    pytest.importorskip("sqlglot", reason="needs the extra `lineage`: pip install 'tidemill[lineage]'")
    flights = year.silver["2013-03"]
    traced = trace((SQL / f"{name}.sql").read_text(encoding="utf-8"), {"flights": flights.column_names})
    rows = {f"flights.{each.column}" for each in traced.rows}
    told = {column: {f"flights.{each.column}" for each in found} | rows for column, found in traced.columns}
    # Only the columns that the text names can move anything; the others are left as they are to save time.
    used = sorted({each.removeprefix("flights.") for found in told.values() for each in found})
    seen = edges(lambda flights: run_sql(name, flights), flights=flights.select(used))
    for column, found in seen.items():
        assert {each.rstrip("?") for each in found} <= (rows if column == "*" else told[column])
    assert {"distance_total", "departed"} <= set(seen)
