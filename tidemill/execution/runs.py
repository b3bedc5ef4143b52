"""The record of runs: what was asked, the plan, the outcomes of each tranche, the result. Written once each, never changed.

The status of a run is derived from here and not from the engine's instance table, which is known to stay "Running" after the end.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

import msgspec

from tidemill.errors import MessageError, NotFound
from tidemill.model.keys import RunId, run_id
from tidemill.model.outcomes import UnitOutcome
from tidemill.model.runs import RunRequest, RunResult
from tidemill.model.versions import canonical, digest
from tidemill.storage.base import BlobStore
from tidemill.storage.conditional import put_once

RecordT = TypeVar("RecordT", bound=msgspec.Struct)


class PlanRecord(msgspec.Struct, frozen=True, kw_only=True, tag="run_plan/1"):
    """Which plan a run executes, and since when."""

    plan: str
    started_at: datetime


class TrancheRecord(msgspec.Struct, frozen=True, kw_only=True, tag="run_tranche/1"):
    """How the units of one tranche ended."""

    outcomes: tuple[UnitOutcome, ...]


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
        return self._once(f"idempotency/{digest(key.encode())}", record)

    def claimed(self, key: str) -> IdempotencyRecord | None:
        """What an idempotency key is bound to, or None."""
        return self._read(f"idempotency/{digest(key.encode())}", IdempotencyRecord)

    def create(self, request: RunRequest) -> RunRequest:
        """Records what was asked for; returns what is on record, which is the older one if there is one."""
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

    def outcomes(self, run: RunId) -> dict[int, UnitOutcome]:
        """Every recorded outcome, by plan position."""
        outcomes: dict[int, UnitOutcome] = {}
        for name in self._store.names(f"runs/{run}/tranches/"):
            record = self._read(name, TrancheRecord)
            if record is not None:
                outcomes.update((outcome.unit, outcome) for outcome in record.outcomes)
        return outcomes

    def request_cancel(self, run: RunId, record: CancelRecord) -> CancelRecord:
        """Records that the run shall end; returns the request on record, which is the older one if there is one."""
        return self._once(f"runs/{run}/cancel", record)

    def cancel(self, run: RunId) -> CancelRecord | None:
        """The request to end the run, or None."""
        return self._read(f"runs/{run}/cancel", CancelRecord)

    def finish(self, result: RunResult) -> RunResult:
        """Records the result; returns the result on record, which is the older one if there is one."""
        return self._once(f"runs/{result.run_id}/result", result)

    def result(self, run: RunId) -> RunResult | None:
        """How the run ended, or None if it has not."""
        return self._read(f"runs/{run}/result", RunResult)

    def recent(self, limit: int, before: str = "") -> list[RunId]:
        """Ids of the newest runs, newest first. Run ids begin with their time, so names are in order of time."""
        ids = sorted({name.split("/")[1] for name in self._store.names("runs/") if name.endswith("/request")}, reverse=True)
        return [run_id(each) for each in ids if not before or each < before][:limit]

    def _once(self, name: str, record: RecordT) -> RecordT:
        if put_once(self._store, name, canonical(record)):
            return record
        found = self._read(name, type(record))
        if found is None:
            raise NotFound(f"`{name}` was written and is gone.", hint="Somebody deleted blobs of a run; start the run again.")
        return found

    def _read(self, name: str, kind: type[RecordT]) -> RecordT | None:
        found = self._store.get(name)
        if found is None:
            return None
        try:
            return msgspec.json.decode(found.data, type=kind)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise MessageError(
                f"The record `{name}` cannot be read: {error}.", hint="It was altered, or written by a newer version; deploy that version."
            ) from error
