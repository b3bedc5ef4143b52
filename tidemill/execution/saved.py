"""Saved plans: a plan on record, to be shown, approved and then executed exactly, or refused because something has changed since.

A plan is an object already. Saving it writes `plans/<id>`, create-only: who made it and at which moment. The moment is needed to plan the same again, and the
record keeps the plan and all that it names from being collected for as long as it may be applied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import msgspec

from tidemill.catalog.commit import describe
from tidemill.definitions.assets import AssetKind
from tidemill.errors import IntegrityError, NotFound, PlanError, SourceUnavailable, TidemillError
from tidemill.execution.codes import parts_in
from tidemill.execution.planning import plan_units
from tidemill.execution.records import read_records
from tidemill.execution.runtime import Runtime
from tidemill.model.keys import AssetKey, unit_key
from tidemill.model.runs import RunRequest
from tidemill.model.versions import canonical
from tidemill.plan.build import select_units
from tidemill.plan.drift import Drift, assets, drift, taken_over
from tidemill.plan.explain import code_differences, phrase
from tidemill.plan.plan import Plan, PlannedAsset
from tidemill.storage.conditional import put_once
from tidemill.storage.sealed import seal, unseal

KEPT = timedelta(days=30)
"""How long a saved plan can be applied; then garbage collection may let go of it."""

_PREFIX = re.compile(r"[0-9a-f]{6,64}")
_TOLD = 5
_EXPLAINED = 100
"""Differences that are looked up in the record of code versions or in the log, which takes a few calls to the store each."""


class SavedPlan(msgspec.Struct, frozen=True, kw_only=True, tag="saved_plan/1"):
    """A plan on record."""

    plan: str
    """Its id."""
    planned_at: datetime
    """The plan's now: it bounds open-ended partitions."""
    author: str = ""
    reason: str = ""


class PlanDrifted(TidemillError):
    """A saved plan does not fit any more what it was made for; every difference is named."""

    code = "plan-drifted"

    def __init__(self, plan: str, drifts: Iterable[Drift]) -> None:
        self.drifts = tuple(drifts)
        shown = "; ".join(sentence(each) for each in self.drifts[:_TOLD])
        more = f"; and {len(self.drifts) - _TOLD} more" if len(self.drifts) > _TOLD else ""
        super().__init__(
            f"Plan {plan[:12]} cannot be applied any more, because things have changed since it was made: {shown}{more}.",
            hint="Nothing was started. Make a new plan, look at it, and apply that.",
        )


def sentence(drift: Drift) -> str:
    """A drift in words."""
    return f"`{drift.name}`: {drift.detail}"


def save_plan(runtime: Runtime, plan: Plan, *, planned_at: datetime, author: str = "", reason: str = "") -> SavedPlan:
    """Puts a plan on record. An equal plan that is on record already, and not soon too old, stays as it is and is returned.

    Args:
        runtime: where to store it.
        plan: the plan.
        planned_at: the moment it was made for.
        author: who made it.
        reason: why.

    Raises:
        StoreUnavailable: the outcome is unknown; save again.
    """
    known = runtime.graph.assets
    runtime.codes.record(known[AssetKey(each.key)].code for each in plan.assets if AssetKey(each.key) in known)
    made = SavedPlan(plan=runtime.plans.put(plan), planned_at=planned_at, author=author, reason=reason)
    name = _name(made.plan)
    data = seal(name, canonical(made))
    if put_once(runtime.store, name, data):
        return made
    found = runtime.store.get(name)
    before = None if found is None else _decoded(name, found.data)
    if found is None or before is None:
        raise NotFound(f"`{name}` was written and is gone.", hint="Somebody deleted blobs of the store; plan again.")
    if before.planned_at + KEPT / 2 > planned_at or not runtime.store.replace(name, data, found.etag):
        return before
    return made


def find_plan(runtime: Runtime, text: str) -> SavedPlan:
    """The saved plan with this id, or whose id starts with this.

    Raises:
        NotFound: there is none, more than one, or it is too old.
    """
    hint = f"Make one with `tidemill plan SELECTION --save` or POST /api/plans; it is kept for {KEPT.days} days."
    if not _PREFIX.fullmatch(text):
        raise NotFound(f"{text!r} is not the id of a plan.", hint="An id is 64 hex digits; the first six or more are enough.")
    names = [name for _, name in zip(range(2), runtime.store.names(_name(text)), strict=False)]
    if len(names) > 1:
        raise NotFound(f"More than one saved plan starts with `{text}`.", hint="Write more digits of its id.")
    found = _read(runtime, names[0]) if names else None
    if found is None:
        raise NotFound(f"There is no saved plan `{text}`.", hint=hint)
    if runtime.now() - found.planned_at > KEPT:
        raise NotFound(f"Plan {found.plan[:12]} was made on {found.planned_at:%Y-%m-%d} and is not kept any more.", hint=hint)
    return found


def saved_plans(runtime: Runtime) -> Iterator[SavedPlan]:
    """The saved plans that can still be applied."""
    for name in runtime.store.names(_name("")):
        found = _read(runtime, name)
        if found is not None and runtime.now() - found.planned_at <= KEPT:
            yield found


def request_of(runtime: Runtime, saved: SavedPlan, *, run: str, author: str, reason: str, now: datetime) -> RunRequest:
    """The request of a run that executes a saved plan."""
    head = runtime.plans.head(saved.plan)
    return RunRequest(
        run_id=run,
        selection=head.selection,
        partitions=head.partitions,
        parameters=head.parameters,
        rerun=head.rerun,
        plan=saved.plan,
        branch=head.branch,
        author=author,
        reason=reason,
        requested_at=now,
    )


def refuse_drifted(runtime: Runtime, saved: SavedPlan) -> Plan:
    """The plan, if nothing has changed since it was made that it was made from. Observes the sources.

    Raises:
        PlanDrifted: something has; everything that has is named.
        DefinitionError: the definitions are broken.
        StoreUnavailable: the store did not answer.
    """
    plan = runtime.plans.read(saved.plan)
    found = [*_gone(runtime, plan), *_lost(runtime, plan)]
    if not found or all(each.kind == "result" for each in found):
        found += _compared(runtime, plan, saved.planned_at)
    if found:
        raise PlanDrifted(saved.plan, [*(_told(runtime, plan, each) for each in found[:_EXPLAINED]), *found[_EXPLAINED:]])
    return plan


def _gone(runtime: Runtime, plan: Plan) -> Iterator[Drift]:
    """What has to be there for the request to be planned at all; if something is not, what has become of the rest as far as that can be said."""
    defined = runtime.graph.assets
    gone = [each.key for each in plan.assets if (key := AssetKey(each.key)) not in defined or defined[key].kind is AssetKind.EXTERNAL]
    yield from (Drift(kind="asset", name=key, detail="it is not defined any more, or not made any more") for key in gone)
    try:
        runtime.catalog_on(plan.branch).head()
    except NotFound:
        yield Drift(kind="branch", name=plan.branch, detail="there is no such branch any more")
        return
    if gone:
        rest = [each for each in plan.assets if each.key not in gone]
        yield from assets(rest, [_as_defined(runtime, each) for each in rest])


def _as_defined(runtime: Runtime, asset: PlannedAsset) -> PlannedAsset:
    """A planned asset with the code it has now."""
    return msgspec.structs.replace(asset, code_version=runtime.graph.assets[AssetKey(asset.key)].code_version)


def _lost(runtime: Runtime, plan: Plan) -> Iterator[Drift]:
    """Results to take over that are not in the store any more."""
    wanted = {unit.reuses.record: position for position, unit in enumerate(plan.units) if unit.reuses is not None}
    try:
        read_records(runtime.catalog, wanted)
    except IntegrityError as error:
        yield Drift(kind="result", name=plan.selection, detail=f"a result that it takes over is gone: {error.message.rstrip('.')}")


def _compared(runtime: Runtime, plan: Plan, planned_at: datetime) -> list[Drift]:
    request = RunRequest(
        run_id="drift",
        selection=plan.selection,
        partitions=plan.partitions,
        parameters=plan.parameters,
        rerun=plan.rerun,
        branch=plan.branch,
        requested_at=planned_at,
    )
    try:
        units = select_units(runtime.graph, plan.selection, plan.partitions, planned_at)
        return drift(plan, plan_units(runtime, request, units, find=taken_over(plan)))
    except SourceUnavailable as error:
        return [Drift(kind="source", name=plan.selection, detail=error.message.rstrip("."))]
    except PlanError as error:
        return [Drift(kind="request", name=plan.selection, detail=error.message.rstrip("."))]


def _told(runtime: Runtime, plan: Plan, drift: Drift) -> Drift:
    """A drift with what the store knows of it: which part of the code, which run."""
    match drift.kind:
        case "code" if drift.after:
            then = runtime.codes.find(drift.before)
            now = parts_in(runtime.graph.assets[AssetKey(drift.name)].code.content)
            return msgspec.structs.replace(drift, detail=phrase(code_differences(drift.before, drift.after, then, now)))
        case "catalog":
            place = runtime.catalog_on(plan.branch).changed_by(unit_key(drift.name), plan.base)
            by = f": {describe(place)} changed it in commit {place.number}" if place is not None else ""
            return msgspec.structs.replace(drift, detail=f"{drift.detail}{by}")
        case _:
            return drift


def _read(runtime: Runtime, name: str) -> SavedPlan | None:
    blob = runtime.store.get(name)
    return None if blob is None else _decoded(name, blob.data)


def _decoded(name: str, stored: bytes) -> SavedPlan:
    data = unseal(name, stored)
    if data is None:
        raise IntegrityError(f"The record `{name}` is damaged.", hint="Delete it, and save the plan again.")
    return msgspec.json.decode(data, type=SavedPlan)


def _name(plan: str) -> str:
    return f"plans/{plan}"
