"""A plan for reading: units of one asset that share an action and a reason are told together."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tidemill.api.plan_payloads import PlanView
from tidemill.cli.words import duration, plural, span
from tidemill.plan.plan import Action
from tidemill.plan.predict import Prediction, Span

_COLOURS = {Action.RUN: "green", Action.REUSE: "blue", Action.SKIP: "dim", Action.WAIT: "cyan", Action.BLOCKED: "red"}
_MEANINGS = {
    Action.RUN: "to run",
    Action.REUSE: "to take over",
    Action.SKIP: "up to date",
    Action.WAIT: "to run if an input changes",
    Action.BLOCKED: "blocked",
}


def picture(view: PlanView, *, local: bool) -> RenderableType:
    """The plan as a table.

    Args:
        view: the plan.
        local: whether it lies in the local store, so that applying it takes `--local`.
    """
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
    parts: list[RenderableType] = [table, Text(head, style="bold")]
    if view.prediction.units.at_most:
        parts.append(Text(takes(view.prediction)))
    parts.append(Text(f"planned against commit {view.base} of `{view.branch}`; plan {view.plan[:12]}", style="dim"))
    if view.saved:
        parts.append(Text(f"Saved. Apply exactly this with `tidemill apply {'--local ' if local else ''}{view.plan[:12]}`."))
    return Group(*parts)


def takes(prediction: Prediction) -> str:
    """What executing the plan will take, in one sentence."""
    calls = Span(
        at_least=prediction.storage_reads.at_least + prediction.storage_writes.at_least,
        at_most=prediction.storage_reads.at_most + prediction.storage_writes.at_most,
    )
    told = [f"{_span(prediction.activities, _count)} activities", f"{_span(calls, _count)} storage calls"]
    if prediction.activity_seconds is None:
        few = ", ".join(prediction.unknown[:3]) + (f" and {len(prediction.unknown) - 3} more" if len(prediction.unknown) > 3 else "")
        return f"takes {', '.join(told)}; time and cost not known, since no run of {few} is on record"
    told.append(f"{_span(prediction.seconds or prediction.activity_seconds, duration)}" + ("" if prediction.seconds else " of activities"))
    if prediction.cost is not None:
        told.append(f"{_span(prediction.cost, lambda amount: f'{amount:.2g}')} {prediction.currency}")
    return f"takes about {', '.join(told)}, going by {plural(prediction.runs, 'run')}"


def _span(span: Span, told: Callable[[float], str]) -> str:
    least, most = told(span.at_least), told(span.at_most)
    return most if least == most else f"{least} to {most}"


def _count(number: float) -> str:
    return f"{number:,.0f}"
