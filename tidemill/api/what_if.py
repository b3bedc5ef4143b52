"""What would come of a change: of code, of an input, of a contract."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tidemill.api.app import ApiApp
from tidemill.api.as_of import catalog_of
from tidemill.api.assets import find_asset
from tidemill.api.columns import lineage_of
from tidemill.api.errors import UnknownColumn
from tidemill.api.http import ApiResponse, json_response
from tidemill.api.plan_payloads import AssetEffect, BrokenReader, ColumnChange, Supposition, WhatIfView
from tidemill.api.route import Call, Nothing
from tidemill.catalog.catalog import CatalogView
from tidemill.definitions.assets import AssetKind
from tidemill.execution.recorded import recorded
from tidemill.execution.what_if import all_units, what_if
from tidemill.lineage.values import ColumnEdge
from tidemill.model.keys import AssetKey, UnitKey, unit_key
from tidemill.model.runs import RunRequest
from tidemill.plan.explain import Effect
from tidemill.plan.plan import Action
from tidemill.plan.predict import predict
from tidemill.plan.suppose import Hypothesis

EFFECTS_SHOWN = 1_000


def get_what_if(app: ApiApp, call: Call[Nothing, Supposition]) -> ApiResponse:
    """Which units would run or wait after a change, why, and which readers of a column it would break. Looks at the sources; runs nothing."""
    body, runtime = call.body, app.runtime
    catalog = catalog_of(app, body.branch)
    request = RunRequest(
        run_id="what-if",
        selection="*",
        partitions=body.partitions,
        parameters=body.parameters,
        branch=catalog.branch,
        requested_at=runtime.now(),
    )
    view = catalog.view()
    readers = tuple(reader for change in body.columns for reader in _readers(app, view, change))
    found = what_if(runtime, _hypothesis(app, body, request), request, view=view)
    assets = tuple(_by_asset(found.effects))
    return json_response(
        WhatIfView(
            branch=catalog.branch,
            base=found.plan.base,
            run=sum(each.run for each in assets),
            wait=sum(each.wait for each in assets),
            assets=assets,
            effects=tuple(found.effects[:EFFECTS_SHOWN]),
            complete=len(found.effects) <= EFFECTS_SHOWN,
            readers=readers,
            prediction=predict(found.plan, recorded(runtime.runs), runtime.prices),
        )
    )


def _hypothesis(app: ApiApp, body: Supposition, request: RunRequest) -> Hypothesis:
    code = {find_asset(app.graph, text).key for text in body.code}
    inputs: set[UnitKey] = set()
    for text in body.inputs:
        unit = unit_key(text)
        whole = find_asset(app.graph, unit.asset).partitions is not None and not unit.partition
        inputs |= all_units(app.graph, unit.asset, request) if whole else {unit}
    for change in body.columns:
        definition = find_asset(app.graph, change.asset)
        if definition.kind is AssetKind.EXTERNAL:
            inputs |= all_units(app.graph, definition.key, request)
        else:
            code.add(definition.key)
    return Hypothesis(frozenset(code), frozenset(inputs))


def _by_asset(effects: Iterable[Effect]) -> Iterator[AssetEffect]:
    groups: dict[str, list[Effect]] = {}
    for each in effects:
        groups.setdefault(each.asset, []).append(each)
    for asset, members in groups.items():
        new = [each.action for each in members if not each.anyway]
        yield AssetEffect(asset=asset, run=new.count(Action.RUN), wait=new.count(Action.WAIT), anyway=len(members) - len(new))


def _readers(app: ApiApp, view: CatalogView, change: ColumnChange) -> Iterator[BrokenReader]:
    """What becomes of each asset that reads the one whose column changes, as far as the lineage of columns can tell.

    Raises:
        UnknownColumn: the asset is known not to have the column.
    """
    definition = find_asset(app.graph, change.asset)
    own = lineage_of(app.runtime, view, definition).columns or (tuple(definition.schema.names) if definition.schema is not None else ())
    if own and change.column not in own:
        raise UnknownColumn(change.column, own)
    for key in app.graph.children[definition.key]:
        yield _reader(app, view, change, definition.key, key)


def _reader(app: ApiApp, view: CatalogView, change: ColumnChange, asset: AssetKey, reader: AssetKey) -> BrokenReader:
    known = lineage_of(app.runtime, view, app.graph.assets[reader])
    edges: Sequence[ColumnEdge] = [edge for edge in known.edges if (edge.source_asset, edge.source_column) == (asset, change.column)]
    if edges:
        verdict, because = ("may-break" if change.type else "breaks"), ""
    elif known.unknown_because or known.unknown_columns:
        verdict = "unknown"
        because = (
            known.unknown_because or f"Nothing is known of where {', '.join(f'`{each}`' for each in known.unknown_columns)} come from."
        )
    else:
        verdict, because = "unaffected", ""
    return BrokenReader(
        reader=reader,
        asset=asset,
        column=change.column,
        verdict=verdict,
        used=tuple(dict.fromkeys(edge.column for edge in edges)),
        known=tuple(dict.fromkeys(edge.known for edge in edges)),
        because=because,
    )
