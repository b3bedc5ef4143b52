"""A plan for reading: units of one asset that share an action and a reason are told together."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tidemill.cli.words import plural, span
from tidemill.plan.plan import Action, Plan

_COLOURS = {Action.RUN: "green", Action.WAIT: "cyan", Action.REUSE: "dim", Action.BLOCKED: "red"}
_MEANINGS = {
    Action.RUN: "to run",
    Action.WAIT: "to run if an input changes",
    Action.REUSE: "up to date",
    Action.BLOCKED: "blocked",
}


class UnitView(msgspec.Struct, frozen=True, kw_only=True):
    """One unit of a plan."""

    asset: str
    partition: str
    action: str
    reason: str


class PlanView(msgspec.Struct, frozen=True, kw_only=True):
    """What `tidemill plan --json` prints."""

    plan: str
    """Hash of the plan."""
    selection: str
    partitions: str
    branch: str
    base: int
    """Number of the catalog's log entry it was made against."""
    counts: dict[str, int]
    """Units by action."""
    units: tuple[UnitView, ...]
    """In the order in which they would run."""

    @classmethod
    def of(cls, plan: Plan, reasons: Mapping[int, str]) -> PlanView:
        """The view of a plan; some units, by position, with a better reason than its own."""
        return cls(
            plan=plan.id,
            selection=plan.selection,
            partitions=plan.partitions,
            branch=plan.branch,
            base=plan.base,
            counts=plan.counts(),
            units=tuple(
                UnitView(
                    asset=plan.assets[unit.asset].key,
                    partition=unit.partition,
                    action=unit.action.value,
                    reason=reasons.get(position, unit.reason),
                )
                for position, unit in enumerate(plan.units)
            ),
        )


def picture(view: PlanView) -> RenderableType:
    """The plan as a table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("asset", "units", "action", "why", "partitions"):
        table.add_column(name, justify="right" if name == "units" else "left", overflow="fold")
    groups: dict[tuple[str, str, str], list[str]] = {}
    for unit in view.units:
        groups.setdefault((unit.asset, unit.action, unit.reason), []).append(unit.partition)
    for (asset, action, reason), partitions in groups.items():
        colour = _COLOURS[Action(action)]
        table.add_row(
            asset,
            f"{len(partitions):,}",
            Text(action, style=colour),
            Text(reason),
            span(partitions),
            style="dim" if colour == "dim" else None,
        )
    told = [f"{count:,} {_MEANINGS[Action(action)]}" for action, count in view.counts.items() if count]
    head = f"{plural(len(view.units), 'unit')}: {', '.join(told)}"
    return Group(
        table, Text(head, style="bold"), Text(f"planned against commit {view.base} of `{view.branch}`; plan {view.plan[:12]}", style="dim")
    )
