"""Activities: one effect per file, one message in, one message out, idempotent. Orchestrators name them; nobody imports them but the app."""

from __future__ import annotations

from collections.abc import Mapping

from activities.boundary import Activity
from activities.build_plan import build_plan
from activities.commit_run import commit_run
from activities.materialize_units import materialize_units
from activities.record_tranche import record_tranche
from tidemill.messages.run import BuildPlan, CommitRun, MaterializeUnits, RecordTranche

ACTIVITIES: Mapping[str, Activity] = {
    activity.name: activity
    for activity in (
        Activity(BuildPlan, build_plan),
        Activity(MaterializeUnits, materialize_units),
        Activity(RecordTranche, record_tranche),
        Activity(CommitRun, commit_run),
    )
}
"""Every activity by its durable name. Names live in stored history: they are for ever."""
