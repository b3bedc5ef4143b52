"""Gold: what happened on each route on each day."""

from __future__ import annotations

import pyarrow as pa

from pipelines.flights.transforms import measures

_KEY = ["date", "origin", "dest"]


def route_days(flights: pa.Table) -> pa.Table:
    """One row for every route and local day of scheduled departure, by date, origin and destination.

    Args:
        flights: silver flights.

    Returns:
        The key, `dest_name` (null if unknown), the measures of `measures.MEASURES`, their means, and the `worst_arr_delay` in minutes (null if
        no flight arrived).
    """
    days = measures.total(
        measures.of_flights(flights, [*_KEY, "dest_name", "arr_delay"]), _KEY, [("dest_name", "first"), ("arr_delay", "max")]
    )
    renamed = days.rename_columns({"dest_name_first": "dest_name", "arr_delay_max": "worst_arr_delay"})
    ordered = measures.with_means(renamed.select([*_KEY, "dest_name", *measures.MEASURES, "worst_arr_delay"]))
    return ordered.sort_by([(name, "ascending") for name in _KEY])
