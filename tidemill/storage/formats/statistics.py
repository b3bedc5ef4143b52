"""What is known of a table's columns without reading it again: type, nulls, smallest and largest value. Facts for plans, checks and people."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.model.facts import Column, JsonScalar

_TEXT_MAX = 256
"""Longer texts are not kept as bounds: a cut one would be no bound."""


def describe_columns(table: pa.Table) -> tuple[Column, ...]:
    """The facts about every top-level column, in order. Pure; equal values give equal facts, however they are held."""
    return tuple(_column(field, table.column(position)) for position, field in enumerate(table.schema))


def _column(field: pa.Field, values: pa.ChunkedArray) -> Column:
    minimum, maximum = _bounds(values)
    return Column(
        name=field.name,
        type=str(field.type),
        nullable=field.nullable,
        null_count=values.null_count,
        minimum=minimum,
        maximum=maximum,
    )


def _bounds(values: pa.ChunkedArray) -> tuple[JsonScalar, JsonScalar]:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if not _ordered(values.type) or values.null_count == len(values):
        return None, None
    if pa.types.is_string_view(values.type):
        values = values.cast(pa.large_string())
    if pa.types.is_timestamp(values.type) and values.type.unit == "ns":  # Python has no nanoseconds; bounds may be wider, never narrower
        return _outward(values)
    found = pc.min_max(values)
    return _json(found["min"].as_py()), _json(found["max"].as_py())


def _outward(values: pa.ChunkedArray) -> tuple[JsonScalar, JsonScalar]:
    """Bounds of nanosecond instants, rounded outward to microseconds."""
    coarse = pa.timestamp("us", values.type.tz)
    found = pc.min_max(values)
    low, high = (found[side].cast(pa.int64()).as_py() for side in ("min", "max"))
    return tuple(_json(pa.scalar(each, pa.int64()).cast(coarse).as_py()) for each in (low // 1000, -(-high // 1000)))  # type: ignore[return-value]


def _ordered(kind: pa.DataType) -> bool:
    is_ = pa.types
    return bool(
        is_.is_integer(kind)
        or is_.is_floating(kind)
        or is_.is_boolean(kind)
        or is_.is_decimal(kind)
        or is_.is_date(kind)
        or is_.is_timestamp(kind)
        or is_.is_string(kind)
        or is_.is_large_string(kind)
        or is_.is_string_view(kind)
    )


def _json(value: Any) -> JsonScalar:
    """A value as JSON; None for what JSON cannot say exactly."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case str():
            return value if len(value) <= _TEXT_MAX else None
        case bool() | int() | None:
            return value
        case decimal.Decimal():
            return str(value)
        case dt.datetime():
            if value.tzinfo is None:
                return value.isoformat()
            return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
        case dt.date():
            return value.isoformat()
        case _:
            return None
