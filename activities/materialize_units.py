"""Materialize some units of one asset."""

from __future__ import annotations

from tidemill.execution import materialize
from tidemill.execution.runtime import Runtime
from tidemill.messages.run import MaterializeUnits, UnitsReply


def materialize_units(runtime: Runtime, command: MaterializeUnits) -> UnitsReply:
    """Every unit on its own: one failing is its outcome and does not stop the next."""
    reply = materialize.materialize_units(runtime, command)
    runtime.store.settle()  # the commit will be another process's, and may only name what is on the disk
    return reply
