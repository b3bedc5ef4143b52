"""Decode, call, encode: what every activity does around its one effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from tidemill.errors import TidemillError
from tidemill.execution.runtime import Runtime
from tidemill.messages.base import Command
from tidemill.messages.codec import from_json, seal


class ActivityFailed(Exception):
    """The effect did not take place, or nobody knows. The orchestrator sends the command again; the text is what a log reader needs."""


@dataclass(frozen=True, slots=True)
class Activity:
    """An effect and the command that asks for it."""

    command: type[Command[Any]]
    effect: Callable[[Runtime, Any], msgspec.Struct]

    @property
    def name(self) -> str:
        """Its durable name."""
        return self.command.activity

    def answer(self, runtime: Runtime, payload: Any) -> Any:
        """Runs the effect for a payload and returns the reply, both as JSON values, sealed with the echo of the command.

        Raises:
            ActivityFailed: one of our own errors that no reply can carry, in one line and without a chain of causes.
        """
        command = from_json(payload, self.command)
        try:
            return seal(command, self.effect(runtime, command))
        except TidemillError as error:
            raise ActivityFailed(f"{error.code}: {error}") from None
