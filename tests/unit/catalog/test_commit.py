"""Commits: what they require, what they change, and what is said when they may not."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.unit.catalog.world import entry, held, minute, put, unit
from tidemill.catalog import Catalog
from tidemill.errors import CatalogConflict, RunFenced, StoreUnavailable
from tidemill.storage.memory import MemoryStore
from tidemill.testing.faults import Fault, FaultyStore


@pytest.fixture
def catalog() -> Catalog:
    return Catalog(MemoryStore())


def test_what_a_commit_says_is_kept(catalog: Catalog) -> None:
    catalog.commit({unit("a@1"): entry("one")}, base=0, run_id="run-1", author="ada", reason="monthly", at=minute(3))
    snapshot = catalog.head().snapshot
    assert snapshot is not None
    assert (snapshot.author, snapshot.reason, snapshot.at, snapshot.run_id) == ("ada", "monthly", "2026-11-21T12:03:00.000000Z", "run-1")
    assert (snapshot.kind, snapshot.parent, snapshot.depth, snapshot.units, snapshot.changed) == ("commit", "", 1, 1, 1)


def test_an_instant_without_a_zone_is_refused(catalog: Catalog) -> None:
    with pytest.raises(ValueError, match="needs a time zone"):
        catalog.commit({}, base=0, author="ada", reason="r", at=datetime(2026, 1, 1))  # noqa: DTZ001


def test_changing_nothing_writes_nothing(catalog: Catalog) -> None:
    first = put(catalog, {"a@1": "one"})
    again = put(catalog, {"a@1": "one", "a@2": None}, run="run-2")
    assert again == (first.number, first.snapshot, 0)
    assert put(Catalog(MemoryStore()), {}) == (0, "", 0)


def test_only_what_differs_counts_as_changed(catalog: Catalog) -> None:
    put(catalog, {"a@1": "one", "a@2": "two"})
    assert put(catalog, {"a@1": "one", "a@2": "other", "a@3": None}).changed == 1


def test_removing_the_last_unit_gives_the_tree_of_nothing(catalog: Catalog) -> None:
    put(catalog, {"a@1": "one"})
    put(catalog, {"a@1": None})
    assert held(catalog) == {}
    assert catalog.head().snapshot.units == 0  # type: ignore[union-attr]
    put(catalog, {"a@2": "two"})
    assert held(catalog) == {"a@2": entry("two")}


def test_two_that_want_the_same_do_not_conflict(catalog: Catalog) -> None:
    put(catalog, {"a@1": "one"}, run="run-1", base=0)
    assert put(catalog, {"a@1": "one", "a@2": "two"}, run="run-2", base=0).changed == 1


def test_a_unit_that_is_only_read_can_be_required(catalog: Catalog) -> None:
    put(catalog, {"source": "old"}, run="run-1")
    put(catalog, {"source": "new"}, run="run-2")
    with pytest.raises(CatalogConflict, match="`source` was changed by run `run-2`"):
        put(catalog, {"a@1": "one"}, run="run-3", base=1, expected={unit("source"): entry("old")})
    assert put(catalog, {"a@1": "one"}, run="run-3", base=1, expected={unit("source"): entry("new")}).number == 3


def test_an_expectation_that_never_held_is_named_as_such(catalog: Catalog) -> None:
    put(catalog, {"a@1": "one"}, run="run-1")
    with pytest.raises(CatalogConflict, match=r"`a@1` does not hold what run `run-2` \(ada\) expects, and did not on log entry 1 either"):
        put(catalog, {"a@1": "two"}, run="run-2", expected={unit("a@1"): entry("never")})


def test_the_last_writer_is_named_and_not_just_any(catalog: Catalog) -> None:
    put(catalog, {"a@1": "one"}, run="run-1")
    put(catalog, {"a@2": "other"}, run="run-2")
    put(catalog, {"a@1": "two"}, run="run-3")
    put(catalog, {"a@2": "another"}, run="run-4")
    with pytest.raises(
        CatalogConflict, match=r"changed by run `run-3` \(ada\) with log entry 3 .* after run `run-5` \(ada\) was planned on log entry 1"
    ):
        put(catalog, {"a@1": "mine"}, run="run-5", base=1)


def test_a_person_is_named_where_there_is_no_run(catalog: Catalog) -> None:
    put(catalog, {"a@1": "one"})
    with pytest.raises(CatalogConflict, match="was changed by ada with log entry 1"):
        put(catalog, {"a@1": "two"}, base=0)


def test_a_rollback_in_between_conflicts_where_it_changed_something(catalog: Catalog) -> None:
    put(catalog, {"a@1": "one"})
    put(catalog, {"a@1": "two"})
    catalog.rollback(1, author="bob", reason="bad", at=minute(1))
    with pytest.raises(CatalogConflict, match=r"was changed by bob with log entry 3 \(rollback\)"):
        put(catalog, {"a@1": "three"}, run="run-1", base=2)


def test_a_run_may_commit_in_parts(catalog: Catalog) -> None:
    first = put(catalog, {"a@1": "one"}, run="run-1", base=0, part="window-1")
    second = put(catalog, {"a@2": "two"}, run="run-1", base=0, part="window-2")
    assert (first.number, second.number) == (1, 2)
    assert put(catalog, {"a@1": "one"}, run="run-1", base=0, part="window-1") == first
    assert catalog.head().number == 2


def test_what_was_committed_before_the_fence_stays_and_is_found(catalog: Catalog) -> None:
    first = put(catalog, {"a@1": "one"}, run="run-1", base=0)
    catalog.fence("run-1", author="bob", reason="too late", at=minute(1))
    assert put(catalog, {"a@1": "one"}, run="run-1", base=0) == first
    snapshot = catalog.head().snapshot
    assert snapshot is not None
    assert (snapshot.kind, snapshot.run_id, snapshot.changed, held(catalog)) == ("fence", "run-1", 0, {"a@1": entry("one")})


def test_a_fence_met_in_the_middle_of_a_commit_stops_it() -> None:
    """The worker is frozen right before its commit point; the run is cancelled; the worker wakes up."""
    inner = MemoryStore()

    def script(call: object) -> None:
        if call.verb == "create" and call.name == "log/main/000000000001":  # type: ignore[attr-defined]
            Catalog(inner).fence("run-1", author="bob", reason="stop", at=minute(1))

    with pytest.raises(RunFenced, match="Run `run-1` was canceled \\(log entry 1\\)"):
        put(Catalog(FaultyStore(inner, script)), {"a@1": "one"}, run="run-1", base=0)
    assert held(Catalog(inner)) == {}


def test_an_unknown_outcome_is_learnt_by_committing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.storage.conditional.time.sleep", lambda _: None)
    inner = MemoryStore()
    down: list[bool] = []

    def script(call: object) -> Fault | None:
        if call.verb == "create" and call.name.startswith("log/"):  # type: ignore[attr-defined]
            down.append(True)
            return Fault.FAIL_AFTER
        return Fault.FAIL_BEFORE if down else None

    with pytest.raises(StoreUnavailable, match="Whether `log/main/000000000001` was written is unknown"):
        put(Catalog(FaultyStore(inner, script)), {"a@1": "one"}, run="run-1", base=0)
    assert put(Catalog(inner), {"a@1": "one"}, run="run-1", base=0).number == 1
    assert Catalog(inner).head().number == 1
