"""Time travel: which place of a log somebody means by a number, a snapshot, an instant or a run."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from tidemill.catalog.snapshots import COMMIT, instant
from tidemill.catalog.writer import Position, Writer
from tidemill.errors import NotFound

_HASH = re.compile(r"[0-9a-f]{8,64}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
"""How an instant begins. Python would also read one without the hyphens, and so take a run id for an instant."""


def resolve(writer: Writer, text: str) -> Position:
    """The place meant by `text` on the branch.

    Args:
        writer: the branch.
        text: one of
            a log number, such as `12` (0 is the beginning) ·
            a snapshot's hash or at least 8 digits of it ·
            an instant, such as `2026-11-21T09:30:00Z`, or a date: the last place not after it; without an offset it means UTC ·
            a run id: where the run committed (last, if it did so more than once).

    Raises:
        NotFound: nothing of the branch is meant by it.
    """
    text = text.strip()
    head = writer.head()
    if text.isdecimal() and len(text) <= 12:
        return _numbered(writer, int(text), head)
    moment = _instant(text)
    for number in range(head.number, 0, -1):
        entry = writer.log.read(number).entry
        if entry.run_id == text and entry.kind == COMMIT:
            return writer.at(number)
        if _HASH.fullmatch(text) and entry.snapshot.startswith(text):
            return writer.at(number)
        if moment is not None and writer.snapshots.get(entry.snapshot).at <= moment:
            return writer.at(number)
    if moment is not None:
        return writer.at(0)
    raise NotFound(
        f"Branch `{writer.log.branch}` has no log number, snapshot, instant or run `{text[:80]}`.", hint="See `tidemill history`."
    )


def _numbered(writer: Writer, number: int, head: Position) -> Position:
    if number > head.number:
        raise NotFound(f"Branch `{writer.log.branch}` has no log entry {number}: it ends at {head.number}.", hint="See `tidemill history`.")
    return writer.at(number)


def _instant(text: str) -> str | None:
    if not _DATE.match(text):
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant(at if at.tzinfo else at.replace(tzinfo=UTC))
