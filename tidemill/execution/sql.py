"""Running the query of a SQL asset: DuckDB in memory over Arrow tables, one cursor and one thread for each call.

The query sees its inputs and its parameters and nothing else: no files, no network, no variables of this program. One thread and kept
insertion order make the result depend on the inputs alone; the session's time zone is UTC wherever it runs. The database is shared by all
calls of a process, because opening one takes longer than a small query; a statement that could leave something behind in it is refused.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import duckdb
import pyarrow as pa

from tidemill.definitions.context import AssetContext
from tidemill.definitions.sql import SqlText, sql_parameters
from tidemill.execution.boundary import UserCodeFailed
from tidemill.model.keys import UnitKey
from tidemill.model.outcomes import ErrorInfo

_SETTINGS = """
    SET GLOBAL TimeZone = 'UTC';
    SET GLOBAL preserve_insertion_order = true;
    SET GLOBAL python_enable_replacements = false;
    SET lock_configuration = true
"""


def run_sql(sql: SqlText, tables: Mapping[str, pa.Table], context: AssetContext) -> pa.Table:
    """Runs the query of one unit.

    Args:
        sql: one statement that yields rows.
        tables: the inputs, by table name.
        context: the unit; gives a value to every `$name` in the query.

    Returns:
        The rows, in the order the query gives them.

    Raises:
        UserCodeFailed: the query was refused or could not be finished; DuckDB's own words in one sentence.
    """
    cursor = _database().cursor()
    try:
        statements = cursor.extract_statements(sql.text)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise _failed(sql, context, "it is not one SELECT", "Write one SELECT, or several joined by WITH or UNION.")
        for name, table in tables.items():
            cursor.register(name, table)
        relation = cursor.sql(sql.text, params=sql_parameters(sql, context)) if sql.parameters else cursor.sql(sql.text)
        return relation.to_arrow_table()
    except duckdb.Error as error:
        raise _failed(sql, context, _first_sentence(str(error)), _hint(str(error), tables)) from None
    finally:
        cursor.close()


@functools.cache
def _database() -> duckdb.DuckDBPyConnection:
    """The process's one database. Cursors of it are independent sessions that share nothing but the settings, which are locked."""
    database = duckdb.connect(":memory:", config={"threads": "1", "enable_external_access": "false"})
    database.execute(_SETTINGS)
    return database


def _failed(sql: SqlText, context: AssetContext, why: str, hint: str) -> UserCodeFailed:
    unit = UnitKey(context.asset_key, context.partition_key)
    query = f"The query `{sql.file}`" if sql.file else "The query"
    message = f"{query} of `{unit}` failed: {why.removesuffix('.')}."
    return UserCodeFailed(ErrorInfo(code="query-failed", message=message, hint=hint, retryable=False))


def _first_sentence(text: str) -> str:
    """DuckDB's message without the echo of the query."""
    lines = [line.strip() for line in text.strip().splitlines()]
    echo = next((index for index, line in enumerate(lines) if line.startswith("LINE ")), len(lines))
    return " ".join(line for line in lines[:echo] if line)


def _hint(text: str, tables: Mapping[str, pa.Table]) -> str:
    if "Table with name" not in text:
        return "Mend the query."
    return f"It can read {', '.join(f'`{name}`' for name in sorted(tables))}." if tables else "The asset declares no inputs."
