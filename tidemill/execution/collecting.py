"""What runs hold: the objects that must outlive a garbage collection although no branch reaches them."""

from __future__ import annotations

import sys

from tidemill.execution.planning import read_plan
from tidemill.execution.runtime import Runtime
from tidemill.model.keys import RunId
from tidemill.model.outcomes import Succeeded, Unchanged
from tidemill.plan.plan import Plan


def held_by_runs(runtime: Runtime) -> set[str]:
    """Hashes of the plans of all runs, and of everything that runs under way have made, seen or are about to read.

    Raises:
        IntegrityError: a plan is missing or damaged.
        StoreUnavailable: the store did not answer.
    """
    held: set[str] = set()
    for run in runtime.runs.recent(sys.maxsize):
        result, record = runtime.runs.result(run), runtime.runs.plan(run)
        if record is not None:
            held.add(record.plan)
            if result is None:
                held |= _under_way(runtime, run, read_plan(runtime, record.plan))
    return held


def _under_way(runtime: Runtime, run: RunId, plan: Plan) -> set[str]:
    made = {each.entry.record for each in runtime.runs.outcomes(run).values() if isinstance(each, Succeeded | Unchanged)}
    read = {each.record for unit in plan.units for each in unit.pinned} | {each.record for each in plan.observations}
    return made | read | {unit.current.record for unit in plan.units if unit.current is not None}
