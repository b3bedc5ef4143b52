"""What if: plans what a supposed change would come to. Looks at the sources; stores nothing but what was seen of them, and runs nothing."""

from __future__ import annotations

from typing import NamedTuple

from tidemill.definitions.assets import AssetKind
from tidemill.errors import PlanError, UnknownPartition
from tidemill.execution.planning import observe
from tidemill.execution.reusing import Finder
from tidemill.execution.runtime import Runtime
from tidemill.graph.asset_graph import AssetGraph
from tidemill.model.keys import AssetKey, UnitKey
from tidemill.model.runs import RunRequest
from tidemill.plan.build import build_plan, select_units
from tidemill.plan.drift import taken_over
from tidemill.plan.explain import Effect
from tidemill.plan.plan import Plan
from tidemill.plan.suppose import Hypothesis, SupposedView, effects, supposed_graph, supposed_sources
from tidemill.plan.view import CatalogView


class Supposed(NamedTuple):
    """What a hypothesis comes to."""

    plan: Plan
    """Of what is supposed to change and everything downstream of it."""
    effects: list[Effect]
    """Units that would run or wait, in plan order."""


def what_if(runtime: Runtime, hypothesis: Hypothesis, request: RunRequest, *, view: CatalogView | None = None) -> Supposed:
    """Plans what the hypothesis touches, with it and without it.

    Args:
        runtime: the definitions and the catalog.
        hypothesis: what is supposed to change.
        request: partitions, parameters, branch and the moment; its selection is not looked at.
        view: the state of the catalog to plan against; None is the present one of the request's branch.

    Raises:
        PlanError: nothing is supposed to change, or something that cannot: the code of an external asset, the content of a unit that holds none.
        UnknownAsset, UnknownPartition: it names something that does not exist.
        SourceUnavailable: a source cannot be observed.
    """
    graph = runtime.graph
    frozen = view or runtime.catalog_on(request.branch).view()
    _check(graph, hypothesis, frozen, request)
    roots = sorted({*hypothesis.code, *(unit.asset for unit in hypothesis.inputs)})
    units = select_units(graph, " or ".join(f"{key}+" for key in roots), request.partitions, request.requested_at)
    observed = observe(runtime, units, request.requested_at)
    before = build_plan(graph, frozen, units, observed, request, Finder(runtime.catalog_on(request.branch)))
    supposed = build_plan(
        supposed_graph(graph, hypothesis),
        SupposedView(frozen, hypothesis),
        units,
        supposed_sources(observed, hypothesis),
        request,
        taken_over(before),
    )
    return Supposed(supposed, effects(supposed, before, hypothesis))


def _check(graph: AssetGraph, hypothesis: Hypothesis, view: CatalogView, request: RunRequest) -> None:
    if not hypothesis.code and not hypothesis.inputs:
        raise PlanError("Nothing is supposed to change.", hint="Name an asset whose code changes, or a unit whose content does.")
    for key in sorted(hypothesis.code):
        if graph.asset(key).kind is AssetKind.EXTERNAL:
            raise PlanError(f"`{key}` is external: no code makes it.", hint=f"Suppose that its content changes: --input {key}.")
    for unit in sorted(hypothesis.inputs):
        definition = graph.asset(unit.asset)
        if not graph.has_unit(unit, request.requested_at):
            known = () if definition.partitions is None else graph.partitions(unit.asset, request.requested_at)
            raise UnknownPartition(unit.asset, unit.partition, known)
        if definition.kind is not AssetKind.EXTERNAL and unit.partition not in view.entries(AssetKey(unit.asset)):
            raise PlanError(f"`{unit}` holds nothing yet, so its content cannot change.", hint="Run it first, or ask about what it reads.")


def all_units(graph: AssetGraph, asset: AssetKey, request: RunRequest) -> frozenset[UnitKey]:
    """Every unit of an asset."""
    return frozenset(UnitKey(asset, partition) for partition in graph.partitions(asset, request.requested_at))
