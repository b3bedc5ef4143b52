"""Why: the one engine behind `why`, `why-not` and the reasons of a plan. Pure, over records and plans that it is given.

Two questions. What was this version made from, back to the sources (`chain`)? And what has changed since a unit was made, compared with what it would be
made from now (`differences`, `first_causes`)? Both answer from what is recorded, not from guesses: every materialization names its code, its parameters and
the exact version of everything it read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from tidemill.model.facts import InputVersion, JsonScalar, Materialization, Record
from tidemill.plan.plan import Action, Fingerprinted, PinnedInput, Plan, unit_fingerprint

CodeParts = Mapping[tuple[str, str], str]
"""Digest by (kind, name) of everything a code version is made of."""

_NAMED = 3
"""How many differences of a kind a phrase names."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a unit would be made from now, and was not when it was made."""

    kind: str
    """`code`, `parameter`, `input`, `order` (of the inputs) or `use` (of partition keys)."""
    name: str
    """The part of the code (empty: which part is not on record), the parameter, or the input."""
    unit: str = ""
    """The unit that is read; empty unless it is an input."""
    before: str = ""
    """The version or value it was made with; empty: not there."""
    after: str = ""
    """The version or value it would be made with; empty: gone."""


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What a supposed change would do to one unit."""

    asset: str
    partition: str
    action: str
    """`run`: certainly. `wait`: only if something that it reads then comes out otherwise."""
    reason: str
    because: tuple[str, ...]
    """What it reads that runs first or is supposed to change, nearest first: the next links of the chain."""
    anyway: bool
    """Whether it would run, or wait, without the change too."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """One version in the making of another."""

    depth: int
    """Steps from the version that was asked about, which has 0."""
    asset: str
    partition: str
    kind: str
    """`materialized` or `observed`."""
    record: str
    data_version: str
    fingerprint: str
    """Empty if it was observed, like everything below."""
    code_version: str
    parameters: dict[str, JsonScalar]
    run_id: str
    """The run that computed it."""
    inputs: tuple[InputVersion, ...]


class Chain(NamedTuple):
    """Everything a version was made from."""

    origins: tuple[Origin, ...]
    """Nearest first, each version once."""
    complete: bool
    """False if the limit was reached before the sources."""


class KnownInputs(NamedTuple):
    """What a planned unit reads."""

    known: tuple[PinnedInput, ...]
    """Those whose version is certain, in order."""
    open: frozenset[tuple[str, str, str]]
    """(input name, asset, partition) of those that run first."""


def chain(record: str, read: Callable[[Sequence[str]], Mapping[str, Record]], *, limit: int) -> Chain:
    """What a version was made from, and what that was made from, to the sources.

    Args:
        record: hash of the version's record.
        read: gives records by hash; asked once for each step away from the start.
        limit: how many versions at most.
    """
    origins: list[Origin] = []
    seen = {record}
    level, depth, complete = [record], 0, True
    while level:
        room = limit - len(origins)
        if room < len(level):
            level, complete = level[:room], False
        records = read(level)
        origins += [_origin(each, records[each], depth) for each in level]
        following = dict.fromkeys(each.record for origin in origins[len(origins) - len(level) :] for each in origin.inputs)
        level = [each for each in following if each not in seen] if complete else []
        seen.update(level)
        depth += 1
    return Chain(tuple(origins), complete)


def differences(
    made: Materialization,
    asset: Fingerprinted,
    inputs: KnownInputs,
    *,
    code_then: CodeParts | None = None,
    code_now: CodeParts | None = None,
) -> tuple[Difference, ...]:
    """What has changed between how a unit was made and how it would be made now; empty if and only if it would be made from the same.

    Args:
        made: its record.
        asset: its asset as it is now, with the parameters of this run.
        inputs: what it would read now. Inputs that are open are left out of the comparison.
        code_then: the parts of the code it was made with; None if they are not on record.
        code_now: the parts of the code as it is now.
    """
    if not inputs.open and made.fingerprint == unit_fingerprint(asset, made.partition, inputs.known):
        return ()
    found = [*code_differences(made.code_version, asset.code_version, code_then, code_now), *_parameters(made.parameters, asset.parameters)]
    found += _inputs(made.inputs, inputs)
    if found or inputs.open:
        return tuple(found)
    then = [(each.name, each.asset, each.partition) for each in made.inputs]
    if then != [(each.name, each.asset, each.partition) for each in inputs.known]:
        return (Difference(kind="order", name="its inputs"),)
    return (Difference(kind="use", name="its partition keys"),)


def known_inputs(plan: Plan, position: int) -> KnownInputs:
    """What a planned unit that is not up to date reads, as far as the plan is certain of it."""
    unit = plan.units[position]
    waiting = {(each.name, plan.assets[plan.units[each.unit].asset].key, plan.units[each.unit].partition) for each in unit.inputs}
    return KnownInputs(unit.pinned, frozenset(waiting))


def first_causes(plan: Plan, position: int) -> list[int]:
    """The units upstream that certainly run or cannot, and so make a unit wait or block it; in plan order, without the unit itself."""
    causes: set[int] = set()
    seen = {position}
    front = [position]
    while front:
        for each in plan.units[front.pop()].inputs:
            if each.unit in seen:
                continue
            seen.add(each.unit)
            action = plan.units[each.unit].action
            if action in (Action.WAIT, Action.BLOCKED) and plan.units[each.unit].inputs:
                front.append(each.unit)
            if action is Action.RUN or (action is Action.BLOCKED and not _blocked_by_another(plan, each.unit)):
                causes.add(each.unit)
    return sorted(causes)


def phrase(found: Iterable[Difference]) -> str:
    """Differences in one clause that units of an asset can share: which parts, parameters and inputs, not which partitions and versions."""
    by_kind: dict[str, list[Difference]] = {}
    for each in found:
        by_kind.setdefault(each.kind, []).append(each)
    clauses: list[str] = []
    for kind, group in by_kind.items():
        match kind:
            case "code":
                named = _few([each.name for each in group if each.name])
                clauses.append(f"its code changed: {named}" if named else "its code changed")
            case "parameter":
                clauses += [
                    f"parameter {each.name} was {each.before or 'not there'} and is {each.after or 'gone'}" for each in group[:_NAMED]
                ]
            case "input":
                assets = dict.fromkeys(each.unit.partition("@")[0] for each in group)
                clauses.append(f"its input{'' if len(assets) == 1 else 's'} {_few(list(assets))} changed")
            case "order":
                clauses.append("its inputs come in another order")
            case _:
                clauses.append("its use of partition keys changed")
    return "; ".join(clauses)


def _origin(address: str, record: Record, depth: int) -> Origin:
    made = record if isinstance(record, Materialization) else None
    return Origin(
        depth=depth,
        asset=record.asset,
        partition=record.partition,
        kind="materialized" if made else "observed",
        record=address,
        data_version=record.data_version,
        fingerprint=made.fingerprint if made else "",
        code_version=made.code_version if made else "",
        parameters=made.parameters if made else {},
        run_id=made.run_id if made else "",
        inputs=made.inputs if made else (),
    )


def code_differences(before: str, after: str, then: CodeParts | None, now: CodeParts | None) -> list[Difference]:
    """What differs between two code versions: the parts, where those of both are known. Arguments as in `differences`."""
    if before == after:
        return []
    changed = [] if then is None or now is None else sorted(part for part in then.keys() | now.keys() if then.get(part) != now.get(part))
    if then is None or now is None or not changed:
        return [Difference(kind="code", name="", before=before, after=after)]
    return [
        Difference(kind="code", name=f"{part[0]} {part[1]}".strip(), before=_present(then, part), after=_present(now, part))
        for part in changed
    ]


def _present(parts: CodeParts, part: tuple[str, str]) -> str:
    """A part's digest; an import has none, so its name stands for it."""
    return (parts[part] or part[1]) if part in parts else ""


def _parameters(before: Mapping[str, JsonScalar], after: Mapping[str, JsonScalar]) -> list[Difference]:
    return [
        Difference(kind="parameter", name=name, before=_value(before, name), after=_value(after, name))
        for name in sorted(before.keys() | after.keys())
        if _value(before, name) != _value(after, name)
    ]


def _value(values: Mapping[str, JsonScalar], name: str) -> str:
    return msgspec.json.encode(values[name]).decode() if name in values else ""


def _inputs(before: Sequence[InputVersion], after: KnownInputs) -> list[Difference]:
    then = {(each.name, each.asset, each.partition): each.data_version for each in before}
    now = {(each.name, each.asset, each.partition): each.data_version for each in after.known}
    return [
        Difference(
            kind="input",
            name=key[0],
            unit=f"{key[1]}@{key[2]}" if key[2] else key[1],
            before=then.get(key, ""),
            after=now.get(key, ""),
        )
        for key in dict.fromkeys([*then, *now])
        if key not in after.open and then.get(key) != now.get(key)
    ]


def _blocked_by_another(plan: Plan, position: int) -> bool:
    return any(plan.units[each.unit].action is Action.BLOCKED for each in plan.units[position].inputs)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
