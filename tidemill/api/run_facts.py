"""Where a run stands: our own records decide, the engine only fills the gap while there is no result.

The engine's instance table is known to say "Running" after the end, and to forget; the records are written once and never change.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tidemill.api.app import ApiApp
from tidemill.api.engine import EngineState, EngineStatus
from tidemill.execution.runs import CancelRecord, PlanRecord
from tidemill.execution.runtime import Runtime
from tidemill.model.keys import RunId
from tidemill.model.outcomes import ErrorInfo
from tidemill.model.runs import RunRequest, RunResult, RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """Everything on record about a run, and what the engine says where no result is."""

    request: RunRequest
    result: RunResult | None
    plan: PlanRecord | None
    """None also where the result is there and says it all."""
    cancel: CancelRecord | None
    engine: EngineStatus | None = None
    """None: not asked, or it has never heard of the run."""

    @property
    def status(self) -> RunStatus:
        """Where the run stands."""
        if self.result is not None:
            return self.result.status
        if self.engine is not None and self.engine.state.is_final:
            return RunStatus.FAILED
        started = self.plan is not None or (self.engine is not None and self.engine.state is EngineState.RUNNING)
        return RunStatus.RUNNING if started else RunStatus.PENDING

    @property
    def error(self) -> ErrorInfo | None:
        """Why the run ended as it did; None if it succeeded or goes on."""
        if self.result is not None:
            return self.result.error
        if self.engine is None or not self.engine.state.is_final:
            return None
        how = {EngineState.FAILED: "failed", EngineState.TERMINATED: "was terminated", EngineState.COMPLETED: "ended"}[self.engine.state]
        return ErrorInfo(
            code="engine-stopped",
            message=f"The orchestration of run `{self.request.run_id}` {how} before it could record a result, so nothing was published.",
            hint="The app's log says why; then run again: finished units are kept and will be reused.",
        )


def read_records(runtime: Runtime, run: RunId) -> RunFacts:
    """What is on record about a run. Blocks.

    Raises:
        NotFound: there is no such run.
    """
    request = runtime.runs.request(run)
    result = runtime.runs.result(run)
    cancel = runtime.runs.cancel(run)
    return RunFacts(request=request, result=result, plan=None if result else runtime.runs.plan(run), cancel=cancel)


async def gather_facts(app: ApiApp, run: RunId) -> RunFacts:
    """What is on record about a run, and what the engine says if that is not the end of it.

    Raises:
        NotFound: there is no such run.
    """
    facts = await asyncio.to_thread(read_records, app.runtime, run)
    if facts.result is not None:
        return facts
    engine = await app.engine.status(run)
    if engine is not None and engine.state.is_final:
        # It may have ended, result and all, between the two questions.
        facts = await asyncio.to_thread(read_records, app.runtime, run)
    return RunFacts(request=facts.request, result=facts.result, plan=facts.plan, cancel=facts.cancel, engine=engine)
