"""Committing: requirements and updates, decided by who creates the next log entry.

A commit says what it found (the requirements) and what it puts there (the updates). If others committed meanwhile, only the units it touches are
looked at again: found as required, the updates go on top of what came; found as they shall be, made from the same by somebody else, they stay; found
different, the commit is refused and both writers are named. A fence for its run met on the way ends it. Its own entry met on the way means it is done already.
"""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.catalog.edit import apply
from tidemill.catalog.snapshots import COMMIT, FENCE
from tidemill.catalog.tree import lookup, lookup_many
from tidemill.catalog.writer import Author, Committed, Draft, Position, Writer
from tidemill.errors import CatalogConflict, IntegrityError, RunFenced
from tidemill.model.facts import Entry
from tidemill.model.keys import UnitKey

Units = Mapping[UnitKey, Entry | None]


def commit(
    writer: Writer, changes: Units, *, base: int, expected: Units, run_id: str, author: Author, part: str, seen: int = 0
) -> Committed:
    """See `Catalog.commit`."""
    seen = max(seen, base)
    required: dict[UnitKey, Entry | None] | None = None

    def step(head: Position) -> Draft | Committed:
        nonlocal seen, required
        if head.number < base:
            raise _store_is_older(writer.log.branch, head.number, base, run_id)
        done = _own_entry(writer, seen, head.number, run_id, part) if run_id else None
        if done is not None:
            return done
        seen = head.number
        if required is None:
            origin = writer.at(base).root
            required = lookup_many(writer.nodes, origin, changes.keys() - expected.keys()) | dict(expected)
        held = lookup_many(writer.nodes, head.root, required)
        for unit in sorted(required):
            if held[unit] != required[unit] and (unit not in changes or not same(held[unit], changes[unit])):
                raise _conflict(writer, unit, base, head, f"run `{run_id}` ({author.name})" if run_id else author.name)
        updates = {
            unit: entry
            for unit, entry in changes.items()
            if held[unit] != entry and (held[unit] == required[unit] or not same(held[unit], entry))
        }
        if not updates:
            return Committed(head.number, head.hash, 0)
        edit = apply(writer.nodes, head.root, updates)
        records = frozenset(entry.record for entry in updates.values() if entry is not None)
        return Draft(COMMIT, edit.root, head.hash, changed=len(updates), run_id=run_id, written=edit.written, records=records)

    return writer.advance(step, author, part=part)


def same(held: Entry | None, wanted: Entry | None) -> bool:
    """Whether a unit holds what it shall: perhaps another's record of the same content, made from the same. Who was first stays."""
    if held is None or wanted is None or held == wanted:
        return held == wanted
    return held.fingerprint != "" and (held.fingerprint, held.data_version) == (wanted.fingerprint, wanted.data_version)


def fence(writer: Writer, run_id: str, author: Author) -> Committed:
    """See `Catalog.fence`."""
    return writer.advance(lambda head: Draft(FENCE, head.root, head.hash, run_id=run_id), author)


def commits_of(writer: Writer, run_id: str, after: int) -> dict[str, Committed]:
    """See `Catalog.commits_of`."""
    found: dict[str, Committed] = {}
    for number in range(after + 1, writer.head().number + 1):
        entry = writer.log.read(number).entry
        if (entry.run_id, entry.kind) == (run_id, COMMIT):
            found[entry.part] = Committed(number, entry.snapshot, writer.snapshots.get(entry.snapshot).changed)
    return found


def last_writer(writer: Writer, unit: UnitKey, after: int, upto: Position) -> Position | None:
    """Who made a unit what it is at a place: the last entry in (after, upto] that changed it, or None if none did."""
    held = lookup(writer.nodes, upto.root, unit)
    place = upto
    while place.number > after:
        before = writer.at(place.number - 1)
        if lookup(writer.nodes, before.root, unit) != held:
            return place
        place = before
    return None


def describe(place: Position) -> str:
    """A place's author in a sentence: the run, if there was one, and who."""
    snapshot = place.snapshot
    if snapshot is None:
        return "nobody"
    return f"run `{snapshot.run_id}` ({snapshot.author})" if snapshot.run_id else snapshot.author


def _own_entry(writer: Writer, after: int, upto: int, run_id: str, part: str) -> Committed | None:
    for number in range(after + 1, upto + 1):
        entry = writer.log.read(number).entry
        if entry.run_id != run_id:
            continue
        if entry.kind == FENCE:
            raise RunFenced(
                f"Run `{run_id}` was canceled (log entry {number}), so nothing more of it is committed.", hint="Start a new run."
            )
        if entry.kind == COMMIT and entry.part == part:
            return Committed(number, entry.snapshot, writer.snapshots.get(entry.snapshot).changed)
    return None


def _conflict(writer: Writer, unit: UnitKey, base: int, head: Position, ours: str) -> CatalogConflict:
    theirs = last_writer(writer, unit, base, head)
    if theirs is None or theirs.snapshot is None:
        return CatalogConflict(f"`{unit}` does not hold what {ours} expects, and did not on log entry {base} either.", hint="Plan again.")
    return CatalogConflict(
        f"`{unit}` was changed by {describe(theirs)} with log entry {theirs.number} ({theirs.snapshot.kind}), after {ours} was planned on log entry {base}.",
        hint="Plan again on top of it.",
    )


def _store_is_older(branch: str, head: int, base: int, run_id: str) -> IntegrityError:
    who = f"run `{run_id}`" if run_id else "the change"
    return IntegrityError(
        f"Branch `{branch}` ends at entry {head}, but {who} was planned on entry {base}: the store is older than that.",
        hint="It was rolled back or replaced. Plan again.",
    )
