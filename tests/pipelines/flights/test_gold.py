"""Gold: the SQL and the functions against the same sums done row by row in Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import date
from typing import Any

import pyarrow as pa

from pipelines.flights import sources
from pipelines.flights.transforms import measures
from pipelines.flights.transforms.delay_report import delay_report
from pipelines.flights.transforms.route_day import route_days

from .conftest import Year, run_sql, together

Row = dict[str, Any]


def grouped(flights: pa.Table, key: Callable[[Row], tuple[object, ...]]) -> dict[tuple[object, ...], list[Row]]:
    groups = defaultdict(list)
    for flight in flights.to_pylist():
        groups[key(flight)].append(flight)
    return dict(groups)


def measured(flights: list[Row]) -> Row:
    departures = [flight["dep_delay"] for flight in flights if flight["dep_delay"] is not None]
    arrivals = [flight["arr_delay"] for flight in flights if flight["arr_delay"] is not None]
    return {
        "flights": len(flights),
        "cancelled": sum(flight["departed_at"] is None for flight in flights),
        "diverted": sum(flight["departed_at"] is not None and flight["arr_delay"] is None for flight in flights),
        "departed": len(departures),
        "arrived": len(arrivals),
        "on_time": sum(minutes < 15 for minutes in arrivals),
        "dep_delay_total": sum(departures),
        "arr_delay_total": sum(arrivals),
        "distance_total": sum(flight["distance"] for flight in flights),
    }


def mean(values: list[int]) -> float | None:
    return sum(values) / len(values) if values else None


def test_carrier_month(year: Year) -> None:
    groups = grouped(
        year.silver["2013-02"].select(["carrier", "tailnum", "dest", "departed_at", "dep_delay", "arr_delay", "distance"]),
        lambda flight: (flight["carrier"],),
    )
    assert year.carrier_month["2013-02"].to_pylist() == [
        {
            "month": "2013-02",
            "carrier": carrier,
            **measured(flights),
            "mean_dep_delay": mean([flight["dep_delay"] for flight in flights if flight["dep_delay"] is not None]),
            "mean_arr_delay": mean([flight["arr_delay"] for flight in flights if flight["arr_delay"] is not None]),
            "on_time_share": measured(flights)["on_time"] / measured(flights)["arrived"],
            "planes": len({flight["tailnum"] for flight in flights} - {None}),
            "destinations": len({flight["dest"] for flight in flights}),
        }
        for (carrier,), flights in sorted(groups.items())
    ]


def test_airport_delay(year: Year) -> None:
    columns = ["origin", "scheduled_departure_local", "precip", "departed_at", "dep_delay", "arr_delay", "distance"]
    groups = grouped(year.silver["2013-11"].select(columns), lambda flight: (flight["origin"], flight["scheduled_departure_local"].hour))

    def delays(flights: list[Row], wet: Callable[[float | None], bool]) -> list[int]:
        return [flight["dep_delay"] for flight in flights if flight["dep_delay"] is not None and wet(flight["precip"])]

    assert year.airport_delay["2013-11"].to_pylist() == [
        {
            "month": "2013-11",
            "origin": origin,
            "hour": hour,
            **measured(flights),
            "mean_dep_delay": mean(delays(flights, lambda _: True)),
            "departed_wet": len(delays(flights, lambda precip: precip is not None and precip > 0)),
            "mean_dep_delay_wet": mean(delays(flights, lambda precip: precip is not None and precip > 0)),
            "mean_dep_delay_dry": mean(delays(flights, lambda precip: precip == 0)),
        }
        for (origin, hour), flights in sorted(groups.items())
    ]


def test_route_day(year: Year) -> None:
    columns = ["date", "origin", "dest", "dest_name", "departed_at", "dep_delay", "arr_delay", "distance"]
    groups = grouped(year.silver["2013-09"].select(columns), lambda flight: (flight["date"], flight["origin"], flight["dest"]))
    expected = []
    for (day, origin, dest), flights in sorted(groups.items()):
        arrivals = [flight["arr_delay"] for flight in flights if flight["arr_delay"] is not None]
        totals = measured(flights)
        expected.append(
            {
                "date": day,
                "origin": origin,
                "dest": dest,
                "dest_name": flights[0]["dest_name"],
                **totals,
                "worst_arr_delay": max(arrivals, default=None),
                "mean_dep_delay": mean([flight["dep_delay"] for flight in flights if flight["dep_delay"] is not None]),
                "mean_arr_delay": mean(arrivals),
                "on_time_share": totals["on_time"] / totals["arrived"] if arrivals else None,
            }
        )
    assert year.route_day["2013-09"].to_pylist() == expected


def test_a_route_on_which_nothing_flew_has_counts_but_no_means(year: Year) -> None:
    storm = year.route_day["2013-02"].to_pylist()
    grounded = [row for row in storm if row["date"] == date(2013, 2, 9) and row["departed"] == 0]
    assert grounded
    assert all(row["mean_dep_delay"] is None and row["worst_arr_delay"] is None and row["cancelled"] == row["flights"] for row in grounded)


def test_gold_of_a_month_without_flights_is_empty_and_of_the_same_schema(year: Year) -> None:
    nothing = year.silver["2013-01"].slice(0, 0)
    for made, usual in (
        (run_sql("carrier_month", nothing), year.carrier_month),
        (run_sql("airport_delay", nothing), year.airport_delay),
        (route_days(nothing), year.route_day),
    ):
        assert made.num_rows == 0
        assert made.schema == usual["2013-01"].schema


def test_sql_and_functions_share_one_definition_of_on_time(year: Year) -> None:
    assert measures.ON_TIME_MINUTES == 15
    for month in sources.MONTHS:
        by_route, by_carrier = (sum(table["on_time"].to_pylist()) for table in (year.route_day[month], year.carrier_month[month]))
        assert by_route == by_carrier


def test_the_report_adds_up_the_months(year: Year) -> None:
    everything = together(year.silver)
    columns = [everything[name].to_pylist() for name in ("carrier", "origin", "dep_delay", "arr_delay", "distance")]
    expected: dict[tuple[str, str], Counter[str]] = defaultdict(lambda: Counter(dict.fromkeys(measures.MEASURES, 0)))
    for carrier, origin, dep_delay, arr_delay, distance, departed in zip(
        *columns, everything["departed_at"].is_valid().to_pylist(), strict=True
    ):
        for scope in (("all", "all"), ("carrier", carrier), ("origin", origin)):
            sums = expected[scope]
            sums["flights"] += 1
            sums["distance_total"] += distance
            sums["cancelled"] += not departed
            sums["diverted"] += departed and arr_delay is None
            if dep_delay is not None:
                sums["departed"] += 1
                sums["dep_delay_total"] += dep_delay
            if arr_delay is not None:
                sums["arrived"] += 1
                sums["arr_delay_total"] += arr_delay
                sums["on_time"] += arr_delay < 15
    rows = year.report.to_pylist()
    assert {(row["scope"], row["code"]): {name: row[name] for name in measures.MEASURES} for row in rows} == expected
    assert [(row["scope"], row["code"]) for row in rows] == sorted(expected)


def test_the_report_names_the_worst_month(year: Year) -> None:
    by_month = {row["month"]: row["mean_arr_delay"] for row in together(year.carrier_month).to_pylist() if row["carrier"] == "EV"}
    report = {(row["scope"], row["code"]): row["worst_month"] for row in year.report.to_pylist()}
    assert report["carrier", "EV"] == max(by_month, key=lambda month: by_month[month])
    assert report["all", "all"] == "2013-07"


def test_the_order_of_the_months_does_not_matter_to_the_report(year: Year) -> None:
    carrier_month, airport_delay = (pa.concat_tables(list(months.values())[::-1]) for months in (year.carrier_month, year.airport_delay))
    assert delay_report(carrier_month, airport_delay, sources.airlines(), sources.airports()).equals(year.report)


def test_an_unknown_airline_keeps_its_row_without_a_name(year: Year) -> None:
    report = delay_report(together(year.carrier_month), together(year.airport_delay), sources.airlines().slice(1), sources.airports())
    assert {row["code"]: row["name"] for row in report.to_pylist() if row["name"] is None} == {"9E": None}


def test_a_report_of_nothing_is_empty(year: Year) -> None:
    nothing = delay_report(
        together(year.carrier_month).slice(0, 0), together(year.airport_delay).slice(0, 0), sources.airlines(), sources.airports()
    )
    assert (nothing.num_rows, nothing.schema) == (0, year.report.schema)
