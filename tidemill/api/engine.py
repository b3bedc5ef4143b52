"""What the API needs of whatever executes runs. Durable Functions is one engine; tests have another.

Only ids that passed `run_id` reach an engine: the Durable client encodes nothing, so a stray `/` or `?` would become another management call.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from tidemill.model.keys import RunId


class EngineState(StrEnum):
    """Where the engine believes a run to be. Believes: the state of record is in our own store."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    TERMINATED = "terminated"

    @property
    def is_final(self) -> bool:
        """True if the engine will do nothing more for the run."""
        return self in (EngineState.COMPLETED, EngineState.FAILED, EngineState.TERMINATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """What the engine says of one run."""

    state: EngineState
    custom_status: Any = None
    """The orchestration's custom status, as JSON: see `orchestrators.materialize_run`."""


class Engine(Protocol):
    """Starts runs, and knows which it has started. Every method may raise `StoreUnavailable`."""

    async def start(self, run: RunId) -> None:
        """Starts a run that is on record. Idempotent: quiet if the engine has it already."""
        ...

    async def status(self, run: RunId) -> EngineStatus | None:
        """What the engine knows of a run; None if it has never heard of it."""
        ...

    async def wake(self, run: RunId) -> None:
        """Makes a waiting run look at its records again. Carries nothing; quiet if the run is not waiting."""
        ...
