"""The history of a branch: what was committed, what differs between two places, and going back."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from tidemill.api.app import ApiApp
from tidemill.api.as_of import Moment, OnBranch, catalog_of, number_at
from tidemill.api.catalog_payloads import CatalogMoved, DiffEnd, DiffView, History, HistoryEntry, RollbackRequest, UnitChange, VersionView
from tidemill.api.errors import InvalidQuery
from tidemill.api.http import ApiResponse, json_response
from tidemill.api.payloads import KeyText, Limit
from tidemill.api.route import Call, Nothing
from tidemill.catalog.catalog import Catalog, Change, Committed, Position
from tidemill.model.facts import Entry
from tidemill.model.keys import unit_key

_CURSOR = "Pass `next_cursor` of the page before, or none to begin."


class HistoryQuery(OnBranch, frozen=True, kw_only=True):
    """Which entries."""

    limit: Limit = 50
    """How many at most."""
    cursor: Annotated[str, Meta(max_length=20)] = ""
    """`next_cursor` of the page before."""


class PageOfChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Which of the differences."""

    limit: Annotated[int, Meta(ge=0, le=10_000)] = 1000
    """How many at most."""
    cursor: Annotated[str, Meta(max_length=600)] = ""
    """`next_cursor` of the page before."""


class DiffQuery(PageOfChanges, frozen=True, kw_only=True):
    """What to compare."""

    before: Annotated[str, Meta(min_length=1, max_length=200)]
    """A log number, a snapshot's hash, an instant or a run id; `0` is the beginning."""
    after: Moment = ""
    """Likewise; without it, now."""
    branch: KeyText = ""
    """A branch; without it, the one the app runs on."""


def get_history(app: ApiApp, call: Call[HistoryQuery, Nothing]) -> ApiResponse:
    """The log of a branch, newest first: who changed what number of units, when and why."""
    catalog, query = catalog_of(app, call.query.branch), call.query
    if query.cursor and not (query.cursor.isdecimal() and 1 <= int(query.cursor) <= catalog.head().number + 1):
        raise InvalidQuery(f"`{query.cursor}` is no cursor of this list.", hint=_CURSOR)
    places = catalog.history(query.limit, before=int(query.cursor) if query.cursor else None)
    return json_response(
        History(
            branch=catalog.branch,
            entries=tuple(_entry(place) for place in places),
            next_cursor=str(places[-1].number) if places and places[-1].number > 1 else None,
        )
    )


def get_diff(app: ApiApp, call: Call[DiffQuery, Nothing]) -> ApiResponse:
    """The units that differ between two places of one branch's log."""
    query = call.query
    catalog = catalog_of(app, query.branch)
    before = number_at(catalog, query.before) or 0
    after = number_at(catalog, query.after)
    last = catalog.head() if after is None else catalog.position(after)
    changes = catalog.diff(before, last.number)
    return json_response(diff_view(end_of(catalog, catalog.position(before)), end_of(catalog, last), changes, query))


def roll_back(app: ApiApp, call: Call[Nothing, RollbackRequest]) -> ApiResponse:
    """Makes every unit hold what it held at an earlier place. Itself a commit, so it can be rolled back too; costs nothing but what differs."""
    body = call.body
    catalog = catalog_of(app, body.branch)
    to = number_at(catalog, body.to) or 0
    done = catalog.rollback(to, author=body.author, reason=body.reason, at=app.runtime.now(), base=body.base)
    return json_response(moved(catalog, done))


def moved(catalog: Catalog, done: Committed) -> CatalogMoved:
    """Where a branch is after a change."""
    return CatalogMoved(branch=catalog.branch, number=done.number, snapshot=done.snapshot, changed=done.changed)


def end_of(catalog: Catalog, place: Position) -> DiffEnd:
    """One side of a comparison."""
    return DiffEnd(branch=catalog.branch, number=place.number, snapshot=place.hash)


def diff_view(before: DiffEnd, after: DiffEnd, changes: Sequence[Change], page: PageOfChanges) -> DiffView:
    """One page of a comparison.

    Raises:
        InvalidKey: the cursor is no unit.
    """
    start = bisect_right([change.unit for change in changes], unit_key(page.cursor)) if page.cursor else 0
    shown = changes[start : start + page.limit]
    return DiffView(
        before=before,
        after=after,
        total=len(changes),
        counts=dict(sorted(Counter(_kind(change) for change in changes).items())),
        changes=tuple(
            UnitChange(
                asset=change.unit.asset,
                partition=change.unit.partition,
                change=_kind(change),
                before=_version(change.before),
                after=_version(change.after),
            )
            for change in shown
        ),
        next_cursor=str(shown[-1].unit) if shown and start + len(shown) < len(changes) else None,
    )


def _entry(place: Position) -> HistoryEntry:
    snapshot = place.snapshot
    assert snapshot is not None, "every entry of a log has a snapshot"
    return HistoryEntry(
        number=place.number,
        kind=snapshot.kind,
        snapshot=place.hash,
        run_id=snapshot.run_id,
        author=snapshot.author,
        reason=snapshot.reason,
        at=datetime.fromisoformat(snapshot.at),
        changed=snapshot.changed,
        units=snapshot.units,
        signer=snapshot.signature.key if snapshot.signature else "",
    )


def _kind(change: Change) -> str:
    if change.before is None:
        return "added"
    if change.after is None:
        return "removed"
    return "remade" if change.before.data_version == change.after.data_version else "changed"


def _version(entry: Entry | None) -> VersionView | None:
    return None if entry is None else VersionView(data_version=entry.data_version, record=entry.record)
