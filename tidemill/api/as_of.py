"""Time travel for every read: which branch, and as of when."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tidemill.api.app import ApiApp
from tidemill.api.errors import UnknownBranch, UnknownMoment
from tidemill.api.payloads import KeyText
from tidemill.catalog.catalog import Catalog, CatalogView
from tidemill.errors import NotFound

Moment = Annotated[str, Meta(max_length=200)]


class OnBranch(msgspec.Struct, frozen=True, kw_only=True):
    """Which branch."""

    branch: KeyText = ""
    """A branch; without it, the one the app runs on."""


class AsOf(OnBranch, frozen=True, kw_only=True):
    """Which state of the catalog."""

    as_of: Moment = ""
    """A log number, a snapshot's hash, an instant or a run id; without it, now."""


def catalog_of(app: ApiApp, branch: str) -> Catalog:
    """The catalog of a branch that exists; the app's own if the name is empty.

    Raises:
        InvalidKey: it is no branch name.
        UnknownBranch: there is no such branch.
    """
    catalog = app.runtime.catalog_on(branch)
    try:
        catalog.head()
    except NotFound as error:
        raise UnknownBranch(error.message, hint=error.hint) from None
    return catalog


def number_at(catalog: Catalog, moment: str) -> int | None:
    """The log number that a moment means; None for now.

    Raises:
        UnknownMoment: it means nothing on this branch.
    """
    if not moment:
        return None
    try:
        return catalog.resolve(moment).number
    except NotFound as error:
        raise UnknownMoment(error.message, hint=error.hint) from None


def view_at(app: ApiApp, asked: AsOf) -> CatalogView:
    """The state of the catalog that is asked about.

    Raises:
        InvalidKey: it names no branch.
        UnknownBranch: there is no such branch.
        UnknownMoment: nothing on the branch is meant by `as_of`.
    """
    catalog = catalog_of(app, asked.branch)
    return catalog.view(number_at(catalog, asked.as_of))
