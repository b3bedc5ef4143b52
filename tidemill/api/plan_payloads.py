"""What the API takes and gives about plans."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from tidemill.api.payloads import KeyText
from tidemill.model.facts import JsonScalar
from tidemill.plan.explain import Effect
from tidemill.plan.predict import Prediction


class NewPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to plan."""

    selection: Annotated[str, Meta(min_length=1, max_length=10_000)]
    """Assets, such as `flights/*` or `+gold.carrier_month`."""
    partitions: Annotated[str, Meta(min_length=1, max_length=100_000)] = "*"
    """Partitions, such as `2013-01`, `2013-01..2013-06` or `*`."""
    parameters: dict[str, JsonScalar] = {}
    """Values for parameters that the selected assets declare."""
    rerun: bool = False
    """Plan to run units even if nothing they are made from has changed."""
    branch: KeyText = ""
    """The branch to read and to publish on; without it, the one the app runs on."""
    reason: Annotated[str, Meta(max_length=1000)] = ""
    """Why; kept with the plan."""
    author: KeyText = ""
    """Who asks; kept with the plan."""


class ColumnChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a contract: of one column that an asset has."""

    asset: KeyText
    column: KeyText
    type: KeyText = ""
    """The Arrow type that it would have; empty: it would be dropped."""


class Supposition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is supposed to change."""

    code: tuple[KeyText, ...] = ()
    """Assets whose code would change."""
    inputs: tuple[KeyText, ...] = ()
    """Units whose content would change, as `asset@partition`; an asset alone means all of its units."""
    columns: tuple[ColumnChange, ...] = ()
    """Columns that would be dropped or have another type: a change of code, too, unless the asset is external."""
    partitions: Annotated[str, Meta(min_length=1, max_length=100_000)] = "*"
    """Partitions to look at."""
    parameters: dict[str, JsonScalar] = {}
    """Values for parameters."""
    branch: KeyText = ""
    """The branch to plan against; without it, the one the app runs on."""


class AssetEffect(msgspec.Struct, frozen=True, kw_only=True):
    """What it would do to an asset."""

    asset: str
    run: int
    """Units that would certainly run, and would not without the change."""
    wait: int
    """Units that would run only if something they read came out otherwise, and would be left alone without the change."""
    anyway: int
    """Units that would run, or wait, without the change too."""


class BrokenReader(msgspec.Struct, frozen=True, kw_only=True):
    """A reader of a column that would be dropped or have another type."""

    reader: str
    asset: str
    column: str
    verdict: str
    """`breaks` (it reads a column that would be gone), `may-break` (it reads one of another type), `unknown` or `unaffected`."""
    used: tuple[str, ...]
    """Its own columns that come from it; an empty name stands for all of them."""
    known: tuple[str, ...]
    """How that is known: `parsed`, `declared` or `measured`."""
    because: str = ""
    """Why it is not known."""


class WhatIfView(msgspec.Struct, frozen=True, kw_only=True):
    """What a change would come to."""

    branch: str
    base: int
    """Number of the log entry it was planned against."""
    run: int
    """Units that would certainly run because of the change."""
    wait: int
    """Units that would run only if something they read came out otherwise."""
    assets: tuple[AssetEffect, ...]
    """In plan order; those that the change does not touch are left out."""
    effects: tuple[Effect, ...]
    """The first units, in plan order."""
    complete: bool
    """False if there are more units than `effects` holds."""
    readers: tuple[BrokenReader, ...]
    """Every reader of an asset of which a column would change."""
    prediction: Prediction
    """What it would take to execute all of it, with the units that run anyway."""


class UnitView(msgspec.Struct, frozen=True, kw_only=True):
    """One unit of a plan."""

    asset: str
    partition: str
    action: str
    """`run`, `reuse` (an earlier result is taken over), `skip` (up to date), `wait` (an input runs first) or `blocked`."""
    reason: str


class PlanView(msgspec.Struct, frozen=True, kw_only=True):
    """A plan."""

    plan: str
    """Its id."""
    saved: bool
    """Whether it is on record, so that it can be applied."""
    planned_at: datetime
    author: str
    reason: str
    selection: str
    partitions: str
    parameters: dict[str, JsonScalar]
    rerun: bool
    branch: str
    base: int
    """Number of the catalog's log entry it was made against."""
    counts: dict[str, int]
    """Units by action."""
    prediction: Prediction
    """What executing it will take."""
    units: tuple[UnitView, ...]
    """In the order in which they would run; a page of them."""
    next_cursor: str | None
    """Pass it as `cursor` to go on; null at the end."""
