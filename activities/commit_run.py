"""Commit a run to the catalog, whole or not at all, and write its result."""

from __future__ import annotations

from tidemill.execution.finish import finish_run
from tidemill.execution.runtime import Runtime
from tidemill.messages.run import CommitRun, CommitRunReply
from tidemill.model.keys import run_id


def commit_run(runtime: Runtime, command: CommitRun) -> CommitRunReply:
    """Asked again, it finds its own commit and its own result."""
    return CommitRunReply(status=finish_run(runtime, run_id(command.run_id)).status)
