"""Planning as an effect: observe the sources, freeze the catalog, build the plan and store it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.definitions.policies import RetryPolicy
from tidemill.execution.runs import PlanRecord
from tidemill.execution.runtime import Runtime
from tidemill.execution.sources import observe_source
from tidemill.model.keys import AssetKey, RunId, UnitKey
from tidemill.model.runs import RunRequest
from tidemill.plan.build import build_plan, refuse_blocked, required_observations, select_units
from tidemill.plan.plan import Action, PinnedInput, Plan, plan_from_bytes
from tidemill.plan.view import CatalogView


def make_plan(runtime: Runtime, request: RunRequest, *, view: CatalogView | None = None) -> Plan:
    """Plans a request. `request.requested_at` is the plan's now: it bounds open-ended partitions.

    Args:
        runtime: the definitions and the catalog.
        request: what is asked for.
        view: the state of the catalog to plan against; None is the present one.

    Raises:
        PlanError: the request cannot be planned.
        SourceUnavailable: an external asset that it reads cannot be observed.
    """
    units = select_units(runtime.graph, request.selection, request.partitions, request.requested_at)
    return plan_units(runtime, request, units, view=view)


def plan_units(runtime: Runtime, request: RunRequest, units: Sequence[UnitKey], *, view: CatalogView | None = None) -> Plan:
    """Plans exactly these units, which stand in topological order.

    Raises:
        SourceUnavailable: an external asset that they read cannot be observed.
        UnknownParameter: the request gives one that none of them declares.
    """
    graph, now = runtime.graph, request.requested_at
    observed: dict[UnitKey, PinnedInput] = {
        unit: observe_source(runtime, graph.assets[unit.asset], unit.partition) for unit in required_observations(graph, units, now)
    }
    return build_plan(graph, view or runtime.catalog.view(), units, observed, request)


def plan_run(runtime: Runtime, run: RunId) -> tuple[PlanRecord, Plan]:
    """The plan of a run: made and stored when first asked for, read ever after, so a repeated activity answers the same.

    Raises:
        PlanError: the request cannot be planned, or a unit's input has no version.
    """
    record = runtime.runs.plan(run)
    if record is None:
        plan = make_plan(runtime, runtime.runs.request(run))
        refuse_blocked(plan)
        used = {unit.asset for unit in plan.units if unit.action is not Action.REUSE}
        runtime.codes.record(runtime.graph.assets[AssetKey(plan.assets[each].key)].code for each in sorted(used))
        record = runtime.runs.start(run, PlanRecord(plan=runtime.objects.put(plan.to_bytes()), started_at=runtime.now()))
    return record, read_plan(runtime, record.plan)


def read_plan(runtime: Runtime, address: str) -> Plan:
    """A stored plan."""
    return plan_from_bytes(runtime.objects.get(address))


def retry_policies(runtime: Runtime, plan: Plan) -> Mapping[str, RetryPolicy | None]:
    """The retry policy of every asset in the plan; None for one that is no longer defined."""
    assets = runtime.graph.assets
    return {asset.key: assets[key].retry if (key := AssetKey(asset.key)) in assets else None for asset in plan.assets}
