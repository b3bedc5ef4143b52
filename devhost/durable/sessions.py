"""What the dispatcher keeps of one live instance."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from devhost.durable.activities import ActivityCall
from devhost.durable.episode import RESPONSES
from devhost.durable.history import Event, Kind
from devhost.durable.state import InstanceState
from devhost.durable.store import MAX_CONSUMED, Partition

FULL = 90
"""Events that make it pointless to wait for more: a transaction holds 99 rows."""


@dataclass(slots=True)
class Mail:
    """Something for an instance: an event, or the start of an execution."""

    event: Event | None = None
    execution_id: str | None = None
    """The execution it is for; None for whichever runs."""
    row: str | None = None
    """The message row to delete when it is consumed."""
    start: InstanceState | None = None


@dataclass(slots=True)
class Session:
    """One instance with its history, its mail, and at most one episode at a time."""

    state: InstanceState
    partition: Partition | None = None
    """None until loaded, and again after a failed write."""
    mail: deque[Mail] = field(default_factory=deque)
    parked: deque[Mail] = field(default_factory=deque)
    """Starts of further children with this id, which run one after the other."""
    task: asyncio.Task[None] | None = None
    quiet: frozenset[int] = frozenset()
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once `state` is what the history says: at once for a new instance, after reading it back for one that is recovered."""
    play: bool = False
    """Whether Python has to be asked although no mail has come."""
    row_is_pending: bool = True
    """Whether the written row may still say Pending, which is how a start is remembered."""
    status_of: str = ""
    """The execution that has set a custom status, as far as this host has seen."""
    open: set[int] = field(default_factory=set)
    """Sequence numbers whose answer is still to come; a second answer is dropped."""
    in_flight: int = 0
    """Activities queued or running for this instance."""
    python_seconds: float = 0.0
    """How long the last answer took."""
    failures: int = 0
    """Attempts in a row at the next episode that came to nothing."""
    lost_a_worker: bool = False
    """Whether one of them lost its worker."""
    reported: set[tuple[str, str]] = field(default_factory=set)
    """What has been logged already, with the execution it was about."""
    full: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there is no reason to wait for more mail."""
    terminated: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when somebody wants it to end, which ends a pause between attempts."""
    stale: set[ActivityCall] = field(default_factory=set)
    """Calls that run for an episode that came to nothing; their results are nobody's."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when its end is committed."""
    gone: bool = False
    """Purged or set aside: nothing is done with it any more."""

    @property
    def id(self) -> str:
        return self.state.instance_id

    @property
    def has_work(self) -> bool:
        """Whether there is something to do for it now."""
        return bool(self.mail) or self.play or self.partition is None or self.partition.is_ahead

    def post(self, mail: Mail) -> None:
        self.mail.append(mail)
        if mail.event is not None and mail.event.kind is Kind.ExecutionTerminated:
            self.terminated.set()
        if mail.event is None or mail.event.kind not in RESPONSES or len(self.mail) >= FULL or self.in_flight == 0:
            self.full.set()

    def take(self) -> list[Mail]:
        """Everything that has come, up to the number of message rows that one commit can delete."""
        taken: list[Mail] = []
        rows = 0
        while self.mail and rows < MAX_CONSUMED:
            mail = self.mail.popleft()
            rows += mail.row is not None
            taken.append(mail)
        return taken
