"""What the API takes and gives about the catalog itself: its history, branches, differences, and why a unit holds what it holds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from tidemill.api.payloads import KeyText
from tidemill.plan.explain import Difference, Origin

Why = Annotated[str, Meta(max_length=1000)]


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a branch's log."""

    number: int
    kind: str
    """`commit`, `rollback`, `merge`, `branch` (it begins here), `fence` (a run was shut out), `keys` (who may sign) or `delete`."""
    snapshot: str
    run_id: str
    """Empty if no run is involved."""
    author: str
    reason: str
    at: datetime
    changed: int
    """Units that it changed."""
    units: int
    """Units that hold something from here on."""
    signer: str = ""
    """Public key that signed it, 64 hex digits; empty if it is not signed. Shown, not checked: `tidemill verify` does."""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a branch's log, newest first."""

    branch: str
    entries: tuple[HistoryEntry, ...]
    next_cursor: str | None
    """Pass it as `cursor` for older entries; null at the beginning."""


class VersionView(msgspec.Struct, frozen=True, kw_only=True):
    """What a unit holds."""

    data_version: str
    record: str


class UnitChange(msgspec.Struct, frozen=True, kw_only=True):
    """One unit that differs."""

    asset: str
    partition: str
    change: str
    """`added`, `removed`, `changed`, or `remade` (other code or inputs, same content)."""
    before: VersionView | None
    """Null if it held nothing."""
    after: VersionView | None
    """Null if it holds nothing any more."""


class DiffEnd(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a comparison."""

    branch: str
    number: int
    snapshot: str


class DiffView(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between two states of the catalog."""

    before: DiffEnd
    after: DiffEnd
    total: int
    """Units that differ; `changes` may hold fewer."""
    counts: dict[str, int]
    """Units by change, of all that differ."""
    changes: tuple[UnitChange, ...]
    """In order."""
    next_cursor: str | None


class RollbackRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to go back to, and why."""

    to: Annotated[str, Meta(min_length=1, max_length=200)]
    """A log number, a snapshot's hash, an instant or a run id."""
    reason: Annotated[str, Meta(min_length=1, max_length=1000)]
    """Why; shown in the history."""
    author: KeyText = ""
    """Who; shown in the history."""
    branch: KeyText = ""
    """Which branch; empty: the one the app runs on."""
    base: int | None = None
    """The log number that was looked at when deciding; if the branch has moved on since, it is refused."""


class CatalogMoved(msgspec.Struct, frozen=True, kw_only=True):
    """Where a branch is after a change."""

    branch: str
    number: int
    snapshot: str
    changed: int
    """Units that the change changed; 0 if everything was like that already."""


class BranchView(msgspec.Struct, frozen=True, kw_only=True):
    """One branch."""

    name: str
    current: bool
    """Whether the app runs on it."""
    number: int
    """Its last log entry; 0 if nothing was ever committed."""
    snapshot: str
    units: int
    """Units that hold something."""
    author: str
    """Who wrote the last entry."""
    reason: str
    at: datetime | None
    """When; null if nothing was ever committed."""


class BranchList(msgspec.Struct, frozen=True, kw_only=True):
    """Every branch, by name."""

    branches: tuple[BranchView, ...]


class NewBranch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A branch to be made."""

    name: Annotated[str, Meta(min_length=1, max_length=63)]
    """1 to 63 characters of a-z, 0-9, `_` and `-`."""
    start: Annotated[str, Meta(max_length=200)] = ""
    """Where on the other branch it starts: a log number, a snapshot's hash, an instant or a run id; empty: where that is now."""
    origin: KeyText = ""
    """The other branch; empty: the one the app runs on."""
    author: KeyText = ""
    """Who; shown in the history."""
    reason: Why = ""
    """Why; shown in the history."""


class MergeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to merge a branch, and why."""

    into: KeyText = ""
    """The branch that takes over the changes; empty: the one the app runs on."""
    keep: bool = False
    """Units that both changed to different things stay as they are there, instead of being a conflict."""
    author: KeyText = ""
    """Who; shown in the history."""
    reason: Why = ""
    """Why; shown in the history."""


class RunOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """A run that computed some of the versions."""

    run_id: str
    author: str
    reason: str
    requested_at: datetime
    started_at: datetime | None
    """Null while it goes on."""
    finished_at: datetime | None
    commit: int
    """Log number of its commit; 0 if it committed nothing."""


class WhyView(msgspec.Struct, frozen=True, kw_only=True):
    """What a version was made from, to the sources."""

    asset: str
    partition: str
    commit: int
    """Number of the log entry it was looked up at."""
    origins: tuple[Origin, ...]
    """The version itself, then what it was made from, nearest first; each version once."""
    complete: bool
    """False if `limit` was reached before the sources."""
    runs: tuple[RunOrigin, ...]
    """The runs that computed them, newest first. One that is no longer on record is left out."""


class UnitReason(msgspec.Struct, frozen=True, kw_only=True):
    """What the next plan does with a unit, and why."""

    asset: str
    partition: str
    action: str
    """`run`, `reuse` (an earlier result is taken over), `skip` (up to date), `wait` (an input runs first) or `blocked`."""
    reason: str
    differences: tuple[Difference, ...]
    """What has changed since it was made; inputs that run first are left out."""


class WhyNotView(msgspec.Struct, frozen=True, kw_only=True):
    """Why the next plan would or would not run a unit."""

    unit: UnitReason
    causes: tuple[UnitReason, ...]
    """Units upstream that run, or cannot, and so decide about it; nearest to the sources first."""
    made_by: str
    """The run that made what the unit holds; empty if it holds nothing."""
    base: int
    """Number of the log entry it was planned against."""
