"""What the catalog writes: nodes of the tree, snapshots and log entries, as canonical JSON with a version in every object.

Fields equal to their default are left out, so that a later version can add a field without changing the bytes, and so the hash, of what was
written before it. Any other change of form is a new tag.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from tidemill.errors import MessageError
from tidemill.model.versions import canonical, digest


class LeafEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One unit and what it holds."""

    asset: str
    partition: str
    record: str
    data_version: str
    fingerprint: str


class Child(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One subtree: its smallest unit, its node and how many units are below."""

    asset: str
    partition: str
    node: str
    count: int


class Leaf(msgspec.Struct, frozen=True, tag="leaf/1"):
    """A run of units, in order; empty only in the tree of nothing."""

    entries: tuple[LeafEntry, ...]


class Branch(msgspec.Struct, frozen=True, tag="branch/1"):
    """A run of nodes one level down, in order."""

    level: int
    """1 above leaves, and one more for each level."""
    children: tuple[Child, ...]


Node = Leaf | Branch


class Signature(msgspec.Struct, frozen=True):
    """Who vouches for a snapshot: an Ed25519 signature over its canonical bytes without this field."""

    key: str
    """The public key, 64 hex digits."""
    value: str
    """The signature, 128 hex digits."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="snapshot/1"):
    """One state of all units, and who made it from which state, when and why. The chain of parents is the ledger."""

    root: str
    """The root node of its tree."""
    parent: str
    """The snapshot before it; empty for the first one."""
    kind: str
    """What made it: `commit`, `fence`, `rollback`, `branch`, `merge`, `delete` or `keys`."""
    author: str
    reason: str
    at: str
    """When, by the writer's clock: RFC 3339 in UTC with microseconds."""
    run_id: str = ""
    """The run that committed, or that a fence shuts out; empty if no run is involved."""
    part: str = ""
    """Which of the run's commits it is, for runs that commit more than once."""
    depth: int = 1
    """One more than the deepest snapshot it was made from; tells which of two snapshots can be the other's ancestor."""
    units: int = 0
    """How many units the tree holds."""
    changed: int = 0
    """How many units differ from the parent."""
    other: str = ""
    """The snapshot that was rolled back to, or merged in; else empty."""
    branch: str = ""
    """The branch it was made on, so that it cannot be passed off as another's; empty if it is not signed."""
    trust: str = ""
    """The snapshot of kind `keys` that was in force when it was made; empty if there was none."""
    keys: tuple[str, ...] = ()
    """Of kind `keys`: all public keys that may sign what follows, sorted; none ends signing."""
    signature: Signature | None = None


class LogEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="log/1"):
    """One step of a branch. Creating it under its number is the commit point."""

    branch: str
    number: int
    """1 for the first; no number is ever missing or used twice."""
    previous: str
    """SHA-256 of the entry before it; empty for the first."""
    snapshot: str
    kind: str
    """As in the snapshot: kept here too, so that looking for a run or a fence reads entries only."""
    run_id: str = ""
    part: str = ""
    """Likewise."""

    def tells_of(self, snapshot: Snapshot) -> bool:
        """Whether it says of its snapshot what the snapshot says of itself."""
        return (self.kind, self.run_id, self.part) == (snapshot.kind, snapshot.run_id, snapshot.part)


EMPTY_LEAF = canonical(Leaf(()))
EMPTY_ROOT = digest(EMPTY_LEAF)
"""The root of the tree of nothing."""

_T = TypeVar("_T")


def is_json(data: bytes) -> bool:
    """Whether bytes are a JSON text at all."""
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True


def decode(data: bytes, kind: type[_T] | Any, what: str) -> Any:
    """Reads an object whose bytes are known to be whole.

    Raises:
        MessageError: it has another form, as a later version might write it.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MessageError(
            f"{what} cannot be read: {error}.", hint="A later version of Tidemill may have written it: upgrade this deployment."
        ) from error
