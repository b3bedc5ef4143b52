"""Proof at start-up that every name an orchestrator can call is registered.

The engine answers a call to an unknown name with silence: the instance stays Running for ever, without an error (architecture §5.11).
"""

from __future__ import annotations

from collections.abc import Iterable

from tidemill.errors import SettingsError
from tidemill.messages import run
from tidemill.messages.base import Command

ORCHESTRATOR = "materialize_run"
"""The orchestrator that the API starts and that continues as itself."""

CANCEL_EVENT = "cancel_requested"
"""The external event that wakes a run. Its payload is empty and never read: whether the run was cancelled is asked of the store."""


def callable_names() -> set[str]:
    """The activities that orchestrators can call: one for each command there is."""
    return {each.activity for each in vars(run).values() if isinstance(each, type) and issubclass(each, Command) and each is not Command}


def prove_registered(activities: Iterable[str], orchestrators: Iterable[str]) -> None:
    """Checks the registries of an app.

    Raises:
        SettingsError: a command has no activity, or the run has no orchestrator; all are named.
    """
    missing = sorted(callable_names() - set(activities)) + sorted({ORCHESTRATOR} - set(orchestrators))
    if missing:
        raise SettingsError(
            f"The app does not register {', '.join(f'`{name}`' for name in missing)}, which orchestrations call.",
            hint="A call to an unregistered name hangs for ever; add it to `ACTIVITIES` or `ORCHESTRATORS`.",
        )
