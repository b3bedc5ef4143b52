"""Gold: the year on one page, by airline and by New York airport, from the months."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.flights.transforms import lookup, measures


def delay_report(carrier_month: pa.Table, airport_delay: pa.Table, airlines: pa.Table, airports: pa.Table) -> pa.Table:
    """First one row for all flights (`scope` is `all`), then one for every airline (`carrier`), then one for every origin (`origin`), each by code.

    Args:
        carrier_month: measures by `month` and `carrier`, all months together.
        airport_delay: measures by `month`, `origin` and `hour`, all months together.
        airlines: names by `carrier`.
        airports: names by `faa`.

    Returns:
        `scope`, `code`, `name` (null if unknown), the measures and means of the whole time, and `worst_month`: the one with the greatest
        mean arrival delay, the earlier of two; null if nothing ever arrived.

    Raises:
        ValueError: airlines or airports have two rows for one code.
    """
    everything = carrier_month.set_column(carrier_month.column_names.index("carrier"), "carrier", pa.repeat("all", carrier_month.num_rows))
    everything_name = pa.table({"code": ["all"], "name": ["All flights"]})
    return pa.concat_tables(
        [
            _scope("all", everything, "carrier", everything_name),
            _scope("carrier", carrier_month, "carrier", airlines.rename_columns({"carrier": "code"})),
            _scope("origin", airport_delay, "origin", airports.select(["faa", "name"]).rename_columns({"faa": "code"})),
        ]
    )


def _scope(scope: str, rows: pa.Table, column: str, names: pa.Table) -> pa.Table:
    """The report's rows for one kind of thing, by code."""
    rows = rows.rename_columns({column: "code"})
    totals = measures.with_means(measures.total(rows, ["code"])).sort_by("code")
    code = totals["code"]
    name = names["name"].take(lookup.positions(code, names["code"]))
    worst = _worst_months(rows)
    worst_month = worst["month"].take(lookup.positions(code, worst["code"]))
    table = totals.drop_columns("code").append_column("worst_month", worst_month)
    for head, values in (("name", name), ("code", code), ("scope", pa.repeat(scope, totals.num_rows))):
        table = table.add_column(0, head, values)
    return table


def _worst_months(rows: pa.Table) -> pa.Table:
    """Each code once, with its month of greatest mean arrival delay."""
    months = measures.with_means(measures.total(rows, ["code", "month"]))
    months = months.filter(pc.is_valid(months["mean_arr_delay"]))
    ordered = months.sort_by([("code", "ascending"), ("mean_arr_delay", "descending"), ("month", "ascending")])
    return ordered.group_by("code", use_threads=False).aggregate([("month", "first")]).rename_columns({"month_first": "month"})
