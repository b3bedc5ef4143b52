"""A claim serves every unit that is made from the same: the collector must not take what it names while one of them is there."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from tests.unit.catalog.world import NOON
from tidemill import Definitions, StaticPartitions, asset
from tidemill.catalog.gc import collect
from tidemill.catalog.verify import verify
from tidemill.execution import materialize, reusing
from tidemill.execution.checking import check_records
from tidemill.execution.collecting import held_by_runs
from tidemill.execution.local import apply_local
from tidemill.execution.runtime import Runtime
from tidemill.model.runs import RunRequest, RunStatus
from tidemill.storage.memory import MemoryStore

GRACE = timedelta(days=1)


@asset(key="a.n", partitions=StaticPartitions(["p", "q"]), code_version="1")
def same() -> pa.Table:
    return pa.table({"n": [1]})


@asset(key="b.n", code_version="1")
def other() -> pa.Table:
    return pa.table({"n": [1]})  # the same file, so that only the record is garbage


class World:
    """Two partitions that are made from the same, so that a claim is on both."""

    def __init__(self) -> None:
        self.store, self.now, self.runs = MemoryStore(), NOON, 0

    def runtime(self) -> Runtime:
        return Runtime(self.store, lambda: Definitions([same, other]), project=Path("/project"), now=lambda: self.now)

    def run(self, partition: str, branch: str = "main", *, asset: str = "a.n") -> RunStatus:
        self.runs += 1
        request = RunRequest(run_id=f"run-{self.runs}", selection=asset, partitions=partition, branch=branch, requested_at=self.now)
        return apply_local(self.runtime(), request).status

    def collect(self) -> list[str]:
        self.now += 2 * GRACE
        return list(collect(self.store, now=self.now, extra=held_by_runs(self.runtime()), grace=GRACE).deleted)

    def problem(self) -> object:
        return verify(self.store, rows=True, also=partial(check_records, now=self.now)).problem

    def on_a_branch_that_ends(self) -> None:
        """`p` is made on a branch, and the claim names its record; the branch ends."""
        runtime = self.runtime()
        self.run("*", asset="b.n")
        runtime.catalog.create_branch("trial", author="a", reason="r", at=self.now)
        assert self.run("p", "trial") is RunStatus.SUCCEEDED


def test_what_a_claim_names_stays_while_another_unit_was_made_from_the_same() -> None:
    world = World()
    world.on_a_branch_that_ends()
    assert world.run("q") is RunStatus.SUCCEEDED
    world.runtime().catalog.delete_branch("trial", author="a", reason="r", at=world.now)
    for _ in range(3):
        world.collect()
    assert world.problem() is None
    assert world.run("p") is RunStatus.SUCCEEDED
    assert world.problem() is None


def test_what_is_taken_over_while_it_is_swept_keeps_its_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep comes right after a run has looked for an earlier result, found a condemned one, and before it has written down what it did."""
    world = World()
    world.on_a_branch_that_ends()
    world.runtime().catalog.delete_branch("trial", author="a", reason="r", at=world.now)
    world.collect()  # condemns what only the branch reached
    found = reusing.result_for

    def and_then_the_sweep(*args: object) -> object:
        answer = found(*args)  # type: ignore[arg-type]
        swept = world.collect()
        assert answer is None or not set(swept) & {answer[0].record}
        return answer

    monkeypatch.setattr(materialize, "result_for", and_then_the_sweep)
    monkeypatch.setattr("tidemill.execution.planning.Finder", lambda _catalog: lambda _candidates: {})
    assert world.run("q") in (RunStatus.SUCCEEDED, RunStatus.FAILED)
    monkeypatch.undo()
    assert world.problem() is None
    assert world.run("q") is RunStatus.SUCCEEDED
    assert world.run("p") is RunStatus.SUCCEEDED
    assert world.problem() is None
