"""Commands and replies: every command knows its activity and its reply, so an orchestrator reads as prose and stays typed."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

import msgspec

ReplyT = TypeVar("ReplyT", bound=msgspec.Struct)


class Command(msgspec.Struct, Generic[ReplyT], frozen=True, kw_only=True):
    """A request to one activity. Subclasses are tagged with a name and version of their own."""

    activity: ClassVar[str]
    """The registered activity that answers it; stored in history, so it is for ever."""
    reply: ClassVar[type[msgspec.Struct]]
    """The class of its reply."""
