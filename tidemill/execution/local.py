"""The in-process executor: the same plan, the same state machine and the same effects as the durable run, on threads of this process.

For CI and simple jobs: no Azure package, no Azurite, no Node. What the durable engine adds, surviving the process, is missing on purpose; the
fingerprints of finished units stay, so running again goes on where it stopped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from heapq import heappop, heappush

from tidemill.errors import TidemillError
from tidemill.execution.finish import finish_run
from tidemill.execution.materialize import materialize_units
from tidemill.execution.publishing import publish_tranche
from tidemill.execution.run_plans import open_tranche, plan_run
from tidemill.execution.runs import TrancheRecord
from tidemill.execution.runtime import Runtime
from tidemill.messages.run import MaterializeUnits, UnitsReply
from tidemill.model.keys import run_id
from tidemill.model.runs import RunRequest, RunResult
from tidemill.plan.counts import Counts
from tidemill.plan.progress import Batch, Retry, TrancheProgress
from tidemill.plan.tranche import Tranche


def apply_local(
    runtime: Runtime,
    request: RunRequest,
    *,
    on_progress: Callable[[dict[str, list[int]]], None] = lambda _: None,
    threads: int | None = None,
) -> RunResult:
    """Plans and executes a request in this process, and commits it.

    Args:
        runtime: where the definitions are and where the results go.
        request: what to run.
        on_progress: told the counts by asset (see `plan.counts`) whenever they change.
        threads: units to materialize at the same time; the number of processors by default.

    Raises:
        PlanError: the request cannot be planned; nothing was run.
        PlanDrifted: it names a saved plan that does not fit any more; nothing was run.
        StoreUnavailable: the folder or store cannot be written.
    """
    run = run_id(request.run_id)
    runtime.runs.create(request)
    plan = plan_run(runtime, run).plan
    counts = Counts.from_lists({})
    pool = ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="unit")
    try:
        for number in range(len(runtime.plans.head(plan).starts)):
            tranche = open_tranche(runtime, run, plan, number)
            progress = _Walk(runtime, pool, run, tranche, counts, on_progress).to_the_end()
            outcomes = tuple(progress.outcomes[each] for each in sorted(progress.outcomes))
            runtime.runs.record_tranche(run, number, TrancheRecord(outcomes=outcomes, recorded_at=runtime.now()))
            published = publish_tranche(runtime, run, plan, number)
            runtime.listener.recorded(run, number)
            if published is not None and published.error is not None:
                break
            counts = Counts.from_lists(counts.to_lists())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)  # interrupted, it starts nothing more
    return finish_run(runtime, run)


class _Walk:
    """One tranche on a pool of threads."""

    def __init__(
        self,
        runtime: Runtime,
        pool: ThreadPoolExecutor,
        run: str,
        tranche: Tranche,
        counts: Counts,
        on_progress: Callable[[dict[str, list[int]]], None],
    ) -> None:
        self._runtime, self._pool, self._run, self._tranche = runtime, pool, run, tranche
        self._counts, self._on_progress = counts, on_progress
        self._progress = TrancheProgress(tranche)
        self._open: dict[Future[UnitsReply], Batch] = {}
        self._pauses: list[tuple[float, str, Batch]] = []
        counts.expect(tranche)

    def to_the_end(self) -> TrancheProgress:
        """Runs every unit of the tranche."""
        while not self._progress.done:
            self._send()
            self._report()
            timeout = max(0.0, self._pauses[0][0] - time.monotonic()) if self._pauses else None
            if not self._open:
                time.sleep(timeout or 0.0)
                continue
            done, _ = wait(self._open, timeout=timeout, return_when=FIRST_COMPLETED)
            for future in done:
                for retry in self._fold(self._open.pop(future), future):
                    heappush(self._pauses, (time.monotonic() + retry.delay.total_seconds(), retry.batch.step, retry.batch))
        self._report()
        return self._progress

    def _send(self) -> None:
        ready: list[Batch] = []
        while self._pauses and self._pauses[0][0] <= time.monotonic():
            ready.append(heappop(self._pauses)[2])
        ready += self._progress.take(len(self._tranche.units))
        for batch in ready:
            command = MaterializeUnits.of(self._run, self._tranche, batch)
            self._open[self._pool.submit(materialize_units, self._runtime, command)] = batch

    def _fold(self, batch: Batch, future: Future[UnitsReply]) -> list[Retry]:
        try:
            return self._progress.fold(batch, future.result().outcomes)
        except TidemillError as error:
            return self._progress.interrupted(batch, str(error))

    def _report(self) -> None:
        self._counts.fold(self._progress)
        self._on_progress(self._counts.to_lists())
