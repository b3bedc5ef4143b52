"""Our types for a Durable SDK that ships none, and `call`: one command to an activity, one reply back."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from tidemill.messages.base import Command, ReplyT
from tidemill.messages.codec import to_json, unseal
from tidemill.plan.progress import first_line

T = TypeVar("T", covariant=True)

Steps = Generator[Any, Any, T]
"""An orchestrator or a part of one: yields durable tasks, is sent their results, returns T."""

ATTEMPTS = 5
"""How often a command is sent before the run gives up on an activity that breaks off or answers for another."""


class DurableTask(Protocol):
    """A task of the Durable SDK."""

    @property
    def is_completed(self) -> bool:
        """Whether its result is there, failures included."""
        ...

    @property
    def result(self) -> Any:
        """The result; of a failed task, the exception."""
        ...


class DurableTimer(DurableTask, Protocol):
    """A timer of the Durable SDK."""

    def cancel(self) -> None:
        """Gives the timer up, so that it does not hold up the end of the orchestration."""
        ...


class DurableContext(Protocol):
    """The part of the SDK's orchestration context that ours use."""

    @property
    def instance_id(self) -> str: ...  # noqa: D102
    @property
    def current_utc_datetime(self) -> datetime: ...  # noqa: D102
    def get_input(self) -> Any: ...  # noqa: D102
    def call_activity(self, name: str, input_: Any = None) -> DurableTask: ...  # noqa: D102
    def create_timer(self, fire_at: datetime) -> DurableTimer: ...  # noqa: D102
    def wait_for_external_event(self, name: str) -> DurableTask: ...  # noqa: D102
    def task_any(self, tasks: Sequence[DurableTask]) -> DurableTask: ...  # noqa: D102
    def continue_as_new(self, input_: Any) -> None: ...  # noqa: D102
    def set_custom_status(self, status: Any) -> None: ...  # noqa: D102


class ActivityUnavailable(Exception):
    """An activity broke off, or answered for another task, more often than we try."""

    def __init__(self, activity: str, text: str) -> None:
        super().__init__(f"The activity `{activity}` broke off {ATTEMPTS} times: {first_line(text)}")


def call(ctx: DurableContext, command: Command[ReplyT]) -> Steps[ReplyT]:
    """Runs one command to its reply, alone: nothing else may be open.

    A broken-off activity and a reply that echoes another command are both answered by sending the command again, after a growing pause.

    Raises:
        ActivityUnavailable: every attempt failed.
    """
    text = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            yield ctx.create_timer(ctx.current_utc_datetime + timedelta(seconds=1 + 2**attempt))
        try:
            value = yield ctx.call_activity(command.activity, to_json(command))
        except Exception as error:  # noqa: BLE001 - the SDK raises every task failure as a bare Exception
            text = str(error)
            continue
        reply = unseal(command, value)
        if reply is not None:
            return reply
        text = "it answered for another task"
    raise ActivityUnavailable(command.activity, text)
