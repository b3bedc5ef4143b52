"""Drift: what has changed since a plan was made. Pure: compares the plan with the one that the same request gives now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from tidemill.model.facts import Entry, JsonScalar
from tidemill.model.keys import AssetKey, PartitionKey, UnitKey
from tidemill.model.versions import canonical
from tidemill.plan.build import Candidate, Find
from tidemill.plan.plan import Action, PinnedInput, Plan, PlannedAsset, PlannedUnit


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it was when the plan was made."""

    kind: str
    """`asset`, `code`, `parameter`, `source`, `catalog`, `input`, `result`, `units`, `request` or `branch`."""
    name: str
    """The asset, unit or branch."""
    detail: str
    """What has become of it, as one sentence without a full stop."""
    before: str = ""
    """The version it had; empty: none, or it has no versions."""
    after: str = ""
    """The version it has; empty: none, or it has no versions."""


def taken_over(plan: Plan) -> Find:
    """Finds exactly the earlier results that the plan takes over, so that results which were added or lost since make no difference."""
    kept = {plan.key(position): unit.reuses for position, unit in enumerate(plan.units) if unit.reuses is not None}

    def find(candidates: Iterable[Candidate]) -> Mapping[int, Entry]:
        found = ((each, kept.get(each.unit)) for each in candidates)
        return {each.position: entry for each, entry in found if entry is not None and entry.fingerprint == each.fingerprint}

    return find


def drift(then: Plan, now: Plan) -> list[Drift]:
    """What differs between a plan and the one that the same request gives now; empty if and only if both do the same.

    Args:
        then: the plan.
        now: the plan of the same request and moment, made with `taken_over(then)`.
    """
    found = [*assets(then.assets, now.assets), *_sources(then.observations, now.observations), *_units(then, now)]
    if not found and not _same(then, now):
        found = [Drift(kind="request", name=then.selection, detail="it is planned otherwise now")]
    return found


def assets(then: Iterable[PlannedAsset], now: Iterable[PlannedAsset]) -> Iterator[Drift]:
    """What has become of the planned assets. Those that are not there any more are left out."""
    present = {asset.key: asset for asset in now}
    for before in then:
        after = present.get(before.key)
        if after is None or after == before:
            continue
        if before.code_version != after.code_version:
            yield Drift(kind="code", name=before.key, detail="its code changed", before=before.code_version, after=after.code_version)
        elif (before.reads_partition, before.mapping_inputs) != (after.reads_partition, after.mapping_inputs):
            yield Drift(kind="code", name=before.key, detail="its use of partition keys changed")
        for name in sorted(before.parameters.keys() | after.parameters.keys()):
            was, is_ = _value(before.parameters, name), _value(after.parameters, name)
            if was != is_:
                yield Drift(kind="parameter", name=before.key, detail=f"parameter {name} was {was or 'not there'} and is {is_ or 'gone'}")


def _sources(then: Iterable[PinnedInput], now: Iterable[PinnedInput]) -> Iterator[Drift]:
    before, after = _by_unit(then), _by_unit(now)
    for unit in sorted(before.keys() | after.keys()):
        was, is_ = before.get(unit), after.get(unit)
        if was != is_:
            how = "it is in another version" if was and is_ else "it is read now" if is_ else "it is not read any more"
            yield Drift(
                kind="source", name=str(unit), detail=how, before=was.data_version if was else "", after=is_.data_version if is_ else ""
            )


def _units(then: Plan, now: Plan) -> Iterator[Drift]:
    before = {then.key(position): unit for position, unit in enumerate(then.units)}
    after = {now.key(position): unit for position, unit in enumerate(now.units)}
    yield from (Drift(kind="units", name=str(key), detail="it is selected now") for key in after if key not in before)
    told = {*before, *_by_unit(then.observations)}
    for key, unit in before.items():
        fresh = after.get(key)
        if fresh is None:
            yield Drift(kind="units", name=str(key), detail="there is no such unit any more")
            continue
        if unit.current != fresh.current:
            yield _moved(key, unit.current, fresh.current)
        if fresh.action is Action.BLOCKED and unit.action is not Action.BLOCKED:
            yield Drift(kind="input", name=str(key), detail=fresh.reason)
        elif Action.SKIP not in (unit.action, fresh.action):
            yield from _inputs(key, unit, fresh, told)


def _inputs(key: UnitKey, then: PlannedUnit, now: PlannedUnit, told: set[UnitKey]) -> Iterator[Drift]:
    """Inputs from outside the plan that moved, each told once, and other inputs than before."""
    before, after = _by_unit(then.pinned), _by_unit(now.pinned)
    for unit in sorted((before.keys() & after.keys()) - told):
        if before[unit] != after[unit]:
            told.add(unit)
            yield _moved(unit, before[unit], after[unit])
    if _reads(then) != _reads(now):
        yield Drift(kind="input", name=str(key), detail="it reads other inputs, or in another order")


def _reads(unit: PlannedUnit) -> list[tuple[int, str]]:
    return sorted([(each.order, each.name) for each in unit.pinned] + [(each.order, each.name) for each in unit.inputs])


def _moved(unit: UnitKey, before: Entry | None, after: Entry | None) -> Drift:
    return Drift(
        kind="catalog",
        name=str(unit),
        detail="its entry in the catalog moved",
        before=before.data_version if before else "",
        after=after.data_version if after else "",
    )


def _by_unit(pinned: Iterable[PinnedInput]) -> dict[UnitKey, Entry]:
    return {
        UnitKey(AssetKey(each.asset), PartitionKey(each.partition)): Entry(record=each.record, data_version=each.data_version)
        for each in pinned
    }


def _value(values: Mapping[str, JsonScalar], name: str) -> str:
    return canonical(values[name]).decode() if name in values else ""


def _same(then: Plan, now: Plan) -> bool:
    """Whether both do the same, wherever the log of the catalog has got to."""
    return then == msgspec.structs.replace(now, base=then.base, snapshot=then.snapshot)
