"""Branches: another log that starts at a snapshot of an existing one. Nothing is copied; what is written on one is not seen on the other until it is merged."""

from __future__ import annotations

from collections.abc import Iterator

from tidemill.catalog.commit import describe, last_writer, same
from tidemill.catalog.diff import Change, diff
from tidemill.catalog.edit import apply
from tidemill.catalog.objects import EMPTY_ROOT
from tidemill.catalog.snapshots import BRANCH, DELETE, MERGE, ROLLBACK
from tidemill.catalog.trust import Trust
from tidemill.catalog.writer import MAIN, Author, Committed, Draft, Position, Writer, exists
from tidemill.errors import CatalogConflict, PlanError
from tidemill.storage.base import BlobStore

_NAMED = 5
"""How many of the units in conflict a message names."""


def create(target: Writer, origin: Position, author: Author, *, trust: Trust) -> Committed:
    """Starts the target branch at a snapshot of another, with the keys that are in force now, however old that snapshot is.

    Raises:
        PlanError: the branch exists already, or there is nothing yet to start from.
    """
    if origin.snapshot is None:
        raise PlanError(f"Branch `{target.log.branch}` cannot start from nothing.", hint="Commit something first.")

    def step(last: Position) -> Draft | Committed:
        if last.snapshot is not None and exists(last):
            if (last.snapshot.kind, last.snapshot.parent, last.snapshot.at) == (BRANCH, origin.hash, author.at):
                return Committed(last.number, last.hash, 0)  # this very call, made before
            raise PlanError(f"Branch `{target.log.branch}` exists already.", hint="Choose another name, or delete it first.")
        return Draft(BRANCH, origin.root, origin.hash, trust=trust)

    return target.advance(step, author, new=True)


def delete(target: Writer, author: Author) -> Committed:
    """Ends a branch. Its log stays as the record of what was done; what only it reached becomes garbage.

    Raises:
        PlanError: it is `main`.
        NotFound: it does not exist.
    """
    if target.log.branch == MAIN:
        raise PlanError(f"Branch `{MAIN}` cannot be deleted.")
    return target.advance(lambda head: Draft(DELETE, EMPTY_ROOT, head.hash), author)


def names(store: BlobStore) -> list[str]:
    """Every branch name that was ever used, in order; some may have been deleted. A branch that has lost its ref still has its log."""
    return sorted({name.removeprefix("refs/") for name in store.names("refs/")} | set(_with_log(store)))


def _with_log(store: BlobStore) -> Iterator[str]:
    after = ""
    while (first := next(iter(store.names("log/", after=after)), None)) is not None:
        branch = first.split("/")[1]
        yield branch
        after = f"log/{branch}/:"  # sorts after all numbers


def rollback(target: Writer, to: Position, author: Author, *, base: int | None) -> Committed:
    """Makes a branch hold what it held at a place. See `Catalog.rollback`."""

    def step(head: Position) -> Draft | Committed:
        if base is not None and head.number != base and not _same_call(head, to, author):
            raise CatalogConflict(
                f"Branch `{target.log.branch}` moved from log entry {base} to {head.number} (by {describe(head)}) meanwhile.",
                hint="Look, and roll back again.",
            )
        if head.root == to.root:
            return Committed(head.number, head.hash, 0)
        changes = diff(target.nodes, head.root, to.root)
        return Draft(ROLLBACK, to.root, head.hash, changed=len(changes), other=to.hash)

    return target.advance(step, author)


def merge(target: Writer, source: Writer, author: Author, *, keep: bool = False) -> Committed:
    """Takes over what changed on the source since the two parted. See `Catalog.merge`."""
    theirs = source.head()

    def step(head: Position) -> Draft | Committed:
        ancestor = target.snapshots.common_ancestor(head.hash, theirs.hash)
        if ancestor == theirs.hash:
            return Committed(head.number, head.hash, 0)
        origin = target.snapshots.get(ancestor).root if ancestor else EMPTY_ROOT
        wanted = diff(target.nodes, origin, theirs.root)
        here = {change.unit: change for change in diff(target.nodes, origin, head.root)}
        conflicts = [change for change in wanted if change.unit in here and not same(here[change.unit].after, change.after)]
        if conflicts and not keep:
            raise _conflict(target, head, source, theirs, conflicts)
        updates = {change.unit: change.after for change in wanted if change.unit not in here}
        edit = apply(target.nodes, head.root, updates)
        records = frozenset(entry.record for entry in updates.values() if entry is not None)
        return Draft(MERGE, edit.root, head.hash, changed=len(updates), other=theirs.hash, written=edit.written, records=records)

    return target.advance(step, author)


def _same_call(head: Position, to: Position, author: Author) -> bool:
    """Whether the head is what this very rollback wrote when its reply was lost."""
    found = head.snapshot
    return found is not None and (found.kind, found.other, found.author, found.at) == (ROLLBACK, to.hash, author.name, author.at)


def _conflict(target: Writer, head: Position, source: Writer, theirs: Position, conflicts: list[Change]) -> CatalogConflict:
    unit = conflicts[0].unit
    here, there = last_writer(target, unit, 0, head), last_writer(source, unit, 0, theirs)
    by = " and ".join(
        f"by {describe(place)} on `{writer.log.branch}` (log entry {place.number})"
        for place, writer in ((here, target), (there, source))
        if place is not None
    )
    shown = ", ".join(f"`{change.unit}`" for change in conflicts[:_NAMED])
    more = f" and {len(conflicts) - _NAMED} more" if len(conflicts) > _NAMED else ""
    return CatalogConflict(
        f"`{source.log.branch}` cannot be merged into `{target.log.branch}`: both changed {shown}{more}. `{unit}` was changed {by}.",
        hint=f"Keep what `{target.log.branch}` holds of them with --keep, and run it again; or roll one side back.",
    )
