"""Right declarations type-check, wrong ones do not, and a decorated function keeps its signature."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROGRAM = """
from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pyarrow as pa

from tidemill import (
    AllPartitions, AssetContext, AssetSpec, Input, MonthlyPartitions, Output, RetryPolicy, asset, external_asset, sql_asset
)

MONTHS = MonthlyPartitions(start="2013-01")


def version(context: AssetContext) -> str:
    return context.partition_key


@external_asset(key="raw.flights", partitions=MONTHS, observe=version)
def raw_flights(context: AssetContext) -> pa.Table:
    return pa.table({"month": [context.partition_key]})


@asset(partitions=MONTHS, parameters={"least": 3}, retry=RetryPolicy(max_attempts=2))
def silver(raw_flights: pa.Table) -> Output:
    return Output(raw_flights, {"rows": 1})


@asset
def merged(silver: Mapping[str, pa.Table]) -> int:
    return len(silver)


report = sql_asset(key="gold.report", sql="SELECT * FROM silver", inputs={"silver": Input(silver, AllPartitions())})

reveal_type(silver)
reveal_type(merged({}))
reveal_type(report)
MonthlyPartitions(start=2013)  # wrong: arg-type
RetryPolicy(3)  # wrong: call-arg
asset(key=1)  # wrong: call-overload
asset(grupo="a")  # wrong: call-overload
sql_asset(key="x", sql="SELECT 1")  # wrong: call-arg
Input(3)  # wrong: arg-type
merged(1)  # wrong: arg-type
merged()  # wrong: call-arg
external_asset(observe=3)  # wrong: arg-type
"""


def test_declarations_are_checked_by_mypy(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--no-pretty", "--no-error-summary", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert not done.stderr
    said = re.findall(r"program\.py:(\d+): (error|note): (.*)", done.stdout)
    lines = PROGRAM.splitlines()
    errors = {(int(line), text.rsplit("[", 1)[-1].removesuffix("]")) for line, kind, text in said if kind == "error"}
    expected = {(number, line.split("# wrong: ")[1]) for number, line in enumerate(lines, 1) if "# wrong: " in line}
    assert errors == expected, done.stdout
    revealed = [text for _, _, text in said if text.startswith("Revealed")]
    assert revealed == [
        'Revealed type is "tidemill.definitions.assets.AssetSpec[[raw_flights: Any], tidemill.definitions.context.Output]"',
        'Revealed type is "int"',
        'Revealed type is "tidemill.definitions.assets.AssetSpec[[*Any, **Any], Any]"',
    ]
