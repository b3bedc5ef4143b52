"""Running the query of a SQL asset: DuckDB in memory over Arrow tables, one connection and one thread for each call.

The query sees its inputs and its parameters and nothing else: no files, no network, no variables of this program. One thread and kept
insertion order make the result depend on the inputs alone; the session's time zone is UTC wherever it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tidemill.errors import MissingExtra, TidemillError


class QueryFailed(TidemillError):
    """A query that DuckDB refused or could not finish."""

    code = "query-failed"


def run_sql(sql: str, tables: Mapping[str, pa.Table], parameters: Mapping[str, Any]) -> pa.Table:
    """Runs one query.

    Args:
        sql: one statement that yields rows.
        tables: the inputs, by table name.
        parameters: a value for every `$name` in the query, and no others.

    Returns:
        The rows, in the order the query gives them.

    Raises:
        QueryFailed: DuckDB's own words in one sentence.
    """
    try:
        import duckdb  # noqa: PLC0415 - loading it costs 50 ms that only SQL assets should pay
    except ImportError as error:
        raise MissingExtra("A SQL asset", "duckdb") from error
    connection = duckdb.connect(":memory:", config={"threads": "1", "enable_external_access": "false"})
    try:
        connection.execute(
            "SET TimeZone = 'UTC'; SET preserve_insertion_order = true; SET python_enable_replacements = false; SET lock_configuration = true"
        )
        for name, table in tables.items():
            connection.register(name, table)
        relation = connection.sql(sql, params=dict(parameters)) if parameters else connection.sql(sql)
        if relation is None:
            raise QueryFailed("The query yields no rows.", hint="Write one SELECT.")
        return relation.to_arrow_table()
    except duckdb.Error as error:
        raise QueryFailed(f"DuckDB refused the query: {_first_sentence(str(error))}", hint=_hint(str(error), tables)) from None
    finally:
        connection.close()


def _first_sentence(text: str) -> str:
    """DuckDB's message without the echo of the query."""
    lines = [line.strip() for line in text.strip().splitlines()]
    head = " ".join(line for line in lines[: next((i for i, line in enumerate(lines) if line.startswith("LINE ")), len(lines))] if line)
    return head if head.endswith((".", "!", "?")) else f"{head}."


def _hint(text: str, tables: Mapping[str, pa.Table]) -> str:
    if "Table with name" in text:
        return f"It can read {', '.join(f'`{name}`' for name in sorted(tables))}." if tables else "The asset declares no inputs."
    return ""
