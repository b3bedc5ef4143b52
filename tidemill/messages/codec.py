"""The one codec of the boundary: plain JSON objects, tagged by us, never by a Python path.

Readers accept unknown fields, because deployments roll; a message that cannot be read at all is a deployment mistake and says so loudly.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from tidemill.errors import MessageError
from tidemill.messages.base import Command, ReplyT
from tidemill.model.versions import canonical, digest

StructT = TypeVar("StructT", bound=msgspec.Struct)


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A reply with the echo of what it answers.

    After a crash the engine can hand one activity's reply to another task, since it matches them by number only. The echo lets the
    orchestrator notice (architecture §5.7).
    """

    echo: str
    """`command_hash` of the command."""
    body: dict[str, Any]


def to_json(message: msgspec.Struct) -> Any:
    """A message as plain JSON values."""
    return msgspec.to_builtins(message)


def from_json(value: Any, expected: type[StructT]) -> StructT:
    """The inverse of `to_json`.

    Raises:
        MessageError: the value is not such a message.
    """
    try:
        return msgspec.convert(value, expected)
    except msgspec.ValidationError as error:
        raise MessageError(
            f"A stored message cannot be read as {expected.__name__}: {error}.",
            hint="A deployment changed a message that runs in flight still use; deploy the previous version again and let them finish.",
        ) from error


def command_hash(command: Command[Any]) -> str:
    """Identifies a command by its activity and content: 16 hex digits."""
    return digest(canonical([command.activity, to_json(command)]))[:16]


def seal(command: Command[ReplyT], reply: msgspec.Struct) -> Any:
    """A reply, as JSON values, with the echo of its command."""
    return to_json(Envelope(echo=command_hash(command), body=to_json(reply)))


def unseal(command: Command[ReplyT], value: Any) -> ReplyT | None:
    """The reply to this command; None if the value answers another one."""
    envelope = from_json(value, Envelope)
    if envelope.echo != command_hash(command):
        return None
    return from_json(envelope.body, command.reply)  # type: ignore[return-value]  # the class variable names the parameter's class
