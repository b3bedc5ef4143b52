"""What a verification finds: the first thing that is not what it should be."""

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """The first thing that is wrong."""

    kind: str
    """`missing` · `altered` (its bytes are not what their name or predecessor says) · `reordered` (a log entry out of its place) · `malformed` ·
    `misplaced` (whole, but not what the object that leads to it says) · `unsigned` (though keys were in force) · `forged` (its signature does not fit) ·
    `untrusted` (signed with a key that was not in force)."""
    name: str
    """The stored name."""
    why: str

    def __str__(self) -> str:
        return f"`{self.name}` is {self.kind}: {self.why}."


class Found(Exception):
    """Ends a walk. Never leaves the package."""

    def __init__(self, kind: str, name: str, why: str) -> None:
        super().__init__(why)
        self.problem = Problem(kind, name, why)
