"""Garbage collection, step by step. The model-based test is in tests/property."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.catalog.world import NOON, held, materialize, minute, put, unit
from tidemill.catalog import Catalog
from tidemill.catalog.gc import GRACE, collect
from tidemill.catalog.verify import verify
from tidemill.errors import CatalogConflict, IntegrityError, PlanError
from tidemill.model.facts import Entry
from tidemill.model.versions import canonical
from tidemill.storage.guard import STATE, object_name
from tidemill.storage.memory import MemoryStore
from tidemill.storage.objects import Objects
from tidemill.testing.faults import Crash, Fault, FaultyStore

LATER = NOON + GRACE + timedelta(minutes=1)


@pytest.fixture
def catalog() -> Catalog:
    catalog = Catalog(MemoryStore())
    put(catalog, {"a@1": materialize(catalog.objects, "a@1", [1])}, run="run-1")
    return catalog


def orphan(catalog: Catalog, value: int) -> Entry:
    """A finished unit of a run that never committed, offered for reuse."""
    entry = materialize(Objects(catalog.store), "a@9", [value], run="run-dead")
    catalog.store.create(f"fingerprints/{entry.fingerprint[:2]}/{entry.fingerprint}", canonical(entry))
    return entry


def objects(catalog: Catalog) -> set[str]:
    return {name.rpartition("/")[2] for name in catalog.store.names("objects/")}


def test_garbage_goes_after_the_grace_period_and_not_before(catalog: Catalog) -> None:
    kept = objects(catalog)
    dead = orphan(catalog, 9)
    garbage = objects(catalog) - kept
    first = collect(catalog.store, now=NOON, extra=())
    assert (first.phase, set(first.condemned), first.deleted) == ("condemned", garbage, ())
    assert collect(catalog.store, now=NOON + GRACE / 2, extra=()).phase == "waiting"
    assert garbage <= objects(catalog)
    second = collect(catalog.store, now=LATER, extra=())
    assert (second.phase, set(second.deleted)) == ("swept", garbage)
    assert dead.record not in objects(catalog)
    assert list(catalog.store.names("fingerprints/")) == []
    assert verify(catalog.store, rows=True).problem is None


def test_a_dry_run_says_what_would_go_and_touches_nothing(catalog: Catalog) -> None:
    orphan(catalog, 9)
    before = {name: catalog.store.get(name) for name in catalog.store.names("")}
    dry = collect(catalog.store, now=NOON, extra=(), dry_run=True)
    assert {name: catalog.store.get(name) for name in catalog.store.names("")} == before
    assert set(dry.condemned) == set(collect(catalog.store, now=NOON, extra=()).condemned)
    dry = collect(catalog.store, now=LATER, extra=(), dry_run=True)
    assert dry.deleted == collect(catalog.store, now=LATER, extra=()).deleted


def test_what_a_run_under_way_needs_stays(catalog: Catalog) -> None:
    entry = orphan(catalog, 9)
    plan = catalog.objects.put(b"a plan")
    collect(catalog.store, now=NOON, extra=(plan, entry.record))
    assert collect(catalog.store, now=LATER, extra=(plan, entry.record)).deleted == ()
    assert {plan, entry.record} <= objects(catalog)


def test_old_versions_stay_as_long_as_history_is_retained(catalog: Catalog) -> None:
    put(catalog, {"a@1": materialize(catalog.objects, "a@1", [2])}, run="run-2", at=10)
    put(catalog, {"a@1": materialize(catalog.objects, "a@1", [3])}, run="run-3", at=20)
    collect(catalog.store, now=NOON, extra=())
    assert collect(catalog.store, now=LATER, extra=()).deleted == ()
    later = LATER + 2 * GRACE
    collect(catalog.store, now=later, extra=(), keep_since=minute(15))
    deleted = collect(catalog.store, now=later + 2 * GRACE, extra=(), keep_since=minute(15)).deleted
    assert held(catalog, at=2)  # what was there at that instant is still there
    assert len(deleted) == 3  # the first version's tree, record and file
    with pytest.raises(IntegrityError, match="missing"):
        held(Catalog(catalog.store), at=1)
    assert [place.number for place in catalog.history()] == [3, 2, 1]
    assert verify(catalog.store, since=2).problem is None
    assert verify(catalog.store).problem is not None


def test_what_only_a_deleted_branch_reached_goes(catalog: Catalog) -> None:
    catalog.create_branch("side", author="a", reason="r", at=minute(1))
    version = materialize(catalog.objects, "a@1", [7])
    put(catalog.on("side"), {"a@1": version})
    catalog.delete_branch("side", author="a", reason="r", at=minute(2))
    collect(catalog.store, now=NOON, extra=())
    assert version.record in collect(catalog.store, now=LATER, extra=()).deleted
    assert verify(catalog.store).problem is None


def test_garbage_that_is_committed_in_the_grace_period_stays(catalog: Catalog) -> None:
    entry = orphan(catalog, 9)
    collect(catalog.store, now=NOON, extra=())
    put(Catalog(catalog.store), {"a@9": entry}, run="run-2")
    assert collect(catalog.store, now=LATER, extra=()).deleted == ()
    assert verify(catalog.store, rows=True).problem is None


def test_a_commit_that_comes_while_it_is_swept_wins_or_is_told(catalog: Catalog) -> None:
    """At every call of the sweep, a commit of the garbage comes along: either it is committed and whole, or refused. Never both, never neither."""
    outcomes = set()
    for moment in range(60):
        store = MemoryStore()
        world = Catalog(store)
        put(world, {"a@1": materialize(world.objects, "a@1", [1])}, run="run-1")
        entry = orphan(world, 9)
        collect(store, now=NOON, extra=())

        def script(call: object, store: MemoryStore = store, entry: Entry = entry, moment: int = moment) -> None:
            if call.number == moment:  # type: ignore[attr-defined]
                try:
                    put(Catalog(store), {"a@9": entry}, run="run-2")
                    outcomes.add("committed")
                except (CatalogConflict, IntegrityError):
                    outcomes.add("refused")

        collect(FaultyStore(store, script), now=LATER, extra=())
        assert verify(store, rows=True).problem is None
        assert ("a@9" in held(world)) == (store.get(object_name(entry.record)) is not None)
    assert outcomes == {"committed", "refused"}


def test_a_sweep_that_dies_anywhere_is_finished_by_the_next(catalog: Catalog) -> None:
    for moment in range(200):
        store = MemoryStore()
        world = Catalog(store)
        put(world, {"a@1": materialize(world.objects, "a@1", [1])}, run="run-1")
        orphan(world, 9)
        condemned = set(collect(store, now=NOON, extra=()).condemned)
        dying = FaultyStore(store, lambda call, moment=moment: Fault.CRASH_AFTER if call.number == moment else None)  # type: ignore[misc]
        try:
            collect(dying, now=LATER, extra=())
        except Crash:
            assert verify(store, rows=True).problem is None
            for hours in (2, 24 * 30, 24 * 60):
                collect(store, now=LATER + timedelta(hours=hours), extra=())
        else:
            break
        assert not condemned & objects(world)
        assert list(store.names("fingerprints/")) == []
        assert verify(store, rows=True).problem is None
    assert moment > 15


def test_another_collector_does_not_join_a_sweep_under_way(catalog: Catalog) -> None:
    orphan(catalog, 9)
    collect(catalog.store, now=NOON, extra=())
    phases = []

    def script(call: object) -> None:
        if call.verb == "delete":  # type: ignore[attr-defined]
            phases.append(collect(catalog.store, now=LATER, extra=()).phase)

    assert collect(FaultyStore(catalog.store, script), now=LATER, extra=()).phase == "swept"
    assert set(phases) == {"busy"}


def test_a_damaged_store_is_not_collected(catalog: Catalog) -> None:
    orphan(catalog, 9)
    collect(catalog.store, now=NOON, extra=())
    record = catalog.view().entry(unit("a@1")).record  # type: ignore[union-attr]
    catalog.store.delete(object_name(record))
    before = objects(catalog)
    with pytest.raises(IntegrityError, match="missing"):
        collect(catalog.store, now=LATER, extra=())
    assert objects(catalog) == before


def test_a_grace_period_that_no_run_survives_is_refused(catalog: Catalog) -> None:
    with pytest.raises(PlanError, match="too short: a run could lose what it has just made"):
        collect(catalog.store, now=NOON, extra=(), grace=timedelta(minutes=5))


def test_a_damaged_announcement_stops_everything(catalog: Catalog) -> None:
    catalog.store.create(STATE, b"garbage")
    with pytest.raises(IntegrityError, match="`gc/state` is damaged"):
        collect(catalog.store, now=NOON, extra=())
    with pytest.raises(IntegrityError, match="`gc/state` is damaged"):
        put(catalog, {"a@3": materialize(Objects(MemoryStore()), "a@3", [3])})
