"""Bronze: one month of raw flights as they came, kept for good. Nothing is mended here; what does not belong is refused."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def flights_of_month(raw: pa.Table, month: str) -> pa.Table:
    """The raw flights, unchanged and in their order.

    Args:
        raw: flights with the columns of the raw file.
        month: the month they have to be of, such as `2013-01`.

    Raises:
        ValueError: a flight is of another month.
    """
    year, number = (int(part) for part in month.split("-"))
    strangers = pc.or_(pc.not_equal(raw["year"], year), pc.not_equal(raw["month"], number))
    if pc.any(strangers).as_py():
        row = raw.slice(pc.index(strangers, True).as_py(), 1).select(["year", "month", "day", "carrier", "flight"]).to_pylist()[0]
        raise ValueError(f"{pc.sum(strangers)} raw flights are not of {month}, the first is {row}. Load each month's own flights.")
    return raw
