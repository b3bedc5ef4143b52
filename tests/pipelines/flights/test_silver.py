"""Silver: every bronze flight once, with the right moments, flags and neighbours."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines.flights import sources
from pipelines.flights.transforms.bronze import flights_of_month
from pipelines.flights.transforms.lookup import pair, positions
from pipelines.flights.transforms.silver import enriched_flights

from .conftest import FLIGHT, Year

HOUR = pa.timestamp("us", "UTC")


def bronze(*changes: dict[str, object]) -> pa.Table:
    """Flights like the one in `conftest`, with some values changed."""
    rows = [{**FLIGHT, "time_hour": datetime(2013, 1, 1, 10, tzinfo=UTC), **change} for change in changes]
    return pa.Table.from_pylist(rows, sources.FLIGHTS.schema)


def silver(*changes: dict[str, object]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = enriched_flights(bronze(*changes), sources.weather(), sources.planes(), sources.airports()).to_pylist()
    return rows


def test_one_flight_in_full() -> None:
    assert silver({}) == [
        {
            "date": date(2013, 1, 1),
            "scheduled_departure": datetime(2013, 1, 1, 10, 15, tzinfo=UTC),
            "scheduled_departure_local": datetime.fromisoformat("2013-01-01T05:15"),
            "departed_at": datetime(2013, 1, 1, 10, 17, tzinfo=UTC),
            "scheduled_arrival": datetime(2013, 1, 1, 14, 19, tzinfo=UTC),
            "arrived_at": datetime(2013, 1, 1, 14, 30, tzinfo=UTC),
            "carrier": "UA", "flight": 1545, "tailnum": "N14228", "origin": "EWR", "dest": "IAH",
            "dep_delay": 2, "arr_delay": 11, "air_time": 227, "distance": 1400, "cancelled": False, "diverted": False,
            "weather_known": True, "temp": 39.02, "dewp": 28.04, "humid": 64.43, "wind_dir": 260, "wind_speed": 12.658579999999999, "wind_gust": None,
            "precip": 0.0, "pressure": 1011.9, "visib": 10.0,
            "plane_known": True, "plane_year": 1999, "plane_manufacturer": "BOEING", "plane_model": "737-824", "plane_seats": 149,
            "dest_known": True, "dest_name": "George Bush Intercontinental", "dest_zone": "America/Chicago",
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("dep_time", "dep_delay", "arr_time", "arr_delay", "cancelled", "diverted"),
    [
        (517, 2, 830, 11, False, False),
        (None, None, None, None, True, False),
        (517, 2, None, None, False, True),
        (517, 2, 1530, None, False, True),
    ],
)
def test_what_became_of_a_flight(
    dep_time: int | None, dep_delay: int | None, arr_time: int | None, arr_delay: int | None, cancelled: bool, diverted: bool
) -> None:
    flight = silver({"dep_time": dep_time, "dep_delay": dep_delay, "arr_time": arr_time, "arr_delay": arr_delay})[0]
    assert (flight["cancelled"], flight["diverted"]) == (cancelled, diverted)
    assert (flight["departed_at"] is None, flight["arrived_at"] is None) == (dep_delay is None, arr_delay is None)


def test_nothing_found_is_said_and_a_missing_tail_number_is_not_a_plane_unknown() -> None:
    stranger, nameless = silver(
        {"tailnum": "N0", "dest": "XXX", "time_hour": datetime(1999, 1, 1, 10, tzinfo=UTC)},
        {"tailnum": None},
    )
    assert (stranger["weather_known"], stranger["plane_known"], stranger["dest_known"]) == (False, False, False)
    assert (stranger["temp"], stranger["plane_year"], stranger["dest_name"], stranger["scheduled_arrival"]) == (None, None, None, None)
    assert (nameless["weather_known"], nameless["plane_known"], nameless["dest_known"]) == (True, None, True)


def test_every_departure_shows_its_time_on_the_clock_in_new_york(year: Year) -> None:
    zone = ZoneInfo("America/New_York")
    for month in ("2013-03", "2013-11"):  # the months in which the clocks change
        raw = by_key(year.bronze[month], [("time_hour", "ascending"), ("minute", "ascending")])
        ours = year.silver[month]
        for reading, scheduled, local, departed in zip(
            raw["dep_time"].to_pylist(),
            ours["scheduled_departure"].to_pylist(),
            ours["scheduled_departure_local"].to_pylist(),
            ours["departed_at"].to_pylist(),
            strict=True,
        ):
            assert scheduled.astimezone(zone).replace(tzinfo=None) == local
            assert (reading is None) == (departed is None)
            if departed is not None:
                there = departed.astimezone(zone)
                assert there.hour * 100 + there.minute == reading % 2400


def test_arrivals_show_their_time_on_the_clock_at_the_destination(year: Year) -> None:
    """All but one, which was in the air when clocks went forward: the file has it land at 2:03, which no clock showed that night."""
    wrong = []
    for month in ("2013-03", "2013-07", "2013-11"):
        raw = by_key(year.bronze[month], [("time_hour", "ascending"), ("minute", "ascending")])
        ours = year.silver[month].select(["arrived_at", "dest_zone", "date", "origin", "dest"])
        zones = {name: ZoneInfo(name) for name in pc.unique(ours["dest_zone"]).drop_null().to_pylist()}
        for reading, flight in zip(raw["arr_time"].to_pylist(), ours.to_pylist(), strict=True):
            if flight["arrived_at"] is not None:
                there = flight["arrived_at"].astimezone(zones[flight["dest_zone"]])
                if there.hour * 100 + there.minute != reading % 2400:
                    wrong.append((flight["date"], flight["origin"], flight["dest"], reading, there.hour * 100 + there.minute))
    assert [(each[0], each[2:]) for each in wrong] == [(date(2013, 3, 9), ("PBI", 203, 303))]


def test_nobody_is_longer_in_the_air_than_under_way(year: Year) -> None:
    for flights in year.silver.values():
        under_way = pc.divide(pc.subtract(flights["arrived_at"], flights["departed_at"]).cast(pa.int64()), 60_000_000)
        on_ground = pc.min_max(pc.subtract(under_way, flights["air_time"])).as_py()
        assert on_ground["min"] >= 5
        assert on_ground["max"] <= 4 * 60


def by_key(raw: pa.Table, first: list[tuple[str, str]]) -> pa.Table:
    return raw.sort_by([*first, ("origin", "ascending"), ("carrier", "ascending"), ("flight", "ascending")])


def test_the_result_does_not_depend_on_the_order_or_the_chunks_of_anything_read(year: Year) -> None:
    def shuffled(table: pa.Table) -> pa.Table:
        order = list(range(table.num_rows))
        random.Random(7).shuffle(order)
        mixed = table.take(pa.array(order))
        return pa.concat_tables([mixed.slice(0, 1000), mixed.slice(1000)])

    again = enriched_flights(
        *(shuffled(table) for table in (year.bronze["2013-02"], sources.weather(), sources.planes(), sources.airports()))
    )
    assert again.combine_chunks().equals(year.silver["2013-02"].combine_chunks())


def test_a_month_without_flights_is_an_empty_table_of_the_same_schema(year: Year) -> None:
    nothing = enriched_flights(bronze(), sources.weather(), sources.planes(), sources.airports())
    assert nothing.num_rows == 0
    assert nothing.schema == year.silver["2013-01"].schema


def test_rows_are_ordered_by_departure_origin_carrier_and_flight(year: Year) -> None:
    for flights in (year.silver["2013-03"], year.silver["2013-12"]):
        keys = list(zip(*(flights[name].to_pylist() for name in ("scheduled_departure", "origin", "carrier", "flight")), strict=True))
        assert keys == sorted(keys)
        assert len(set(keys)) == len(keys)


def test_a_key_that_occurs_twice_is_refused_by_name() -> None:
    twice = pa.concat_tables([sources.planes(), sources.planes().slice(0, 1)])
    with pytest.raises(ValueError, match="Key N10156 occurs 2 times in a table to be looked up"):
        enriched_flights(bronze({}), sources.weather(), twice, sources.airports())


def test_positions_of_keys_also_when_both_sides_have_nulls() -> None:
    among = pa.chunked_array([["b", None], ["a", None]])
    assert positions(pa.chunked_array([["a", None], ["c", "b"]]), among).to_pylist() == [2, None, None, 0]


def test_pairs_are_equal_exactly_when_both_parts_are() -> None:
    instants = [datetime(2013, 1, 1, hour, tzinfo=UTC) for hour in range(3)]
    known = pa.array(["EWR", "JFK", "LGA"])
    rows = [(text, instant) for text in ("EWR", "JFK", "LGA", "XXX", None) for instant in (*instants, None)]
    keys = pair(
        pa.chunked_array([[text for text, _ in rows]]), pa.chunked_array([pa.array([instant for _, instant in rows], HOUR)]), known
    ).to_pylist()
    whole = [key for key, (text, instant) in zip(keys, rows, strict=True) if text in {"EWR", "JFK", "LGA"} and instant]
    assert len(set(whole)) == 9
    assert [key for key, (text, instant) in zip(keys, rows, strict=True) if text in {"XXX", None} or not instant] == [None] * 11


def test_bronze_refuses_flights_of_another_month() -> None:
    raw = bronze({}, {"month": 2, "day": 5}, {"month": 2})
    with pytest.raises(
        ValueError,
        match=r"2 raw flights are not of 2013-01, the first is \{'year': 2013, 'month': 2, 'day': 5, 'carrier': 'UA', 'flight': 1545\}",
    ):
        flights_of_month(raw, "2013-01")
