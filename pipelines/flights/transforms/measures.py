"""What is counted of flights, in whole numbers: so totals of totals are exact in any order, and means are divided once, at the end."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

ON_TIME_MINUTES = 15
"""A flight that arrives less than this late is on time, as the US Department of Transportation counts."""

MEASURES: tuple[str, ...] = (
    "flights",
    "cancelled",
    "diverted",
    "departed",
    "arrived",
    "on_time",
    "dep_delay_total",
    "arr_delay_total",
    "distance_total",
)
"""Counts of flights; minutes late in all, over those that departed or arrived (early ones count less than nothing); miles of all flights, flown or not."""


def of_flights(flights: pa.Table, keep: Sequence[str]) -> pa.Table:
    """Every silver flight as a row of measures, with the columns to keep."""
    rows: dict[str, pa.ChunkedArray | pa.Array] = {name: flights[name] for name in keep}
    rows["flights"] = pa.repeat(pa.scalar(1, pa.int64()), flights.num_rows)
    rows["cancelled"] = flights["cancelled"].cast(pa.int64())
    rows["diverted"] = flights["diverted"].cast(pa.int64())
    rows["departed"] = pc.is_valid(flights["dep_delay"]).cast(pa.int64())
    rows["arrived"] = pc.is_valid(flights["arr_delay"]).cast(pa.int64())
    rows["on_time"] = pc.fill_null(pc.less(flights["arr_delay"], ON_TIME_MINUTES), False).cast(pa.int64())
    rows["dep_delay_total"] = pc.fill_null(flights["dep_delay"], 0).cast(pa.int64())
    rows["arr_delay_total"] = pc.fill_null(flights["arr_delay"], 0).cast(pa.int64())
    rows["distance_total"] = flights["distance"].cast(pa.int64())
    return pa.table(rows)


def total(rows: pa.Table, key: Sequence[str], more: Sequence[tuple[str, str]] = ()) -> pa.Table:
    """The measures summed over all rows with the same key, in order of first appearance; `more` are further (column, aggregate) pairs."""
    sums = rows.group_by(list(key), use_threads=False).aggregate([*((name, "sum") for name in MEASURES), *more])
    return sums.rename_columns([name.removesuffix("_sum") for name in sums.column_names])


def with_means(totals: pa.Table) -> pa.Table:
    """The same with `mean_dep_delay` and `mean_arr_delay` in minutes and `on_time_share` of those that arrived; null where there is nothing to divide by."""
    for name, above, below in (
        ("mean_dep_delay", "dep_delay_total", "departed"),
        ("mean_arr_delay", "arr_delay_total", "arrived"),
        ("on_time_share", "on_time", "arrived"),
    ):
        divisor = pc.if_else(pc.equal(totals[below], 0), None, totals[below])
        totals = totals.append_column(name, pc.divide(totals[above].cast(pa.float64()), divisor.cast(pa.float64())))
    return totals
