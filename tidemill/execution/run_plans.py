"""The plan that a run executes: made when the run starts, or made before and saved. And its tranches, one after another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tidemill.definitions.policies import RetryPolicy
from tidemill.errors import DefinitionError, InvalidKey, NotFound, PlanError
from tidemill.execution.planning import make_plan
from tidemill.execution.runs import PlanRecord
from tidemill.execution.runtime import Runtime
from tidemill.execution.saved import PlanDrifted, find_plan, refuse_drifted
from tidemill.model.keys import AssetKey, RunId
from tidemill.plan.build import refuse_blocked
from tidemill.plan.plan import PlannedAsset
from tidemill.plan.tranche import Tranche

REFUSED = (PlanError, PlanDrifted, DefinitionError, InvalidKey, NotFound)
"""What ends a run before it has a plan. Not found: the branch or the saved plan is gone."""


def plan_run(runtime: Runtime, run: RunId) -> PlanRecord:
    """The plan of a run: settled when first asked for, read ever after, so a repeated activity answers the same.

    Raises:
        PlanError: the request cannot be planned, or a unit's input has no version.
        PlanDrifted: it is to execute a saved plan, and something has changed since that was made.
        NotFound: its branch, or the saved plan, does not exist.
    """
    record = runtime.runs.plan(run)
    if record is None:
        request = runtime.runs.request(run)
        plan = refuse_drifted(runtime, find_plan(runtime, request.plan)) if request.plan else make_plan(runtime, request)
        refuse_blocked(plan)
        used = {unit.asset for unit in plan.units if unit.action.executes}
        runtime.codes.record(runtime.graph.assets[AssetKey(plan.assets[each].key)].code for each in sorted(used))
        address = request.plan or runtime.plans.put(plan)
        record = runtime.runs.start(run, PlanRecord(plan=address, started_at=runtime.now()))
    runtime.listener.started(run)
    return record


def open_tranche(runtime: Runtime, run: RunId, plan: str, number: int) -> Tranche:
    """A tranche of a run, with everything it needs of the tranches before."""
    head = runtime.plans.head(plan)
    return runtime.plans.tranche(plan, number, retry_policies(runtime, head.assets), lambda tranches: runtime.runs.outcomes(run, tranches))


def retry_policies(runtime: Runtime, planned: Iterable[PlannedAsset]) -> Mapping[str, RetryPolicy | None]:
    """The retry policy of every planned asset; None for one that is no longer defined."""
    assets = runtime.graph.assets
    return {asset.key: assets[key].retry if (key := AssetKey(asset.key)) in assets else None for asset in planned}
