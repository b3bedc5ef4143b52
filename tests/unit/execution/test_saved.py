"""Saved plans: exactly what was planned is executed, or everything that has changed is named and nothing starts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from tests.unit.execution.test_local import NOW, Project, by_asset
from tidemill import Definitions, StaticPartitions, asset
from tidemill.catalog.gc import collect
from tidemill.errors import NotFound
from tidemill.execution.collecting import held_by_runs
from tidemill.execution.local import apply_local
from tidemill.execution.planning import make_plan
from tidemill.execution.run_plans import plan_run
from tidemill.execution.runtime import Runtime
from tidemill.execution.saved import KEPT, PlanDrifted, SavedPlan, find_plan, refuse_drifted, request_of, save_plan
from tidemill.model.keys import run_id
from tidemill.model.runs import RunRequest, RunResult, RunStatus
from tidemill.plan.build import InputMissing

_runs = itertools.count(1)


def saved(project: Project, selection: str = "*", **request: Any) -> SavedPlan:
    runtime = project.runtime()
    asked = RunRequest(run_id="plan", selection=selection, requested_at=NOW, **request)
    return save_plan(runtime, make_plan(runtime, asked), planned_at=NOW, author="ada")


def applied(project: Project, plan: SavedPlan) -> RunResult:
    runtime = project.runtime()
    request = request_of(runtime, plan, run=f"saved-{next(_runs)}", author="bob", reason="", now=NOW)
    return apply_local(runtime, request, threads=2)


def drifts(project: Project, plan: SavedPlan) -> list[tuple[str, str, str]]:
    with pytest.raises(PlanDrifted) as refused:
        applied(project, plan)
    return [(each.kind, each.name, each.detail) for each in refused.value.drifts]


@pytest.fixture
def project() -> Project:
    return Project()


def test_a_saved_plan_is_executed_exactly(project: Project) -> None:
    plan = saved(project, "+silver.sums", partitions="2025-01", parameters={})
    result = applied(project, plan)
    assert (result.status, result.plan) == (RunStatus.SUCCEEDED, plan.plan)
    assert {asset: each.succeeded for asset, each in by_asset(result).items()} == {"bronze.orders": 1, "silver.sums": 1}


def test_equal_plans_are_one_plan_and_its_first_digits_are_enough(project: Project) -> None:
    first, again = saved(project), saved(project)
    assert first == again
    assert find_plan(project.runtime(), first.plan[:6]) == first
    other = saved(project, "bronze.orders")
    assert other.plan != first.plan
    for text in ("0" * 64, "xyz", first.plan[:5], "../plans"):
        with pytest.raises(NotFound):
            find_plan(project.runtime(), text)


def test_an_executed_plan_does_not_fit_any_more_and_the_run_is_named(project: Project) -> None:
    plan = saved(project, "bronze.orders", partitions="2025-01")
    run = applied(project, plan).run_id
    detail = f"its entry in the catalog moved: run `{run}` (bob) changed it in commit 1"
    assert drifts(project, plan) == [("catalog", "bronze.orders@2025-01", detail)]


def change_source(project: Project) -> None:
    project.rows["2025-02"].append(10)


def change_code(project: Project) -> None:
    project.report_version = "2"


def change_query(project: Project) -> None:
    project.sum_sql = "SELECT 2 * sum(n)::BIGINT AS total FROM orders"


def lose_source(project: Project) -> None:
    del project.rows["2025-03"]


def run_elsewhere(project: Project) -> None:
    project.run("silver.sums+", parameters={"factor": 7})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (change_source, {("source", "raw.orders@2025-02")}),
        (change_code, {("code", "gold.report")}),
        (change_query, {("code", "silver.sums")}),
        (lose_source, {("source", "*")}),
        (run_elsewhere, {("catalog", "gold.report")}),
    ],
)
def test_whatever_changes_is_named_and_nothing_runs(
    project: Project, change: Callable[[Project], None], expected: set[tuple[str, str]]
) -> None:
    project.run()
    plan = saved(project, rerun=True)
    change(project)
    project.calls.clear()
    head = project.runtime().catalog.head().number
    assert {(kind, name) for kind, name, _ in drifts(project, plan)} == expected
    assert (project.calls, project.runtime().catalog.head().number) == ([], head)


def test_an_input_from_outside_the_plan_that_moved_is_named(project: Project) -> None:
    project.run()
    plan = saved(project, "gold.report", rerun=True)
    change_source(project)
    project.run("bronze.orders silver.sums".replace(" ", " or "))
    assert [(kind, name) for kind, name, _ in drifts(project, plan)] == [("catalog", "silver.sums@2025-02")]


class Shop:
    """Two assets whose declaration a test can change."""

    def __init__(self) -> None:
        self.base = Project()
        self.parts = ["a", "b"]
        self.default = 1
        self.names = ("shop.items", "shop.sum")

    def runtime(self) -> Runtime:
        items, total = self.names

        @asset(key=items, partitions=StaticPartitions(self.parts), code_version="1")
        def make() -> pa.Table:
            return pa.table({"n": [1]})

        @asset(key=total, parameters={"factor": self.default}, inputs={"items": items}, code_version="1")
        def add(context: Any, items: pa.Table) -> pa.Table:
            return pa.table({"n": [items.num_rows * context.parameters["factor"]]})

        return Runtime(self.base.store, lambda: Definitions([make, add]), project=self.base.runtime().project, now=lambda: NOW)


def test_definitions_that_changed_are_named() -> None:
    shop = Shop()
    runtime = shop.runtime()
    plan = save_plan(runtime, make_plan(runtime, RunRequest(run_id="plan", selection="*", requested_at=NOW)), planned_at=NOW)
    assert refuse_drifted(shop.runtime(), plan).counts()["run"] == 3

    def drifted() -> list[tuple[str, str]]:
        with pytest.raises(PlanDrifted) as refused:
            refuse_drifted(shop.runtime(), plan)
        return [(each.kind, each.name) for each in refused.value.drifts]

    shop.default = 2
    assert drifted() == [("parameter", "shop.sum")]
    shop.default, shop.parts = 1, ["a", "b", "c"]
    assert ("units", "shop.items@c") in drifted()
    shop.parts = ["a"]
    assert ("units", "shop.items@b") in drifted()
    shop.parts, shop.names = ["a", "b"], ("shop.things", "shop.sum")
    assert ("asset", "shop.items") in drifted()


def test_a_branch_that_is_gone_is_named(project: Project) -> None:
    project.run()
    catalog = project.runtime().catalog
    catalog.create_branch("trial", author="ada", reason="", at=NOW)
    plan = saved(project, branch="trial", rerun=True)
    catalog.delete_branch("trial", author="ada", reason="", at=NOW)
    assert [(kind, name) for kind, name, _ in drifts(project, plan)] == [("branch", "trial")]


def test_results_that_came_or_went_since_make_no_difference_but_the_one_it_takes_over_has_to_be_there(project: Project) -> None:
    project.run()
    project.run(parameters={"factor": 10})
    plan = saved(project)
    made = project.runtime().plans.read(plan.plan)
    assert made.counts() == {"run": 0, "reuse": 1, "skip": 6, "wait": 0, "blocked": 0}
    (entry,) = [unit.reuses for unit in made.units if unit.reuses is not None]
    project.store.delete(f"fingerprints/{entry.fingerprint[:2]}/{entry.fingerprint}")
    result = applied(project, plan)
    assert (result.status, by_asset(result)["gold.report"].reused) == (RunStatus.SUCCEEDED, 1)
    assert project.table("gold.report") == [{"total": 6}]
    plan = saved(project, parameters={"factor": 10})
    (entry,) = [unit.reuses for unit in project.runtime().plans.read(plan.plan).units if unit.reuses is not None]
    project.store.delete(f"objects/{entry.record[:2]}/{entry.record}")
    assert ("result", "*") in [(kind, name) for kind, name, _ in drifts(project, plan)]


def test_the_plan_of_a_run_under_way_is_not_collected(project: Project) -> None:
    runtime = project.runtime()
    request = RunRequest(run_id="r-1", selection="*", requested_at=NOW)
    runtime.runs.create(request)
    plan = plan_run(runtime, run_id("r-1")).plan
    needed = runtime.plans.addresses(plan) | {each.record for each in runtime.plans.read(plan).observations}
    assert len(needed) == 2 + 3
    assert needed <= set(collect(runtime.store, now=NOW, extra=(), dry_run=True).condemned)
    assert not needed & set(collect(runtime.store, now=NOW, extra=held_by_runs(runtime), dry_run=True).condemned)


def test_a_plan_with_units_that_cannot_run_is_saved_but_never_starts(project: Project) -> None:
    plan = saved(project, "silver.sums")
    assert project.runtime().plans.head(plan.plan).by_action()["blocked"] == 3
    with pytest.raises(InputMissing):
        applied(project, plan)


def test_a_saved_plan_is_not_collected_until_it_is_too_old(project: Project) -> None:
    project.run()
    project.run(parameters={"factor": 10})
    plan = saved(project)
    runtime = project.runtime()
    needed = runtime.plans.addresses(plan.plan)
    assert needed <= held_by_runs(runtime)
    assert not needed & set(collect(runtime.store, now=NOW, extra=held_by_runs(runtime), dry_run=True).condemned)
    assert needed <= set(collect(runtime.store, now=NOW, extra=(), dry_run=True).condemned)
    runtime.now = lambda: NOW + KEPT + timedelta(seconds=1)
    assert not needed & held_by_runs(runtime)
    with pytest.raises(NotFound, match="not kept any more"):
        find_plan(runtime, plan.plan)
