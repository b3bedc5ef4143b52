"""Pictures of explanations: what a version was made from, and why a unit would or would not run."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from tidemill.api.catalog_payloads import RunOrigin, UnitReason, WhyNotView, WhyView
from tidemill.api.plan_payloads import BrokenReader, WhatIfView
from tidemill.cli.catalog_pictures import SHORT, table
from tidemill.cli.plan_view import takes
from tidemill.cli.words import instant, plural, printable, span
from tidemill.plan.explain import Difference, Effect, Origin

_INPUTS_SHOWN = 12
_CAUSES_SHOWN = 20
_EFFECTS_SHOWN = 12
_PARTITION = re.compile(r"@[^`]*(?=`)")
"""In a reason, the partition of a unit that is named: what reasons of one asset's units differ by."""


def why(view: WhyView) -> RenderableType:
    """The chain as a tree; a version that was shown already is only named."""
    origins = {each.record: each for each in view.origins}
    runs = {each.run_id: each for each in view.runs}
    root = view.origins[0]
    tree = Tree(_told(root, runs))
    _grow(tree, root, origins, runs, {root.record})
    end = "to the sources" if view.complete else "cut short: there is more"
    return Group(tree, Text(f"{plural(len(view.origins), 'version')} as of commit {view.commit}, {end}", style="dim"))


def why_not(view: WhyNotView) -> RenderableType:
    """The verdict, what has changed, and what upstream decides about it."""
    parts: list[RenderableType] = [Text(_verdict(view), style="bold")]
    parts += _changes(view.unit)
    for each in view.causes[:_CAUSES_SHOWN]:
        what = "cannot run" if each.action == "blocked" else "runs first"
        parts += [Text(f"{_unit(each.asset, each.partition)} {what}: {each.reason}"), *_changes(each)]
    if len(view.causes) > _CAUSES_SHOWN:
        parts.append(Text(f"and {len(view.causes) - _CAUSES_SHOWN} more upstream"))
    parts.append(Text(f"planned against commit {view.base}", style="dim"))
    return Group(*parts)


def what_if(view: WhatIfView) -> RenderableType:
    """What would run, in a table; the first links of the chains, units of an asset with one reason together; what would break."""
    parts: list[RenderableType] = [Text(_comes_to(view), style="bold")]
    if view.assets:
        made = table(("asset", "would run", "might run", "anyway"), numbers=("would run", "might run", "anyway"))
        for each in view.assets:
            made.add_row(each.asset, *(f"{count:,}" if count else "" for count in (each.run, each.wait, each.anyway)))
        parts.append(made)
    told: dict[tuple[str, str], list[Effect]] = {}
    for effect in view.effects:
        if not effect.anyway:
            told.setdefault((effect.asset, _PARTITION.sub("", effect.reason)), []).append(effect)
    for (asset, in_common), effects in list(told.items())[:_EFFECTS_SHOWN]:
        reason = effects[0].reason if len(effects) == 1 else in_common
        parts.append(Text(printable(f"{_unit(asset, span([each.partition for each in effects]))}: {reason}"), style="dim"))
    if len(told) > _EFFECTS_SHOWN or not view.complete:
        parts.append(Text("and more (see --json)", style="dim"))
    parts += [_reader(each) for each in view.readers]
    if view.assets:
        parts.append(Text(takes(view.prediction)))
    parts.append(Text(f"planned against commit {view.base} of `{view.branch}`", style="dim"))
    return Group(*parts)


def _comes_to(view: WhatIfView) -> str:
    words = [f"{plural(view.run, 'unit')} would run"] if view.run else []
    if view.wait:
        reads = "it reads" if view.wait == 1 else "they read"
        words.append(f"{plural(view.wait, 'unit')} would run only if what {reads} comes out otherwise")
    return f"{', '.join(words) or 'Nothing more would run'}."


def _reader(each: BrokenReader) -> Text:
    column = f"`{each.column}` of `{each.asset}`"
    used = ", ".join(f"`{name}`" for name in each.used if name) or "which rows there are"
    match each.verdict:
        case "breaks":
            return Text(printable(f"{each.reader} breaks: it makes {used} from {column} ({', '.join(each.known)})"), style="red")
        case "may-break":
            return Text(printable(f"{each.reader} may break: it makes {used} from {column} ({', '.join(each.known)})"), style="yellow")
        case "unknown":
            return Text(printable(f"{each.reader} may read {column}; nobody knows: {each.because}"), style="yellow")
        case _:
            return Text(printable(f"{each.reader} does not read {column}"), style="dim")


def _verdict(view: WhyNotView) -> str:
    unit = _unit(view.unit.asset, view.unit.partition)
    match view.unit.action:
        case "run":
            return f"{unit} would run: {view.unit.reason}."
        case "wait":
            first = plural(len(view.causes), "unit")
            return f"{unit} would run if what it reads changes: {first} upstream {'runs' if len(view.causes) == 1 else 'run'} first."
        case "reuse":
            return f"{unit} would not run, but be taken over: {view.unit.reason}."
        case "skip":
            return f"{unit} would not run: nothing it is made from has changed since run {view.made_by} made it."
        case _:
            return f"{unit} cannot run: {view.unit.reason}."


def _changes(reason: UnitReason) -> list[RenderableType]:
    if not reason.differences:
        return []
    made = table(("  what", "name", "before", "after"))
    for each in reason.differences:
        made.add_row(f"  {each.kind}", _named(each), _short(each, each.before), _short(each, each.after))
    return [made]


def _named(difference: Difference) -> str:
    if difference.unit:
        return f"{difference.name} ({difference.unit})"
    return difference.name or "(which part is not on record)"


def _short(difference: Difference, value: str) -> str:
    if not value:
        return "-"
    return printable(value if difference.kind == "parameter" else value[:SHORT])


def _grow(tree: Tree, origin: Origin, origins: Mapping[str, Origin], runs: Mapping[str, RunOrigin], seen: set[str]) -> None:
    for each in origin.inputs[:_INPUTS_SHOWN]:
        below = origins.get(each.record)
        if below is None or each.record in seen:
            note = "shown above" if below else "not shown"
            tree.add(Text(f"{each.name}: {_unit(each.asset, each.partition)}  {each.data_version[:SHORT]}  ({note})", style="dim"))
        else:
            seen.add(each.record)
            _grow(tree.add(Text.assemble((f"{each.name}: ", "dim"), _told(below, runs))), below, origins, runs, seen)
    if len(origin.inputs) > _INPUTS_SHOWN:
        tree.add(Text(f"and {len(origin.inputs) - _INPUTS_SHOWN} more inputs", style="dim"))


def _told(origin: Origin, runs: Mapping[str, RunOrigin]) -> Text:
    text = Text.assemble((_unit(origin.asset, origin.partition), "bold"), f"  {origin.data_version[:SHORT]}")
    if origin.kind == "observed":
        return text.append("  observed, as it was found", style="dim")
    text.append(f"\n  code {origin.code_version[:SHORT]}")
    if origin.parameters:
        text.append("  with " + ", ".join(f"{name}={printable(str(value))}" for name, value in origin.parameters.items()))
    run = runs.get(origin.run_id)
    text.append(f"\n  run {origin.run_id}")
    if run is not None:
        text.append(f" by {printable(run.author) or '-'}" + (f" ({printable(run.reason)})" if run.reason else ""))
        text.append(f", {instant(run.started_at)} to {instant(run.finished_at)}" + (f", commit {run.commit}" if run.commit else ""))
    return text


def _unit(asset: str, partition: str) -> str:
    return f"{asset}@{partition}" if partition else asset
