"""What is on record about a run, as the value that its OpenLineage events are made from. Read on request, and by whoever tells of runs as they go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache, partial

import msgspec

from tidemill.definitions.groups import Granularity
from tidemill.execution.known_columns import column_finder
from tidemill.execution.records import read_records
from tidemill.execution.runs import PublishedRecord, TrancheRecord
from tidemill.execution.runtime import Runtime
from tidemill.lineage.openlineage import RunHistory, Span
from tidemill.model.facts import Entry
from tidemill.model.keys import RunId, UnitKey
from tidemill.model.outcomes import ErrorInfo, Failed, Succeeded, UnitOutcome
from tidemill.model.runs import RunRequest, RunResult, RunStatus
from tidemill.plan.stored import PlanHead
from tidemill.redact import redact
from tidemill.settings import DEFAULT_NAMESPACE


def run_history(runtime: Runtime, run: RunId, *, namespace: str = DEFAULT_NAMESPACE, tranches: Iterable[int] | None = None) -> RunHistory:
    """A run as far as it has come.

    Args:
        runtime: where it is on record.
        run: which.
        namespace: of its jobs and datasets.
        tranches: those whose outcomes are wanted; all by default.

    Raises:
        NotFound: there is no such run.
        DefinitionError: the definitions are broken.
        IntegrityError: a record or the plan is missing or damaged.
        StoreUnavailable: the store did not answer.
    """
    request, result, planned = runtime.runs.request(run), runtime.runs.result(run), runtime.runs.plan(run)
    head = runtime.plans.head(planned.plan) if planned else None
    started_at = planned.started_at if planned else request.requested_at
    spans = _Spans(runtime, request, result, head, started_at)
    outcomes: dict[int, UnitOutcome] = {}
    for number in tranches if tranches is not None else range(len(head.starts) if head else 0):
        record = spans.tranche(number)
        outcomes.update((each.unit, _safe(each)) for each in (record.outcomes if record else ()))
    code = {each.key: each.code_version for each in head.assets} if head else {}

    def units(positions: Sequence[int]) -> dict[int, tuple[UnitKey, str]]:
        keys = runtime.plans.keys(planned.plan, positions) if planned else {}
        return {position: (key, code[key.asset]) for position, key in keys.items()}

    return RunHistory(
        request=request,
        result=result and _safe_result(result),
        started_at=started_at,
        outcomes=outcomes,
        units=units,
        span=spans.of,
        records=partial(read_records, runtime.catalog),
        columns=column_finder(runtime),
        definition=runtime.graph.deployed,
        namespace=namespace,
    )


class _Spans:
    """When the units of a run were at work. Reads each tranche's records once."""

    def __init__(
        self, runtime: Runtime, request: RunRequest, result: RunResult | None, head: PlanHead | None, started_at: datetime
    ) -> None:
        run = RunId(request.run_id)
        self._result, self._head, self._started_at = result, head, started_at
        self._granularity = {each.key: each.commit for each in head.assets} if head else {}
        self._is_held = _held(runtime, request, result)
        self.tranche: Callable[[int], TrancheRecord | None] = cache(partial(runtime.runs.tranche, run))
        self._published: Callable[[int], PublishedRecord | None] = cache(partial(runtime.runs.published, run))

    def of(self, position: int, unit: UnitKey, outcome: UnitOutcome) -> Span:
        """See `RunHistory.span`."""
        assert self._head is not None, "units have outcomes only where there is a plan"
        number = self._head.tranche_of(position)
        before, own = (self.tranche(number - 1) if number else None), self.tranche(number)
        started = (before.recorded_at if before else None) or self._started_at
        recorded = own.recorded_at if own else None
        if recorded is not None and (isinstance(outcome, Failed) or self._went_out(unit, number)):
            return Span(started, recorded, with_run=False, published=isinstance(outcome, Succeeded))
        held = isinstance(outcome, Succeeded) and self._is_held(unit, outcome.entry)
        return Span(started, self._result.finished_at if self._result else None, with_run=True, published=held)

    def _went_out(self, unit: UnitKey, number: int) -> bool:
        """Whether a unit was published when its tranche was recorded."""
        granularity = self._granularity[unit.asset]
        if granularity == Granularity.RUN:
            return False
        record = self._published(number)
        return record is not None and record.error is None and (granularity == Granularity.UNIT or record.whole)


def _held(runtime: Runtime, request: RunRequest, result: RunResult | None) -> Callable[[UnitKey, Entry], bool]:
    """Whether a run that has ended published a version: all of them if it succeeded; else those that its last commit holds."""
    if result is None or result.commit == 0 or result.status is RunStatus.SUCCEEDED:
        return lambda _unit, _entry: result is not None and result.status is RunStatus.SUCCEEDED
    view = runtime.catalog_on(request.branch).view(result.commit)
    return lambda unit, entry: (held := view.entry(unit)) is not None and held.record == entry.record


def _safe(outcome: UnitOutcome) -> UnitOutcome:
    return msgspec.structs.replace(outcome, error=_safe_error(outcome.error)) if isinstance(outcome, Failed) else outcome


def _safe_result(result: RunResult) -> RunResult:
    return msgspec.structs.replace(result, error=_safe_error(result.error)) if result.error else result


def _safe_error(error: ErrorInfo) -> ErrorInfo:
    return msgspec.structs.replace(error, message=redact(error.message), stack=redact(error.stack))
