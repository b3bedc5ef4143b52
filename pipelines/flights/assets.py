"""The pipeline as assets: what is made from what, month by month. The work is in `transforms` and `sql`, the files in `sources`."""

from __future__ import annotations

import pyarrow as pa

from pipelines.flights import sources
from pipelines.flights.transforms.bronze import flights_of_month
from pipelines.flights.transforms.delay_report import delay_report
from pipelines.flights.transforms.route_day import route_days
from pipelines.flights.transforms.silver import enriched_flights
from tidemill import AssetContext, MonthlyPartitions, asset, external_asset, sql_asset

MONTHS = MonthlyPartitions(start="2013-01", end="2014-01", timezone="America/New_York")
"""A flight belongs to the month in which it was scheduled to leave, on the clock in New York."""


@external_asset(key="raw.flights", partitions=MONTHS)
def raw_flights(context: AssetContext) -> pa.Table:
    """Every flight that was scheduled to leave New York in 2013, as the Bureau of Transportation Statistics published it."""
    return sources.flights(context.partition_key)


@external_asset(key="raw.weather")
def raw_weather() -> pa.Table:
    """Hourly weather at Newark, Kennedy and La Guardia in 2013."""
    return sources.weather()


@external_asset(key="raw.planes")
def raw_planes() -> pa.Table:
    """Aircraft by tail number, from the register of the Federal Aviation Administration."""
    return sources.planes()


@external_asset(key="raw.airports")
def raw_airports() -> pa.Table:
    """Airports by FAA code."""
    return sources.airports()


@external_asset(key="raw.airlines")
def raw_airlines() -> pa.Table:
    """Airlines by carrier code."""
    return sources.airlines()


@asset(key="bronze.flights", partitions=MONTHS)
def bronze_flights(context: AssetContext, raw_flights: pa.Table) -> pa.Table:
    """The raw flights as they came, kept for good."""
    return flights_of_month(raw_flights, context.partition_key)


@asset(key="silver.flights", partitions=MONTHS)
def silver_flights(bronze_flights: pa.Table, raw_weather: pa.Table, raw_planes: pa.Table, raw_airports: pa.Table) -> pa.Table:
    """Flights with moments in place of clock readings, cancelled and diverted ones flagged, with weather, plane and destination."""
    return enriched_flights(bronze_flights, raw_weather, raw_planes, raw_airports)


carrier_month = sql_asset(
    key="gold.carrier_month",
    sql="sql/carrier_month.sql",
    inputs={"flights": "silver.flights"},
    partitions=MONTHS,
    description="Each airline's month: flights, delays, punctuality, planes and destinations.",
)

airport_delay = sql_asset(
    key="gold.airport_delay",
    sql="sql/airport_delay.sql",
    inputs={"flights": "silver.flights"},
    partitions=MONTHS,
    description="Delays at each New York airport by hour of the day, in wet and in dry weather.",
)


@asset(key="gold.route_day", partitions=MONTHS)
def route_day(silver_flights: pa.Table) -> pa.Table:
    """What happened on each route on each day."""
    return route_days(silver_flights)


@asset(key="gold.delay_report")
def year_report(gold_carrier_month: pa.Table, gold_airport_delay: pa.Table, raw_airlines: pa.Table, raw_airports: pa.Table) -> pa.Table:
    """The year on one page: all flights, every airline, every New York airport."""
    return delay_report(gold_carrier_month, gold_airport_delay, raw_airlines, raw_airports)
