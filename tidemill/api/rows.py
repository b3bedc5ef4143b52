"""Arrow rows as JSON values."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from tidemill.api.errors import NotAcceptable


def to_rows(table: pa.Table) -> tuple[dict[str, Any], ...]:
    """The rows as JSON values, column names as keys.

    What Python cannot hold exactly (nanoseconds, years beyond 9999) becomes Arrow's own text.

    Raises:
        NotAcceptable: a nested column holds such values.
    """
    names = table.column_names
    columns = [_values(name, column) for name, column in zip(names, table.columns, strict=True)]
    return tuple(dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))


def _values(name: str, column: pa.ChunkedArray) -> list[Any]:
    if _is_text_anyway(column.type):
        return [None if text is None else text.replace(" ", "T", 1) for text in column.cast(pa.string()).to_pylist()]
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):
        pass
    try:
        return list(column.cast(pa.string()).to_pylist())
    except pa.ArrowException:
        raise NotAcceptable("application/json", [f"application/vnd.apache.parquet (column {name} holds values that JSON cannot)"]) from None


def _is_text_anyway(kind: pa.DataType) -> bool:
    """Nanoseconds do not fit into Python's instants and times."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_time64(kind)) and bool(kind.unit == "ns")
