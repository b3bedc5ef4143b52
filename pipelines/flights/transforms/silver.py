"""Silver: flights with moments in place of clock readings, what became of them, and what is known of weather, plane and destination.

One row for every bronze flight, by scheduled departure, origin, carrier and flight number. Units stay those of the files: minutes, miles, °F,
percent, degrees, miles per hour, inches, millibar.

What became of a flight is read from what is missing, for the files do not say it. No `dep_time`: it was cancelled. A `dep_time` but no
`arr_delay`: it left and did not arrive as scheduled, because it was diverted, turned back or was cancelled at the gate; `diverted` means all
three. Whether a lookup found something is a column of its own (`weather_known`, `plane_known`, `dest_known`), because a row that was found may
hold nulls; `plane_known` is null where the flight has no tail number to look up.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.flights.transforms import clock, lookup

_ORDER = [("scheduled_departure", "ascending"), ("origin", "ascending"), ("carrier", "ascending"), ("flight", "ascending")]


def enriched_flights(flights: pa.Table, weather: pa.Table, planes: pa.Table, airports: pa.Table) -> pa.Table:
    """Bronze flights, typed, flagged and joined; see the module for what the columns mean.

    Args:
        flights: bronze flights of one month (or any number of them).
        weather: hourly weather by origin and `time_hour`, covering the same time.
        planes: planes by `tailnum`.
        airports: airports by `faa`.

    Raises:
        ValueError: weather, planes or airports have two rows for one key.
    """
    flights = flights.sort_by([("time_hour", "ascending"), ("minute", "ascending"), *_ORDER[1:]])
    date = clock.calendar_date(flights["year"], flights["month"], flights["day"])
    scheduled = clock.later(flights["time_hour"], flights["minute"])
    destination = lookup.positions(flights["dest"], airports["faa"])
    zone = airports["tzone"].take(destination)
    scheduled_arrival = clock.next_showing(scheduled, clock.minute_of_day(flights["sched_arr_time"]), zone)
    cancelled = pc.is_null(flights["dep_time"])
    columns = {
        "date": date,
        "scheduled_departure": scheduled,
        "scheduled_departure_local": clock.later(date.cast(clock.WALL_CLOCK), clock.minute_of_day(flights["sched_dep_time"])),
        "departed_at": clock.later(scheduled, flights["dep_delay"]),
        "scheduled_arrival": scheduled_arrival,
        "arrived_at": clock.later(scheduled_arrival, flights["arr_delay"]),
        **{
            name: flights[name]
            for name in ("carrier", "flight", "tailnum", "origin", "dest", "dep_delay", "arr_delay", "air_time", "distance")
        },
        "cancelled": cancelled,
        "diverted": pc.and_not(pc.is_null(flights["arr_delay"]), cancelled),
        **_weather(flights, weather),
        **_plane(flights, planes),
        "dest_known": pc.is_valid(destination),
        "dest_name": airports["name"].take(destination),
        "dest_zone": zone,
    }
    return pa.table(columns)


def _weather(flights: pa.Table, weather: pa.Table) -> dict[str, pa.ChunkedArray]:
    """The weather at the origin in the hour of scheduled departure."""
    origins = pc.unique(weather["origin"])
    key = lookup.pair(flights["origin"], flights["time_hour"], origins)
    found = lookup.positions(key, lookup.pair(weather["origin"], weather["time_hour"], origins))
    measured = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
    return {"weather_known": pc.is_valid(found), **{name: weather[name].take(found) for name in measured}}


def _plane(flights: pa.Table, planes: pa.Table) -> dict[str, pa.ChunkedArray]:
    """The plane with the flight's tail number."""
    found = lookup.positions(flights["tailnum"], planes["tailnum"])
    known = pc.if_else(pc.is_null(flights["tailnum"]), None, pc.is_valid(found))
    named = {"plane_year": "year", "plane_manufacturer": "manufacturer", "plane_model": "model", "plane_seats": "seats"}
    return {"plane_known": known, **{name: planes[source].take(found) for name, source in named.items()}}
