"""Pictures of the catalog: its history, branches, and what differs between two states of it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tidemill.api.catalog_payloads import BranchList, DiffEnd, DiffView, History
from tidemill.cli.words import instant, plural, printable

SHORT = 12
"""Digits of a hash that people are shown."""

_MARKS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow"), "remade": ("=", "dim")}


def table(columns: Iterable[str], *, numbers: Iterable[str] = ()) -> Table:
    """A table in the style of all tables here."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        made.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    return made


def history(found: History) -> RenderableType:
    """The log, newest first."""
    if not found.entries:
        return Text(f"Nothing was ever committed to `{found.branch}`.")
    signers = ("signed by",) if any(each.signer for each in found.entries) else ()
    made = table(("number", "time", "what", "author", "reason", "changed", "run", *signers), numbers=("number", "changed"))
    for each in found.entries:
        made.add_row(
            f"{each.number}",
            instant(each.at),
            each.kind,
            printable(each.author) or "-",
            printable(each.reason) or "-",
            f"{each.changed:,}",
            each.run_id or "-",
            *(each.signer[:SHORT] or "-" for _ in signers),
        )
    more = f"; older ones with --before {found.next_cursor}" if found.next_cursor else ""
    return Group(made, Text(f"branch {found.branch}{more}", style="dim"))


def difference(found: DiffView) -> RenderableType:
    """Units that differ, one line each."""
    head = Text(f"{_end(found.before)} → {_end(found.after)}", style="dim")
    if not found.total:
        return Group(head, Text("Nothing differs."))
    made = table(("", "unit", "before", "after"))
    for each in found.changes:
        mark, colour = _MARKS[each.change]
        made.add_row(
            Text(mark, style=colour),
            f"{each.asset}@{each.partition}" if each.partition else each.asset,
            each.before.data_version[:SHORT] if each.before else "-",
            each.after.data_version[:SHORT] if each.after else "-",
        )
    told = ", ".join(f"{count:,} {kind}" for kind, count in found.counts.items())
    shown = "" if len(found.changes) == found.total else f"; the first {len(found.changes):,} are shown"
    return Group(head, made, Text(f"{plural(found.total, 'unit')}: {told}{shown}", style="bold"))


def branches(found: BranchList) -> RenderableType:
    """All branches, one line each."""
    made = table(("", "branch", "number", "units", "last change", "author", "reason"), numbers=("number", "units"))
    for each in found.branches:
        made.add_row(
            "*" if each.current else "",
            each.name,
            f"{each.number}",
            f"{each.units:,}",
            instant(each.at),
            printable(each.author) or "-",
            printable(each.reason) or "-",
        )
    return made


def _end(end: DiffEnd) -> str:
    return f"{end.branch} {end.number}" + (f" ({end.snapshot[:SHORT]})" if end.snapshot else " (the beginning)")
