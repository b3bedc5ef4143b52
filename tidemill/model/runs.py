"""A run on record: what was asked, and how it ended. Both are written once and never changed."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from tidemill.model.facts import JsonScalar
from tidemill.model.outcomes import ErrorInfo


class RunStatus(StrEnum):
    """Where a run stands. The last three are final."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_final(self) -> bool:
        """True once nothing more will happen."""
        return self in (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELED)


class RunRequest(msgspec.Struct, frozen=True, kw_only=True, tag="run_request/1"):
    """What was asked for."""

    run_id: str
    selection: str
    partitions: str = "*"
    parameters: dict[str, JsonScalar] = {}
    rerun: bool = False
    plan: str = ""
    """The plan to execute exactly; empty: make one when the run starts. What else was asked for is then what the plan was made for."""
    branch: str = "main"
    author: str = ""
    reason: str = ""
    idempotency: str = ""
    """Hash of the idempotency key that it came with; empty: none."""
    requested_at: datetime


class AssetResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did with one asset, in units unless said otherwise."""

    asset: str
    succeeded: int = 0
    found: int = 0
    """Of the succeeded: an activity took an earlier result with the same fingerprint."""
    unchanged: int = 0
    reused: int = 0
    """The plan took over an earlier result with the same fingerprint, without an activity."""
    up_to_date: int = 0
    failed: int = 0
    skipped: int = 0
    canceled: int = 0
    row_count: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    """Sum over its units of the time activities spent on them."""


class UnitFailure(msgspec.Struct, frozen=True, kw_only=True):
    """One unit that failed, and why."""

    asset: str
    partition: str
    attempts: int
    error: ErrorInfo


class RunCommit(msgspec.Struct, frozen=True, kw_only=True):
    """One commit of a run."""

    number: int
    """Its log number."""
    snapshot: str
    changed: int
    """Units whose catalog entry it changed."""
    part: str = ""
    """Which one it is, for runs that publish more than once, such as `window-000003`; empty for the one at the end."""


class RunResult(msgspec.Struct, frozen=True, kw_only=True, tag="run_result/1"):
    """How a run ended."""

    run_id: str
    status: RunStatus
    started_at: datetime
    finished_at: datetime
    plan: str = ""
    """The plan's object; empty if planning was refused."""
    assets: tuple[AssetResult, ...] = ()
    """In plan order."""
    failures: tuple[UnitFailure, ...] = ()
    error: ErrorInfo | None = None
    """Why the run as a whole ended as it did; None if it succeeded."""
    commit: int = 0
    """Log number of its last commit; 0 if nothing was committed."""
    snapshot: str = ""
    changed: int = 0
    """Units whose catalog entry the run changed, over all its commits."""
    commits: tuple[RunCommit, ...] = ()
    """Its latest commits, a hundred at most, in order. More than one only if groups are published more often than once a run."""
    commit_count: int = 0
    """How many there were."""
