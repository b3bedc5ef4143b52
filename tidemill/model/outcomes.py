"""What became of a unit in a run: exactly one outcome each. They travel as messages and rest in the run's records."""

from __future__ import annotations

import msgspec

from tidemill.model.facts import Entry


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as data: what a person reads and what a retry needs to know."""

    code: str
    """Stable and greppable: see `docs/reference/errors.md`."""
    message: str
    """One or two sentences: what, which, why."""
    hint: str = ""
    """What to do next."""
    types: tuple[str, ...] = ()
    """Class name of the user's exception, then those of its base classes; empty for our own errors."""
    stack: str = ""
    """Frames of the user's own code, outermost first; empty for mistakes that need none."""
    retryable: bool = True
    """False if trying the same thing again cannot help."""


class Succeeded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="succeeded"):
    """It was computed, or its result was found by fingerprint."""

    unit: int
    """Position in the plan."""
    entry: Entry
    row_count: int
    size_bytes: int
    seconds: float
    """Time the activity spent on it, reading and writing included."""
    found: bool = False
    """True if an earlier result with the same fingerprint was taken and no code ran."""
    attempts: int = 1


class Unchanged(msgspec.Struct, frozen=True, kw_only=True, tag="unchanged"):
    """Cut off: its inputs ran and came out as before, so it is up to date without an activity."""

    unit: int
    entry: Entry


class Failed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="failed"):
    """It was tried as often as its retry policy allows."""

    unit: int
    error: ErrorInfo
    attempts: int = 1


class Skipped(msgspec.Struct, frozen=True, kw_only=True, tag="skipped"):
    """Not tried, because something it reads failed."""

    unit: int
    because: int
    """Position of the unit that failed."""


class Canceled(msgspec.Struct, frozen=True, kw_only=True, tag="canceled"):
    """Not started, because the run was cancelled."""

    unit: int


UnitOutcome = Succeeded | Unchanged | Failed | Skipped | Canceled
