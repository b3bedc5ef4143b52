"""Planning as an effect: observe the sources, freeze the catalog, build the plan and store it."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.definitions.policies import RetryPolicy
from tidemill.execution.runs import PlanRecord
from tidemill.execution.runtime import Runtime
from tidemill.execution.sources import observe_source
from tidemill.model.keys import AssetKey, RunId, UnitKey
from tidemill.model.runs import RunRequest
from tidemill.plan.build import build_plan, refuse_blocked, required_observations, select_units
from tidemill.plan.plan import PinnedInput, Plan, plan_from_bytes


def make_plan(runtime: Runtime, request: RunRequest) -> Plan:
    """Plans a request against the head of the catalog. `request.requested_at` is the plan's now: it bounds open-ended partitions.

    Raises:
        PlanError: the request cannot be planned.
        SourceUnavailable: an external asset that it reads cannot be observed.
    """
    graph = runtime.graph
    now = request.requested_at
    units = select_units(graph, request.selection, request.partitions, now)
    observed: dict[UnitKey, PinnedInput] = {
        unit: observe_source(runtime, graph.assets[unit.asset], unit.partition) for unit in required_observations(graph, units, now)
    }
    return build_plan(graph, runtime.catalog.view(), units, observed, request)


def plan_run(runtime: Runtime, run: RunId) -> tuple[PlanRecord, Plan]:
    """The plan of a run: made and stored when first asked for, read ever after, so a repeated activity answers the same.

    Raises:
        PlanError: the request cannot be planned, or a unit's input has no version.
    """
    record = runtime.runs.plan(run)
    if record is None:
        plan = make_plan(runtime, runtime.runs.request(run))
        refuse_blocked(plan)
        record = runtime.runs.start(run, PlanRecord(plan=runtime.objects.put(plan.to_bytes()), started_at=runtime.now()))
    return record, read_plan(runtime, record.plan)


def read_plan(runtime: Runtime, address: str) -> Plan:
    """A stored plan."""
    return plan_from_bytes(runtime.objects.get(address))


def retry_policies(runtime: Runtime, plan: Plan) -> Mapping[str, RetryPolicy | None]:
    """The retry policy of every asset in the plan; None for one that is no longer defined."""
    assets = runtime.graph.assets
    return {asset.key: assets[key].retry if (key := AssetKey(asset.key)) in assets else None for asset in plan.assets}
