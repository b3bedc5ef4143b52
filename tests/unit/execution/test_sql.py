"""SQL assets: what a query may do, what it may not, and that two queries never meet."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from tidemill import AssetContext
from tidemill.definitions.sql import SqlText
from tidemill.execution.boundary import UserCodeFailed
from tidemill.execution.sql import run_sql
from tidemill.model.keys import AssetKey, PartitionKey

CONTEXT = AssetContext(asset_key=AssetKey("gold.x"), partition_key=PartitionKey("2025-01"), parameters={"least": 2})
NUMBERS = pa.table({"n": [3, 1, 2]})


def refused(query: str) -> str:
    with pytest.raises(UserCodeFailed) as failure:
        run_sql(SqlText(query), {"numbers": NUMBERS}, CONTEXT)
    return f"{failure.value.error.message} {failure.value.error.hint}"


def test_a_query_sees_its_inputs_and_parameters_and_keeps_their_order() -> None:
    result = run_sql(SqlText("SELECT n, $partition AS month FROM numbers WHERE n >= $least"), {"numbers": NUMBERS}, CONTEXT)
    assert result.to_pydict() == {"n": [3, 2], "month": ["2025-01", "2025-01"]}


@pytest.mark.parametrize(
    "query",
    ["CREATE TABLE t AS SELECT 1", "SELECT 1; SELECT 2", "SET threads = 4", "COPY numbers TO 'x.csv'", "ATTACH 'x.db'", "INSTALL httpfs"],
)
def test_only_one_select_is_accepted(query: str) -> None:
    message = refused(query)
    assert message == "The query of `gold.x@2025-01` failed: it is not one SELECT. Write one SELECT, or several joined by WITH or UNION."


def test_files_and_variables_of_the_program_are_out_of_reach() -> None:
    secret = pa.table({"s": [1]})
    assert secret.num_rows == 1
    assert "secret" in refused("SELECT * FROM secret")
    assert "disabled" in refused("SELECT * FROM read_csv('/etc/passwd')")


def test_a_mistake_is_told_in_duckdbs_words_without_the_query() -> None:
    message = refused("SELECT m FROM numbers")
    assert message.startswith('The query of `gold.x@2025-01` failed: Binder Error: Referenced column "m" not found')
    assert "LINE" not in message


def test_queries_side_by_side_never_see_each_others_tables() -> None:
    def total(value: int) -> int:
        table = pa.table({"n": [value] * 1000})
        result: int = run_sql(SqlText("SELECT sum(n)::BIGINT AS total FROM numbers"), {"numbers": table}, CONTEXT)["total"][0].as_py()
        return result

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(total, range(200))) == [value * 1000 for value in range(200)]
    assert "numbers" in refused("SELECT * FROM other")
