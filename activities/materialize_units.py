"""Materialize some units of one asset."""

from __future__ import annotations

from tidemill.execution import materialize
from tidemill.execution.runtime import Runtime
from tidemill.messages.run import MaterializeUnits, UnitsReply


def materialize_units(runtime: Runtime, command: MaterializeUnits) -> UnitsReply:
    """Every unit on its own: one failing is its outcome and does not stop the next."""
    return materialize.materialize_units(runtime, command)
