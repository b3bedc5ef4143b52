"""The one wrapper around the Durable client: only checked run ids and fixed names get through to it.

The client builds URLs by concatenation and encodes nothing, so `x/terminate?` as an id would be another management call. Its own status and
management URLs carry the system key and are never shown to anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from tidemill.api.engine import EngineState, EngineStatus
from tidemill.errors import StoreUnavailable
from tidemill.messages.codec import to_json
from tidemill.messages.registry import CANCEL_EVENT, ORCHESTRATOR
from tidemill.messages.run import RunInput
from tidemill.model.keys import RunId, run_id

_STATES: Mapping[str, EngineState] = {
    "Pending": EngineState.PENDING,
    "Running": EngineState.RUNNING,
    "ContinuedAsNew": EngineState.RUNNING,
    "Suspended": EngineState.RUNNING,
    "Completed": EngineState.COMPLETED,
    "Failed": EngineState.FAILED,
    "Terminated": EngineState.TERMINATED,
    "Canceled": EngineState.TERMINATED,
}


class DurableClient(Protocol):
    """The part of the SDK's orchestration client that we use."""

    async def start_new(self, orchestration_function_name: str, instance_id: str | None = None, client_input: Any = None) -> str: ...  # noqa: D102
    async def get_status(self, instance_id: str) -> Any: ...  # noqa: D102
    async def raise_event(self, instance_id: str, event_name: str) -> None: ...  # noqa: D102


class DurableEngine:
    """Runs as Durable orchestrations: the run id is the instance id."""

    def __init__(self, client: DurableClient) -> None:
        self._client = client

    async def start(self, run: RunId) -> None:
        """Starts the orchestration of a run, unless there is one.

        Raises:
            InvalidKey: the id is not a run's; nothing was asked.
            StoreUnavailable: the engine did not answer; whether it started is unknown, start again.
        """
        checked = run_id(run)
        if await self.status(checked) is not None:
            return
        try:
            await self._client.start_new(ORCHESTRATOR, checked, to_json(RunInput(run_id=checked)))
        except Exception as error:  # the client raises bare exceptions, "already exists" of a racing start among them
            if await self.status(checked) is None:
                raise _unavailable("start the run", error) from error

    async def status(self, run: RunId) -> EngineStatus | None:
        """What the engine knows of a run; None if it has never heard of it.

        Raises:
            InvalidKey: the id is not a run's; nothing was asked.
            StoreUnavailable: the engine did not answer.
        """
        checked = run_id(run)
        try:
            status = await self._client.get_status(checked)
        except Exception as error:
            raise _unavailable("say how the run stands", error) from error
        if not status or status.runtime_status is None:
            return None
        return EngineStatus(state=_STATES[status.runtime_status.name], custom_status=status.custom_status)

    async def wake(self, run: RunId) -> None:
        """Makes a waiting run look whether it was cancelled. The event carries nothing, so a forged one can do no more.

        Raises:
            InvalidKey: the id is not a run's; nothing was asked.
            StoreUnavailable: the engine did not answer.
        """
        checked = run_id(run)
        try:
            await self._client.raise_event(checked, CANCEL_EVENT)
        except Exception as error:
            status = await self.status(checked)
            if status is not None and not status.state.is_final:
                raise _unavailable("wake the run", error) from error


def _unavailable(what: str, error: Exception) -> StoreUnavailable:
    text = (str(error).splitlines() or [""])[0]
    # The text may hold a management URL with the system key in it.
    shown = type(error).__name__ if "://" in text or not text else f"{type(error).__name__}: {text[:200]}"
    return StoreUnavailable(f"The engine could not {what} ({shown}).", hint="Try again; nothing is lost.")
