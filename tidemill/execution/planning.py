"""Planning as an effect: observe the sources, freeze the catalog, look for earlier results, build the plan."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tidemill.execution.reusing import Finder
from tidemill.execution.runtime import Runtime
from tidemill.execution.sources import observe_source
from tidemill.model.keys import UnitKey
from tidemill.model.runs import RunRequest
from tidemill.plan.build import Find, build_plan, required_observations, select_units
from tidemill.plan.plan import PinnedInput, Plan
from tidemill.plan.view import CatalogView


def make_plan(runtime: Runtime, request: RunRequest, *, view: CatalogView | None = None, find: Find | None = None) -> Plan:
    """Plans a request. `request.requested_at` is the plan's now: it bounds open-ended partitions.

    Args:
        runtime: the definitions and the catalog.
        request: what is asked for.
        view: the state of the catalog to plan against; None is the present one of the request's branch.
        find: looks for earlier results; None looks for claims in the store.

    Raises:
        PlanError: the request cannot be planned.
        SourceUnavailable: an external asset that it reads cannot be observed.
        NotFound: there is no such branch.
    """
    units = select_units(runtime.graph, request.selection, request.partitions, request.requested_at)
    return plan_units(runtime, request, units, view=view, find=find)


def plan_units(
    runtime: Runtime, request: RunRequest, units: Sequence[UnitKey], *, view: CatalogView | None = None, find: Find | None = None
) -> Plan:
    """Plans exactly these units, which stand in topological order. Arguments as `make_plan`.

    Raises:
        SourceUnavailable: an external asset that they read cannot be observed.
        UnknownParameter: the request gives one that none of them declares.
        NotFound: there is no such branch.
    """
    catalog = runtime.catalog_on(request.branch)
    frozen = view or catalog.view()
    observed = observe(runtime, units, request.requested_at)
    return build_plan(runtime.graph, frozen, units, observed, request, find or Finder(catalog))


def observe(runtime: Runtime, units: Sequence[UnitKey], now: datetime) -> dict[UnitKey, PinnedInput]:
    """The present version of every external unit that some units read.

    Raises:
        SourceUnavailable: one of them cannot be observed.
    """
    graph = runtime.graph
    return {unit: observe_source(runtime, graph.assets[unit.asset], unit.partition) for unit in required_observations(graph, units, now)}


def read_plan(runtime: Runtime, address: str) -> Plan:
    """A stored plan, whole."""
    return runtime.plans.read(address)
