"""The one error tree. Each class says what went wrong, keeps the facts as fields and builds its own sentence.

Every error has a stable `code` (greppable, documented in `docs/reference/errors.md`) and a `hint` that says what to do next. Surfaces turn
errors into HTTP problems, exit codes and panels by one table each; they never parse text.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import ClassVar


class TidemillError(Exception):
    """Root of everything Tidemill raises on purpose."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class InvalidKey(TidemillError):
    """A name breaks its grammar."""

    code = "invalid-key"

    def __init__(self, kind: str, text: str, grammar: str) -> None:
        shown = text if len(text) <= 80 else text[:77] + "..."
        super().__init__(f"{shown!r} is not a valid {kind}.", hint=f"Write {grammar}.")
        self.kind = kind
        self.text = text


class DefinitionProblem(TidemillError):
    """One thing wrong in a definition, with its place."""

    code = "invalid-definition"

    def __init__(self, message: str, *, place: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.place = place
        """`file:line`, relative to the project, or the name of what was being loaded."""


class DefinitionError(TidemillError):
    """Everything wrong in the definitions, all at once."""

    code = "invalid-definitions"

    def __init__(self, problems: Sequence[DefinitionProblem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.place, problem.message)))
        lines = [f"{problem.place}: {problem}" for problem in self.problems]
        count = f"{len(lines)} problems" if len(lines) != 1 else "1 problem"
        super().__init__(f"{count} in the definitions:\n" + "\n".join(f"  {line}" for line in lines))


class PlanError(TidemillError):
    """The request cannot be planned: the requester's to mend. Nothing was started."""

    code = "invalid-request"


class UnknownAsset(PlanError):
    """A selection or address names an asset that is not defined."""

    code = "asset-not-found"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"Asset `{name}` is not defined.", hint=did_you_mean(name, known))
        self.name = name


class UnknownPartition(PlanError):
    """A partition that the asset does not have."""

    code = "partition-not-found"

    def __init__(self, asset: str, partition: str, known: Sequence[str]) -> None:
        what = (
            f"Asset `{asset}` has no partition `{partition}`."
            if known
            else f"Asset `{asset}` is not partitioned, so it has no partition `{partition}`."
        )
        hint = (did_you_mean(partition, known) or f"It has {len(known)} partitions, {known[0]} to {known[-1]}.") if known else ""
        super().__init__(what, hint=hint)


class InvalidSelection(PlanError):
    """A selection that cannot be read."""

    code = "invalid-selection"


class UnknownParameter(PlanError):
    """A run parameter that no selected asset declares, or a value of the wrong type."""

    code = "unknown-parameter"


class SourceUnavailable(PlanError):
    """An external asset could not be observed or loaded."""

    code = "source-unavailable"


class NotFound(TidemillError):
    """Something asked for by name that does not exist."""

    code = "not-found"


class StorageError(TidemillError):
    """The store did not do what was asked."""

    code = "storage-error"


class StoreUnavailable(StorageError):
    """The store could not be reached or answered with a passing fault; whether a write took place is unknown."""

    code = "store-unavailable"
    retryable = True


class IntegrityError(StorageError):
    """Stored bytes are not what their name or record says."""

    code = "integrity-error"


class CatalogConflict(TidemillError):
    """Another commit changed the same unit; both sides are named."""

    code = "catalog-conflict"


class RunFenced(TidemillError):
    """The run was cancelled: nothing of it may be committed any more."""

    code = "run-canceled"


class NotTrusted(TidemillError):
    """Snapshots of this branch are signed, and this deployment has no key that may sign them."""

    code = "not-trusted"


class MessageError(TidemillError):
    """A stored message this deployment cannot read: a deployment mistake."""

    code = "unreadable-message"


class MissingExtra(TidemillError):
    """An optional dependency that is not installed."""

    code = "missing-extra"

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs packages that are not installed.", hint=f"Install them with `pip install 'tidemill[{extra}]'`.")


class SettingsError(TidemillError):
    """A setting that is missing or cannot be used."""

    code = "invalid-settings"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the nearest known name, or the known names if there are few, or nothing."""
    names = sorted(set(known))
    # Comparing costs about 10 µs a name; among more names than this the nearest one is rarely what was meant.
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6) if len(names) <= 5_000 else []
    if near:
        return f"Did you mean `{near[0]}`?"
    return f"Known: {', '.join(f'`{each}`' for each in names)}." if 0 < len(names) <= 12 else ""
