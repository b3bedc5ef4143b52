"""Messages and records of every released version can still be read, and are still written the same: history is read by next month's deployment.

One JSON file for each version, kept for good. A change that breaks this test needs a new tag and a reader for the old one, not a new file.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tidemill.definitions.policies import RetryPolicy
from tidemill.execution.runs import CancelRecord, IdempotencyRecord, PlanRecord, TrancheRecord
from tidemill.messages.run import BuildPlan, CommitRun, MaterializeUnits, RecordTranche, RunInput
from tidemill.model.facts import Column, DataFile, Entry, InputVersion, Materialization, Observation
from tidemill.model.outcomes import Canceled, ErrorInfo, Failed, Skipped, Succeeded, Unchanged
from tidemill.model.runs import AssetResult, RunRequest, RunResult, RunStatus, UnitFailure
from tidemill.plan.plan import Action, PinnedInput, PlannedAsset, PlannedUnit, UnitInput
from tidemill.plan.stored import PlanHead, PlanSlice, SliceRef, Source
from tidemill.plan.tranche import Tranche, TrancheAsset, TrancheUnit, UnitWork

FOLDER = Path(__file__).parent
AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ENTRY = Entry(record="r" * 64, data_version="d" * 64, fingerprint="f" * 64)
PINNED = PinnedInput("in", "raw.a", "2013-01", "v1", "r" * 64, 0)
ERROR = ErrorInfo(code="user-code-failed", message="no", hint="mend", types=("ValueError",), stack="a.py:1", retryable=False)
OUTCOMES = (
    Succeeded(unit=0, entry=ENTRY, row_count=1, size_bytes=2, seconds=0.5, found=True, attempts=2),
    Unchanged(unit=1, entry=ENTRY),
    Failed(unit=2, error=ERROR, attempts=3),
    Skipped(unit=3, because=2),
    Canceled(unit=4),
)
TRANCHE = Tranche(
    number=1,
    rerun=False,
    assets={
        "a.b": TrancheAsset(
            key="a.b", code_version="c", parameters={"p": 1}, reads_partition=True, mapping_inputs=("in",), retry=RetryPolicy(), total=2
        )
    },
    units=(TrancheUnit(5, "a.b", "2013-01", (UnitInput("in", 4, 0),), (PINNED,), ENTRY, -1),),
    first_position=5,
    next_position=6,
)
EXAMPLES: dict[str, msgspec.Struct] = {
    "run_input": RunInput(run_id="r-1", tranche=TRANCHE, counts={"a.b": [2, 1, 0, 0, 0]}),
    "build_plan": BuildPlan(run_id="r-1"),
    "materialize_units": MaterializeUnits(
        run_id="r-1",
        step="0.1",
        attempt=1,
        asset="a.b",
        code_version="c",
        parameters={"p": 1},
        rerun=False,
        units=(UnitWork(5, "2013-01", "f" * 64, (PINNED,)),),
    ),
    "record_tranche": RecordTranche(run_id="r-1", number=0, next_position=5, outcomes=OUTCOMES),
    "commit_run": CommitRun(run_id="r-1"),
    "plan": PlanHead(
        selection="*",
        partitions="*",
        parameters={"p": 1},
        branch="main",
        base=3,
        snapshot="s" * 64,
        rerun=False,
        assets=(PlannedAsset(key="a.b", code_version="c", parameters={}, reads_partition=True, mapping_inputs=("in",)),),
        observations=(PINNED,),
        counts=((1, 1, 0, 0, 0),),
        starts=(0,),
        work=(SliceRef("w" * 64, 0, 0),),
        idle=(SliceRef("i" * 64, 1, 1),),
    ),
    "plan_slice": PlanSlice(
        ranges=((1000, 2),),
        units=(
            PlannedUnit(0, "2013-01", Action.WAIT, "an input runs first", (UnitInput("in", 4, 0),), (PINNED,), ENTRY),
            PlannedUnit(0, "2013-02", Action.REUSE, "made from exactly the same before", (), (PINNED,), None, ENTRY),
        ),
        sources=(Source(4, 0, "2012-12"),),
    ),
    "materialization": Materialization(
        asset="a.b",
        partition="2013-01",
        data_version="d" * 64,
        fingerprint="f" * 64,
        code_version="c",
        parameters={"p": 1},
        inputs=(InputVersion(name="in", asset="raw.a", partition="2013-01", data_version="v1", record="r" * 64),),
        files=(DataFile(sha256="0" * 64, size_bytes=10, row_count=1),),
        columns=(Column(name="n", type="int64", null_count=0, minimum=1, maximum=2),),
        row_count=1,
        size_bytes=10,
        run_id="r-1",
        metadata={"note": "x"},
    ),
    "observation": Observation(asset="raw.a", partition="2013-01", data_version="v1"),
    "run_request": RunRequest(run_id="r-1", selection="*", requested_at=AT),
    "run_plan": PlanRecord(plan="p" * 64, started_at=AT),
    "run_tranche": TrancheRecord(outcomes=OUTCOMES),
    "run_cancel": CancelRecord(author="ada", reason="no", requested_at=AT),
    "idempotency": IdempotencyRecord(run_id="r-1", request="q" * 64),
    "run_result": RunResult(
        run_id="r-1",
        status=RunStatus.FAILED,
        started_at=AT,
        finished_at=AT,
        plan="p" * 64,
        assets=(AssetResult(asset="a.b", succeeded=1),),
        failures=(UnitFailure(asset="a.b", partition="2013-01", attempts=1, error=ERROR),),
        error=ERROR,
    ),
}


@pytest.mark.parametrize("version", sorted(path.stem for path in FOLDER.glob("messages-*.json")))
@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_released_message_is_read_as_it_was_meant(version: str, name: str) -> None:
    stored: dict[str, Any] = msgspec.json.decode((FOLDER / f"{version}.json").read_bytes())
    assert msgspec.convert(stored[name], type(EXAMPLES[name])) == EXAMPLES[name]


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_what_is_written_today_is_what_the_last_release_wrote(name: str) -> None:
    last = max(FOLDER.glob("messages-*.json"))
    stored: dict[str, Any] = msgspec.json.decode(last.read_bytes())
    assert msgspec.json.decode(msgspec.json.encode(EXAMPLES[name])) == stored[name]
