"""The record of runs: what was asked, the plan, the outcomes of each tranche, the result. Written once each, sealed, never changed.

The status of a run is derived from here and not from the engine's instance table, which is known to stay "Running" after the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import TypeVar

import msgspec

from tidemill.errors import IntegrityError, MessageError, NotFound
from tidemill.model.keys import RunId, run_id
from tidemill.model.outcomes import ErrorInfo, UnitOutcome
from tidemill.model.runs import RunCommit, RunRequest, RunResult
from tidemill.model.versions import canonical, digest
from tidemill.storage.base import BlobStore
from tidemill.storage.conditional import put_once
from tidemill.storage.sealed import seal, unseal

RecordT = TypeVar("RecordT", bound=msgspec.Struct)

ENDED = "ended/"
_INDEX = "recent/"
_LETTERS = "-0123456789abcdefghijklmnopqrstuvwxyz"
_MIRROR = "_ZYXWVUTSRQPONMLKJIHGFEDCBA9876543210"
_END = "a"
"""Sorts after every letter of the mirror, so that an id comes before its own beginnings."""


class PlanRecord(msgspec.Struct, frozen=True, kw_only=True, tag="run_plan/1"):
    """Which plan a run executes, and since when."""

    plan: str
    started_at: datetime


class TrancheRecord(msgspec.Struct, frozen=True, kw_only=True, tag="run_tranche/1"):
    """How the units of one tranche ended."""

    outcomes: tuple[UnitOutcome, ...]
    recorded_at: datetime | None = None
    """When this was put on record; None if an earlier version did."""


class PublishedRecord(msgspec.Struct, frozen=True, kw_only=True, tag="run_published/1"):
    """What of a tranche was published before the end of the run."""

    commits: tuple[RunCommit, ...] = ()
    seen: int
    """Log number up to which nothing was in the way: no fence, no conflict."""
    whole: bool = True
    """False once a window was held back because not all of it had succeeded."""
    error: ErrorInfo | None = None
    """Why a commit was refused: the run ends with it."""


class CancelRecord(msgspec.Struct, frozen=True, kw_only=True, tag="run_cancel/1"):
    """Who asked for the end of a run, and why."""

    author: str
    reason: str
    requested_at: datetime


class IdempotencyRecord(msgspec.Struct, frozen=True, kw_only=True, tag="idempotency/1"):
    """Which run an idempotency key belongs to."""

    run_id: str
    request: str
    """Digest of what was asked for, to tell a repeated request from another one under the same key."""


class Runs:
    """Reads and writes the records of runs in a store."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store

    def claim_key(self, key: str, record: IdempotencyRecord) -> IdempotencyRecord:
        """Binds an idempotency key to a run, unless it is bound already; returns what it is bound to."""
        return self._once(f"idempotency/{key_digest(key)}", record)

    def claimed(self, key: str) -> IdempotencyRecord | None:
        """What an idempotency key is bound to, or None."""
        return self._read(f"idempotency/{key_digest(key)}", IdempotencyRecord)

    def create(self, request: RunRequest) -> RunRequest:
        """Records what was asked for; returns what is on record, which is the older one if there is one.

        The run is put into the index of runs first: an index entry without a run does no harm, a run that no list shows would.
        """
        put_once(self._store, index_name(request.run_id), b"")
        return self._once(f"runs/{request.run_id}/request", request)

    def request(self, run: RunId) -> RunRequest:
        """What was asked for.

        Raises:
            NotFound: there is no such run.
        """
        found = self._read(f"runs/{run}/request", RunRequest)
        if found is None:
            raise NotFound(f"There is no run `{run}`.", hint="List the runs with `tidemill status` or GET /api/runs.")
        return found

    def start(self, run: RunId, record: PlanRecord) -> PlanRecord:
        """Records the plan; returns the plan on record, which is the older one if there is one."""
        return self._once(f"runs/{run}/plan", record)

    def plan(self, run: RunId) -> PlanRecord | None:
        """The plan on record, or None if the run has not been planned."""
        return self._read(f"runs/{run}/plan", PlanRecord)

    def record_tranche(self, run: RunId, number: int, record: TrancheRecord) -> TrancheRecord:
        """Records the outcomes of a tranche; returns the outcomes on record, which are the older ones if there are any."""
        return self._once(f"runs/{run}/tranches/{number:06d}", record)

    def tranche(self, run: RunId, number: int) -> TrancheRecord | None:
        """How the units of a tranche ended, or None if it is not on record."""
        return self._read(f"runs/{run}/tranches/{number:06d}", TrancheRecord)

    def outcomes(self, run: RunId, tranches: Iterable[int] | None = None) -> dict[int, UnitOutcome]:
        """The recorded outcomes of some tranches, or of all, by plan position."""
        outcomes: dict[int, UnitOutcome] = {}
        folder = f"runs/{run}/tranches/"
        for name in self._store.names(folder) if tranches is None else (f"{folder}{number:06d}" for number in tranches):
            record = self._read(name, TrancheRecord)
            if record is not None:
                outcomes.update((outcome.unit, outcome) for outcome in record.outcomes)
        return outcomes

    def record_published(self, run: RunId, number: int, record: PublishedRecord) -> PublishedRecord:
        """Records what was published of a tranche; returns what is on record, which is the older one if there is one."""
        return self._once(f"runs/{run}/published/{number:06d}", record)

    def published(self, run: RunId, number: int) -> PublishedRecord | None:
        """What was published of a tranche, or None if that is not known yet."""
        return self._read(f"runs/{run}/published/{number:06d}", PublishedRecord)

    def all_published(self, run: RunId) -> list[PublishedRecord]:
        """What was published of every tranche so far, in order."""
        found = (self._read(name, PublishedRecord) for name in self._store.names(f"runs/{run}/published/"))
        return [each for each in found if each is not None]

    def request_cancel(self, run: RunId, record: CancelRecord) -> CancelRecord:
        """Records that the run shall end; returns the request on record, which is the older one if there is one."""
        return self._once(f"runs/{run}/cancel", record)

    def cancel(self, run: RunId) -> CancelRecord | None:
        """The request to end the run, or None."""
        return self._read(f"runs/{run}/cancel", CancelRecord)

    def finish(self, result: RunResult) -> RunResult:
        """Records the result; returns the result on record, which is the older one if there is one.

        A mark stays beside the records of the run: whoever finds it and no result knows that the result was lost.
        """
        done = self._once(f"runs/{result.run_id}/result", result)
        put_once(self._store, f"{ENDED}{result.run_id}", b"")
        return done

    def result(self, run: RunId) -> RunResult | None:
        """How the run ended, or None if it has not."""
        return self._read(f"runs/{run}/result", RunResult)

    def recent(self, limit: int, before: str = "") -> list[RunId]:
        """Ids of the newest runs, newest first. Run ids begin with their time, and the index has them backwards, so this reads only what it returns."""
        names = self._store.names(_INDEX, after=f"{_INDEX}{_backwards(before)}" if before else "")
        return [run_id(_forwards(name.removeprefix(_INDEX))) for name in islice(names, limit)]

    def every(self) -> Iterator[RunId]:
        """Ids of all runs, by id. Lists every record of every run."""
        for name in self._store.names("runs/"):
            if name.endswith("/request"):
                yield run_id(name.split("/")[1])

    def _once(self, name: str, record: RecordT) -> RecordT:
        if put_once(self._store, name, seal(name, canonical(record))):
            return record
        found = self._read(name, type(record))
        if found is None:
            raise NotFound(f"`{name}` was written and is gone.", hint="Somebody deleted blobs of a run; start the run again.")
        return found

    def _read(self, name: str, kind: type[RecordT]) -> RecordT | None:
        found = self._store.get(name)
        if found is None:
            return None
        data = unseal(name, found.data)
        if data is None:
            raise IntegrityError(f"The record `{name}` is damaged.", hint="Restore it from a copy. Run `tidemill verify`.")
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise MessageError(
                f"The record `{name}` cannot be read: {error}.", hint="A newer version wrote it; deploy that version."
            ) from error


def key_digest(key: str) -> str:
    """An idempotency key as names and records have it."""
    return digest(key.encode())


def index_name(run: str) -> str:
    """Where a run stands in the index."""
    return f"{_INDEX}{_backwards(run)}"


def _backwards(run: str) -> str:
    """The name of a run in the index, where later ids come first."""
    return run.translate(_TO_INDEX) + _END


def _forwards(name: str) -> str:
    """The inverse of `_backwards`."""
    return name.removesuffix(_END).translate(_FROM_INDEX)


_TO_INDEX, _FROM_INDEX = str.maketrans(_LETTERS, _MIRROR), str.maketrans(_MIRROR, _LETTERS)
