"""What if: the planner's own inputs, changed as a hypothesis says. Pure; the plan that comes of them is an ordinary one.

A supposed change of code is a code version that nothing was ever made with; a supposed change of an input is a data version that nothing was ever made from.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from tidemill.definitions.assets import AssetDefinition
from tidemill.graph.asset_graph import AssetGraph
from tidemill.model.facts import Entry
from tidemill.model.keys import AssetKey, PartitionKey, UnitKey
from tidemill.model.versions import digest
from tidemill.plan.explain import Effect
from tidemill.plan.plan import Action, PinnedInput, Plan
from tidemill.plan.view import CatalogView

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What is supposed to change."""

    code: frozenset[AssetKey] = frozenset()
    """Assets whose code is another."""
    inputs: frozenset[UnitKey] = frozenset()
    """Units, made or external, whose content is another."""


def supposed_graph(graph: AssetGraph, hypothesis: Hypothesis) -> AssetGraph:
    """The same graph, with another code version for the assets that are named."""
    found = copy.copy(graph)
    found.assets = {key: _recoded(definition) if key in hypothesis.code else definition for key, definition in graph.assets.items()}
    return found


def supposed_sources(observed: Mapping[UnitKey, PinnedInput], hypothesis: Hypothesis) -> dict[UnitKey, PinnedInput]:
    """The same observations, with another version for the units that are named."""
    return {
        unit: msgspec.structs.replace(seen, data_version=_other(seen.data_version)) if unit in hypothesis.inputs else seen
        for unit, seen in observed.items()
    }


class SupposedView:
    """A view of the catalog in which some units hold another content, made in the same way."""

    def __init__(self, view: CatalogView, hypothesis: Hypothesis) -> None:
        self._view, self._inputs = view, hypothesis.inputs

    @property
    def number(self) -> int:
        """See `CatalogView.number`."""
        return self._view.number

    @property
    def snapshot(self) -> str:
        """See `CatalogView.snapshot`."""
        return self._view.snapshot

    def entries(self, asset: AssetKey) -> Mapping[PartitionKey, Entry]:
        """See `CatalogView.entries`."""
        held = self._view.entries(asset)
        changed = {unit.partition for unit in self._inputs if unit.asset == asset}
        if not changed:
            return held
        return {
            key: msgspec.structs.replace(entry, data_version=_other(entry.data_version)) if key in changed else entry
            for key, entry in held.items()
        }


def effects(supposed: Plan, before: Plan, hypothesis: Hypothesis) -> list[Effect]:
    """The units that would run or wait, in plan order.

    Args:
        supposed: the plan with the hypothesis.
        before: the plan of the same units without it.
        hypothesis: what was supposed.
    """
    found = []
    for position, unit in enumerate(supposed.units):
        if not unit.action.executes:
            continue
        key = supposed.key(position)
        changed = [str(each) for each in _read(supposed, position) if each in hypothesis.inputs]
        first = [str(supposed.key(each.unit)) for each in unit.inputs]
        if key.asset in hypothesis.code:
            reason = "its code would change"
        elif changed:
            reason = f"its input {_few(changed)} would change"
        elif unit.action is Action.WAIT:
            reason = f"its input {_few(first)} would run first"
        else:
            reason = unit.reason
        found.append(
            Effect(
                asset=key.asset,
                partition=key.partition,
                action=unit.action.value,
                reason=reason,
                because=tuple(dict.fromkeys([*changed, *first])),
                anyway=before.units[position].action == unit.action,
            )
        )
    return found


def _read(plan: Plan, position: int) -> list[UnitKey]:
    return [UnitKey(AssetKey(each.asset), PartitionKey(each.partition)) for each in plan.units[position].pinned]


def _recoded(definition: AssetDefinition) -> AssetDefinition:
    return replace(definition, code=replace(definition.code, version=digest(f"supposed {definition.code.version}".encode())))


def _other(version: str) -> str:
    return f"supposed:{version}"


def _few(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
