"""Pictures of runs: while they go on, when they have ended, and in a list."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tidemill.api.payloads import RunSummary, RunView, UnitCounts
from tidemill.cli.progress import Pace, Standing
from tidemill.cli.words import COLOURS, MARKS, duration, instant, plural, size
from tidemill.model.runs import UnitFailure

FAILURES_SHOWN = 5


def moving(standing: Standing, pace: Pace) -> RenderableType:
    """A run that goes on: a bar for each asset."""
    table = Table.grid(padding=(0, 2))
    for asset in standing.assets:
        units = asset.units
        done = units.total - units.pending
        bar = ProgressBar(total=max(units.total, 1), completed=done, width=28, complete_style="red" if units.failed else "green")
        table.add_row(Text(asset.asset), bar, Text(f"{done}/{units.total}", justify="right"), Text(_extras(units), style="dim"))
    return Group(table, Text(progress_line(standing, pace), style="bold"))


def progress_line(standing: Standing, pace: Pace | None = None) -> str:
    """A run that goes on, as one line."""
    if not standing.units.total:
        return f"{standing.run_id}: {standing.phase or standing.status}"
    words = [f"{standing.run_id}: {standing.done}/{plural(standing.to_do, 'unit')}"]
    if standing.units.failed:
        words.append(f"{standing.units.failed} failed")
    if pace is not None and pace.rate > 0:
        words.append(f"{pace.rate:.1f} units/s")
        left = pace.seconds_left(standing)
        if left:
            words.append(f"about {duration(left)} left")
    if standing.phase not in ("", "running"):
        words.append(standing.phase)
    return ", ".join(words)


def whole(view: RunView) -> RenderableType:
    """Everything worth saying about one run."""
    parts: list[RenderableType] = [_headline(view)]
    facts = [f"{view.selection}" + (f", partitions {view.partitions}" if view.partitions != "*" else "")]
    facts += [f"on branch {view.branch}"] if view.branch != "main" else []
    facts += [f"parameters {', '.join(f'{name}={value}' for name, value in view.parameters.items())}"] if view.parameters else []
    facts += [f"asked {instant(view.requested_at)}" + (f" by {view.author}" if view.author else "")]
    facts += [view.reason] if view.reason else []
    if view.cancel is not None:
        by = f" by {view.cancel.author}" if view.cancel.author else ""
        facts += [f"cancelled {instant(view.cancel.requested_at)}{by}" + (f": {view.cancel.reason}" if view.cancel.reason else "")]
    parts.append(Text(" · ".join(facts), style="dim"))
    if view.assets:
        parts.append(_by_asset(view))
    parts += [_failure(each) for each in view.failures[:FAILURES_SHOWN]]
    if len(view.failures) > FAILURES_SHOWN:
        parts.append(Text(f"… and {len(view.failures) - FAILURES_SHOWN} more failures (see --json).", style="dim"))
    if view.error is not None:
        parts.append(
            Panel(Text(f"{view.error.message}\n{view.error.hint}".strip()), title=view.error.code, title_align="left", border_style="red")
        )
    return Group(*parts)


def many(runs: Sequence[RunSummary]) -> RenderableType:
    """A list of runs, newest first."""
    if not runs:
        return Text("No runs yet. Start one with `tidemill run SELECTION`.")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "status", "asked (UTC)", "took", "changed", "selection"):
        table.add_column(name, justify="right" if name in ("took", "changed") else "left", no_wrap=name in ("run", "status"))
    for each in runs:
        took = duration((each.finished_at - each.started_at).total_seconds()) if each.finished_at and each.started_at else "-"
        table.add_row(
            each.run_id,
            Text(f"{MARKS[each.status]} {each.status}", style=COLOURS[each.status]),
            instant(each.requested_at),
            took,
            f"{each.changed:,}" if each.commit else "-",
            Text(_asked(each)),
        )
    return table


def _asked(run: RunSummary) -> str:
    """What a run was asked for, in a few words."""
    where = (f" @ {run.partitions}" if run.partitions != "*" else "") + (f" on branch {run.branch}" if run.branch != "main" else "")
    return run.selection + where + (f" ({run.reason})" if run.reason else "")


def _headline(view: RunView) -> Text:
    words = [f"{MARKS[view.status]} {view.run_id} {view.status}"]
    if view.duration_seconds is not None:
        words.append(f"{'in' if view.finished_at else 'for'} {duration(view.duration_seconds)}")
    rows = sum(each.row_count for each in view.assets)
    told = [plural(view.units.total, "unit")] if view.units.total else []
    told += [f"{rows:,} rows written"] if rows else []
    if view.commit:
        which = f"commit {view.commit}" if view.commit_count <= 1 else f"{view.commit_count} commits, the last of them {view.commit},"
        told.append(f"{which} changed {plural(view.changed, 'unit')}" if view.changed else "nothing changed")
    return Text(" ".join(words) + ("" if not told else ": " + ", ".join(told)), style=f"bold {COLOURS[view.status]}")


def _by_asset(view: RunView) -> Table:
    """What happened, asset by asset; a column in which nothing happened is left out."""
    columns: dict[str, list[str]] = {
        name: []
        for name in ("units", "ran", "found", "unchanged", "reused", "up to date", "failed", "skipped", "pending", "rows", "size", "time")
    }
    for each in view.assets:
        units = each.units
        counts = (
            units.total,
            units.succeeded - units.found,
            units.found,
            units.unchanged,
            units.reused,
            units.up_to_date,
            units.failed,
            units.skipped + units.canceled,
            units.pending,
            each.row_count,
        )
        texts = [f"{count:,}" if count else "" for count in counts]
        texts += [size(each.size_bytes) if each.size_bytes else "", duration(each.seconds) if each.seconds else ""]
        for column, text in zip(columns.values(), texts, strict=True):
            column.append(text)
    shown = {name: texts for name, texts in columns.items() if any(texts)}
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("asset", no_wrap=True)
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True)
    for row, each in enumerate(view.assets):
        table.add_row(each.asset, *(texts[row] for texts in shown.values()), style="red" if each.units.failed else None)
    return table


def _failure(failure: UnitFailure) -> Panel:
    unit = f"{failure.asset}@{failure.partition}" if failure.partition else failure.asset
    parts: list[RenderableType] = [Text(failure.error.message)]
    if failure.error.hint:
        parts.append(Text(failure.error.hint, style="cyan"))
    title = f"{failure.error.code} · {unit}" + (f" · {plural(failure.attempts, 'attempt')}" if failure.attempts > 1 else "")
    return Panel(Group(*parts), title=Text(title), title_align="left", border_style="red")


def _extras(units: UnitCounts) -> str:
    told = {
        "reused": units.reused,
        "up to date": units.up_to_date,
        "unchanged": units.unchanged,
        "failed": units.failed,
        "skipped": units.skipped,
        "cancelled": units.canceled,
    }
    return ", ".join(f"{count} {name}" for name, count in told.items() if count)
