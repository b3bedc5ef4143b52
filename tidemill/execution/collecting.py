"""What runs hold: the objects that must outlive a garbage collection although no branch reaches them."""

from __future__ import annotations

from tidemill.errors import MessageError
from tidemill.execution.planning import read_plan
from tidemill.execution.runtime import Runtime
from tidemill.execution.saved import saved_plans
from tidemill.model.outcomes import Succeeded, Unchanged
from tidemill.plan.plan import Plan


def held_by_runs(runtime: Runtime) -> set[str]:
    """Hashes of the plans of all runs and of saved plans, and of everything that runs under way and saved plans have made, seen or are about to read.

    Raises:
        IntegrityError: a plan is missing or damaged.
        StoreUnavailable: the store did not answer.
    """
    held: set[str] = set()
    for run in runtime.runs.every():
        result, record = runtime.runs.result(run), runtime.runs.plan(run)
        if record is not None:
            held |= _objects(runtime, record.plan, ended=result is not None)
            if result is None:
                held |= _named(read_plan(runtime, record.plan))
                held |= {each.entry.record for each in runtime.runs.outcomes(run).values() if isinstance(each, Succeeded | Unchanged)}
    for saved in saved_plans(runtime):
        held |= runtime.plans.addresses(saved.plan) | _named(read_plan(runtime, saved.plan))
    return held


def _objects(runtime: Runtime, plan: str, *, ended: bool) -> set[str]:
    """The objects that a plan consists of; of one that another version wrote for a run that has ended, the first."""
    try:
        return runtime.plans.addresses(plan)
    except MessageError:
        if ended:
            return {plan}
        raise


def _named(plan: Plan) -> set[str]:
    """The records that a plan names."""
    read = {each.record for unit in plan.units for each in unit.pinned} | {each.record for each in plan.observations}
    return read | {entry.record for unit in plan.units for entry in (unit.current, unit.reuses) if entry is not None}
