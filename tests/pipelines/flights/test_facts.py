"""What is known of this data, held exactly."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines.flights import sources

from .conftest import Year, together

MEAN_DEP_DELAY = 12.6391
MEAN_ARR_DELAY = 6.8954


def count(mask: pa.ChunkedArray) -> int:
    total: int = pc.sum(mask).as_py()
    return total


def test_every_month_of_the_year_has_flights(year: Year) -> None:
    per_month = {month: table.num_rows for month, table in year.bronze.items()}
    assert per_month == {
        "2013-01": 27004, "2013-02": 24951, "2013-03": 28834, "2013-04": 28330, "2013-05": 28796, "2013-06": 28243,
        "2013-07": 29425, "2013-08": 29327, "2013-09": 27574, "2013-10": 28889, "2013-11": 27268, "2013-12": 28135,
    }  # fmt: skip


@pytest.mark.parametrize("layer", ["bronze", "silver"])
def test_flights_and_their_totals(year: Year, layer: str) -> None:
    flights = together(getattr(year, layer))
    assert flights.num_rows == 336_776
    assert flights["arr_delay"].null_count == 9_430
    assert pc.sum(flights["distance"]).as_py() == 350_217_607
    assert round(pc.mean(flights["dep_delay"]).as_py(), 4) == MEAN_DEP_DELAY
    assert round(pc.mean(flights["arr_delay"]).as_py(), 4) == MEAN_ARR_DELAY


def test_flights_without_a_departure_time_are_cancelled(year: Year) -> None:
    silver = together(year.silver)
    assert together(year.bronze)["dep_time"].null_count == 8_255
    assert silver["departed_at"].null_count == 8_255
    assert count(silver["cancelled"]) == 8_255
    assert count(silver["diverted"]) == 9_430 - 8_255


def test_flights_that_find_no_weather_plane_or_airport(year: Year) -> None:
    silver = together(year.silver)
    assert count(pc.invert(silver["weather_known"])) == 1_556
    assert count(pc.equal(silver["plane_known"], False)) == 50_094
    assert silver["plane_known"].null_count == together(year.bronze)["tailnum"].null_count == 2_512
    strangers = silver.filter(pc.invert(silver["dest_known"]))
    assert strangers.num_rows == 7_602
    assert sorted(pc.unique(strangers["dest"]).to_pylist()) == ["BQN", "PSE", "SJU", "STT"]


def test_bronze_is_the_raw_file_as_it_is(year: Year) -> None:
    for month in sources.MONTHS:
        assert year.bronze[month].equals(sources.flights(month), check_metadata=True)


@pytest.mark.parametrize("gold", ["carrier_month", "airport_delay", "route_day"])
def test_every_gold_table_counts_every_flight_once(year: Year, gold: str) -> None:
    table = together(getattr(year, gold))
    totals = {name: pc.sum(table[name]).as_py() for name in ("flights", "cancelled", "diverted", "departed", "arrived", "distance_total")}
    assert totals == {
        "flights": 336_776,
        "cancelled": 8_255,
        "diverted": 1_175,
        "departed": 328_521,
        "arrived": 327_346,
        "distance_total": 350_217_607,
    }


def test_the_report_tells_the_year(year: Year) -> None:
    rows = year.report.to_pylist()
    everything = rows[0]
    assert (everything["scope"], everything["code"], everything["flights"], everything["distance_total"]) == (
        "all",
        "all",
        336_776,
        350_217_607,
    )
    assert (round(everything["mean_dep_delay"], 4), round(everything["mean_arr_delay"], 4)) == (MEAN_DEP_DELAY, MEAN_ARR_DELAY)
    assert [(row["scope"], row["code"], row["name"], row["flights"]) for row in rows[-3:]] == [
        ("origin", "EWR", "Newark Liberty Intl", 120_835),
        ("origin", "JFK", "John F Kennedy Intl", 111_279),
        ("origin", "LGA", "La Guardia", 104_662),
    ]
    carriers = [row for row in rows if row["scope"] == "carrier"]
    assert [row["code"] for row in carriers] == sorted(sources.airlines()["carrier"].to_pylist())
    assert all(row["name"] for row in rows)
