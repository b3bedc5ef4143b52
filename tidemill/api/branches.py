"""Branches: listing, making, comparing, merging and ending them."""

from __future__ import annotations

from datetime import datetime

import msgspec

from tidemill.api.app import ApiApp
from tidemill.api.as_of import catalog_of, number_at
from tidemill.api.catalog_payloads import BranchList, BranchView, MergeRequest, NewBranch, Why
from tidemill.api.history import PageOfChanges, diff_view, end_of, moved
from tidemill.api.http import ApiResponse, json_response
from tidemill.api.payloads import KeyText
from tidemill.api.route import Call, Nothing
from tidemill.catalog.catalog import Position
from tidemill.catalog.writer import MAIN


class BranchDiffQuery(PageOfChanges, frozen=True, kw_only=True):
    """What to compare a branch with."""

    against: KeyText = ""
    """The other branch; without it, the one the app runs on."""


class Farewell(msgspec.Struct, frozen=True, kw_only=True):
    """Who ends a branch, and why. In the query, since a DELETE has no body that every proxy lets through."""

    author: KeyText = ""
    """Who; shown in the history."""
    reason: Why = ""
    """Why; shown in the history."""


def list_branches(app: ApiApp, _: Call[Nothing, Nothing]) -> ApiResponse:
    """Every branch that exists, by name, and where it is."""
    found = app.runtime.catalog.branches()
    found.setdefault(MAIN, app.runtime.catalog_on(MAIN).head())  # it exists from the start
    return json_response(BranchList(branches=tuple(_view(app, name, found[name]) for name in sorted(found))))


def create_branch(app: ApiApp, call: Call[Nothing, NewBranch]) -> ApiResponse:
    """Makes a branch that starts where another one is, or was. Nothing is copied. The branch that the app runs on, if it is not there yet, starts at main."""
    body = call.body
    origin = catalog_of(app, body.origin or (MAIN if body.name == app.runtime.branch else ""))
    start = number_at(origin, body.start)
    origin.create_branch(body.name, author=body.author, reason=body.reason, at=app.runtime.now(), start=start)
    made = origin.on(body.name)
    return json_response(_view(app, body.name, made.head()), status=201, headers={"Location": call.request.link("branches", body.name)})


def get_branch(app: ApiApp, call: Call[Nothing, Nothing]) -> ApiResponse:
    """Where one branch is."""
    catalog = app.runtime.catalog.on(call.params["branch"])
    return json_response(_view(app, catalog.branch, catalog.head()))


def diff_branch(app: ApiApp, call: Call[BranchDiffQuery, Nothing]) -> ApiResponse:
    """The units that differ between another branch (before) and this one (after)."""
    this, other = app.runtime.catalog.on(call.params["branch"]), catalog_of(app, call.query.against)
    before, after = other.head(), this.head()
    return json_response(diff_view(end_of(other, before), end_of(this, after), other.diff_branch(this.branch), call.query))


def merge_branch(app: ApiApp, call: Call[Nothing, MergeRequest]) -> ApiResponse:
    """Takes over on another branch what changed on this one since the two last had everything in common. All or nothing: a unit that both changed is a
    conflict that names both writers, unless what the other branch holds is to be kept.
    """
    body, source = call.body, app.runtime.catalog.on(call.params["branch"])
    source.head()
    target = catalog_of(app, body.into)
    done = target.merge(source.branch, keep=body.keep, author=body.author, reason=body.reason, at=app.runtime.now())
    return json_response(moved(target, done))


def delete_branch(app: ApiApp, call: Call[Farewell, Nothing]) -> ApiResponse:
    """Ends a branch. Its log stays; what only it reached becomes garbage."""
    catalog = app.runtime.catalog.on(call.params["branch"])
    query = call.query
    return json_response(
        moved(catalog, app.runtime.catalog.delete_branch(catalog.branch, author=query.author, reason=query.reason, at=app.runtime.now()))
    )


def _view(app: ApiApp, name: str, place: Position) -> BranchView:
    snapshot = place.snapshot
    return BranchView(
        name=name,
        current=name == app.runtime.branch,
        number=place.number,
        snapshot=place.hash,
        units=snapshot.units if snapshot else 0,
        author=snapshot.author if snapshot else "",
        reason=snapshot.reason if snapshot else "",
        at=datetime.fromisoformat(snapshot.at) if snapshot else None,
    )
