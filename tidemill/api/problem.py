"""What a problem looks like on the wire."""

from __future__ import annotations

import msgspec

MEDIA_TYPE = "application/problem+json"


class ProblemPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of several things that are wrong."""

    detail: str
    hint: str = ""
    place: str = ""
    """Where: `file:line` in a definition; for a plan that has drifted, the asset or unit."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Problem details of RFC 9457, with our `code` and `hint`."""

    type: str
    """`urn:tidemill:problem:<code>`."""
    title: str
    """What kind of problem it is; the same for every problem of one code."""
    status: int
    detail: str
    """What happened, to what, and why."""
    code: str
    """Stable: see the error reference."""
    hint: str = ""
    """What to do next."""
    problems: tuple[ProblemPart, ...] = ()
    """Everything that is wrong, where it is more than one thing."""
