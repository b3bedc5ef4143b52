"""Garbage collection: let go of objects that nothing reaches, slowly and in two steps.

`collect` is called now and then, by a schedule or a person. The first call *condemns*: it announces the objects that nothing reaches. A call after the grace period *sweeps*
those that still nothing reaches, then condemns anew. So an object is deleted only after nothing reached it at two moments at least a grace period apart, and
writers that come across it in between can claim it (`storage.guard`). The grace period must be longer than the longest run with all its retries.

A sweep that dies is taken up again by a later call: deciding a fate and deleting are both idempotent.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from tidemill.catalog.reach import Reachable, Retained, reachable, retained
from tidemill.catalog.snapshots import Snapshots, instant
from tidemill.errors import PlanError
from tidemill.model.facts import Entry
from tidemill.model.versions import canonical
from tidemill.storage.base import BlobStore, Versioned
from tidemill.storage.conditional import put_once
from tidemill.storage.guard import FATES, OBJECTS, STATE, SWEEP, State, fate_name, object_name, read_list, read_state, state_bytes
from tidemill.storage.objects import Objects

GRACE = timedelta(days=7)
FINGERPRINTS = "fingerprints/"

_READERS = 16

_SHORTEST_GRACE = timedelta(hours=2)
"""Above the hour for which a process trusts what it put itself."""

_SWEEP = timedelta(minutes=30)
"""How long one call sweeps; a later call goes on. Another collector may take over only after twice as long, when this one has surely stopped."""


class Collection(NamedTuple):
    """What a call to `collect` did or, as a dry run, would have done."""

    phase: Literal["condemned", "waiting", "swept", "partial", "busy"]
    """`condemned`: announced what may go. `waiting`: the grace period is not over. `swept`: deleted, and announced anew. `partial`: ran out of time, call again.
    `busy`: another collector is sweeping, or was faster."""
    reachable: int
    """Objects that must stay."""
    condemned: tuple[str, ...]
    """What is announced now."""
    deleted: tuple[str, ...]
    """What this call deleted."""


def collect(
    store: BlobStore,
    *,
    now: datetime,
    extra: Iterable[str],
    grace: timedelta = GRACE,
    keep_since: datetime | None = None,
    dry_run: bool = False,
) -> Collection:
    """Takes garbage collection one step further.

    Args:
        store: the store to collect in.
        now: the present.
        extra: hashes of objects that must stay though no branch reaches them: plans and results of runs. Required, so that nobody forgets.
        grace: how long a condemned object waits at least; longer than any run.
        keep_since: let go of trees that no branch has held since; None retains all history. Snapshots themselves always stay.
        dry_run: only say what would be done.

    Raises:
        PlanError: the grace period is too short.
        IntegrityError: something reachable is missing or damaged; nothing was deleted.
        StoreUnavailable: the store did not answer; call again.
    """
    if grace < _SHORTEST_GRACE:
        raise PlanError(
            f"A grace period of {grace} is too short: a run could lose what it has just made.", hint=f"Use {_SHORTEST_GRACE} or more."
        )
    blob, state = read_state(store)
    if state.condemned and instant(now - grace) < state.condemned_at and not dry_run:
        return Collection("waiting", 0, tuple(read_list(store, state.condemned)), ())
    if state.sweeping_since and instant(now - 2 * _SWEEP) < state.sweeping_since:
        return Collection("busy", 0, (), ())
    if state.condemned and not dry_run:
        state = msgspec.structs.replace(state, sweeping_since=instant(now))
        if not _announce(store, blob, state):
            return Collection("busy", 0, (), ())
        blob = store.get(STATE)
    objects = Objects(store)
    # The claims of commits are seen here or decided by fate: the sweep is announced before anything reachable is looked up.
    live = reachable(objects, retained(store, Snapshots(objects), since=instant(keep_since) if keep_since else ""), extra)
    live.objects.update(each for each in (state.condemned, state.swept) if each)
    if _garbage(store, live) or set(read_list(store, state.condemned)) - live.objects:
        live.objects.update(reachable(objects, Retained(set(), set()), _claimed(store, live)).objects)
    doomed = sorted(set(read_list(store, state.condemned)) - live.objects)
    if dry_run:
        garbage = _garbage(store, live) - set(doomed)
        return Collection("swept" if state.condemned else "condemned", len(live.objects), tuple(sorted(garbage)), tuple(doomed))
    deleted, finished = _sweep(store, state.generation, doomed, live)
    if not finished:
        return Collection("partial", len(live.objects), tuple(doomed), tuple(deleted))
    garbage = _garbage(store, live)
    announced = State(
        generation=state.generation + 1,
        condemned=objects.put(canonical(sorted(garbage))) if garbage else "",
        condemned_at=instant(now) if garbage else "",
        swept=objects.put(canonical(deleted)) if deleted else state.swept,
    )
    if not _announce(store, blob, announced):
        return Collection("busy", len(live.objects), (), tuple(deleted))
    _forget_fates(store, announced.generation)
    return Collection("swept" if state.condemned else "condemned", len(live.objects), tuple(sorted(garbage)), tuple(deleted))


def _announce(store: BlobStore, blob: Versioned | None, state: State) -> bool:
    """Replaces the announcement that was read; False if another collector was faster (or the reply was lost: then it stands, and a later call goes on)."""
    data = state_bytes(state)
    return store.create(STATE, data) if blob is None else store.replace(STATE, data, blob.etag)


def _garbage(store: BlobStore, live: Reachable) -> set[str]:
    return {sha256 for name in store.names(OBJECTS) if (sha256 := name.rpartition("/")[2]) not in live.objects}


def _claimed(store: BlobStore, live: Reachable) -> set[str]:
    """Records that claims on living fingerprints name: often of another unit, which was made from the same, and which nothing reaches any more."""
    with ThreadPoolExecutor(_READERS, thread_name_prefix="claims") as pool:
        found = pool.map(lambda each: store.get(f"{FINGERPRINTS}{each[:2]}/{each}"), sorted(filter(None, live.fingerprints)))
        return {record for blob in found if blob is not None and (record := _named_by(blob)) is not None} - live.objects


def _named_by(claim: Versioned) -> str | None:
    """The record that a claim names; None if it cannot be read, and counts for nothing."""
    try:
        return msgspec.json.decode(claim.data, type=Entry).record
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _sweep(store: BlobStore, generation: int, doomed: list[str], live: Reachable) -> tuple[list[str], bool]:
    """Deletes what nobody claims, and first what would still offer it for reuse. What was deleted, and whether that was all."""
    until = time.monotonic() + _SWEEP.total_seconds()
    going: list[str] = []
    for sha256 in doomed:
        if time.monotonic() > until:
            return [], False
        if put_once(store, fate_name(generation, sha256), SWEEP):
            going.append(sha256)
    for name in _offering(store, set(going), live) if going else ():
        store.delete(name)
    for count, sha256 in enumerate(going):
        if time.monotonic() > until:
            return going[:count], False
        store.delete(object_name(sha256))
    return going, True


def _offering(store: BlobStore, going: set[str], live: Reachable) -> Iterator[str]:
    """Entries of the fingerprint index that name a record which is going."""
    for name in store.names(FINGERPRINTS):
        if name.rpartition("/")[2] in live.fingerprints:
            continue
        blob = store.get(name)
        if blob is not None and _named_by(blob) in going:
            yield name


def _forget_fates(store: BlobStore, generation: int) -> None:
    """Drops the fates of all but the last two announcements: a writer that read one of those may still ask."""
    for name in store.names(FATES):
        if int(name.split("/")[2]) >= generation - 2:
            break
        store.delete(name)
