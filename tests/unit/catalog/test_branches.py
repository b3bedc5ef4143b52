"""Branches, rollback and time travel."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.catalog.world import entry, held, minute, put, unit
from tidemill.catalog import Catalog
from tidemill.errors import CatalogConflict, NotFound, PlanError
from tidemill.storage.memory import MemoryStore
from tidemill.testing.faults import FaultyStore

WHO: dict[str, Any] = {"author": "bob", "reason": "because"}


@pytest.fixture
def main() -> Catalog:
    catalog = Catalog(MemoryStore())
    put(catalog, {"a@1": "one", "a@2": "two", "b": "bee"}, run="run-1")
    return catalog


def branched(main: Catalog, name: str = "side") -> Catalog:
    main.create_branch(name, **WHO, at=minute(1))
    return main.on(name)


def test_a_branch_starts_with_what_is_there_and_then_goes_its_own_way(main: Catalog) -> None:
    side = branched(main)
    assert held(side) == held(main)
    put(side, {"a@1": "side"})
    put(main, {"a@2": "main"})
    assert held(side) == {"a@1": entry("side"), "a@2": entry("two"), "b": entry("bee")}
    assert held(main) == {"a@1": entry("one"), "a@2": entry("main"), "b": entry("bee")}
    assert [str(change.unit) for change in main.diff_branch("side")] == ["a@1", "a@2"]


def test_a_branch_can_start_in_the_past(main: Catalog) -> None:
    put(main, {"a@1": "later"})
    main.create_branch("old", **WHO, at=minute(1), start=1)
    assert held(main.on("old")) == held(main, at=1)


def test_an_idle_branch_costs_a_few_kilobytes(main: Catalog) -> None:
    put(main, {f"c@{number:04d}": str(number) for number in range(2000)})
    store = FaultyStore(main.store)
    before = set(main.store.names(""))
    Catalog(store).create_branch("idle", **WHO, at=minute(1))
    added = [name for name in main.store.names("") if name not in before]
    assert sorted(name.split("/")[0] for name in added) == ["log", "objects", "refs"]
    sizes = [len(blob.data) for name in added if (blob := main.store.get(name)) is not None]
    assert len(sizes) == 3
    assert sum(sizes) < 2000


def test_branches_are_listed_until_they_are_deleted(main: Catalog) -> None:
    branched(main, "one")
    branched(main, "two")
    assert {name: place.number for name, place in main.branches().items()} == {"main": 1, "one": 1, "two": 1}
    main.delete_branch("one", **WHO, at=minute(2))
    assert list(main.branches()) == ["main", "two"]
    with pytest.raises(NotFound, match="Branch `one` was deleted"):
        main.on("one").view()
    with pytest.raises(NotFound, match="Branch `one` was deleted"):
        put(main.on("one"), {"a@1": "x"}, base=1)
    again = branched(main, "one")
    assert held(again) == held(main)
    assert again.head().number == 3


def test_what_is_wrong_with_a_branch_is_said(main: Catalog) -> None:
    branched(main)
    with pytest.raises(PlanError, match="Branch `side` exists already"):
        main.create_branch("side", **WHO, at=minute(9))
    with pytest.raises(PlanError, match="Branch `main` cannot be deleted"):
        main.delete_branch("main", **WHO, at=minute(2))
    with pytest.raises(NotFound, match="Branch `nothing` does not exist"):
        main.delete_branch("nothing", **WHO, at=minute(2))
    with pytest.raises(NotFound, match="Branch `nothing` does not exist"):
        main.merge("nothing", **WHO, at=minute(2))
    with pytest.raises(PlanError, match="cannot start from nothing"):
        Catalog(MemoryStore()).create_branch("side", **WHO, at=minute(1))


def test_making_the_same_branch_again_after_a_lost_reply_is_fine(main: Catalog) -> None:
    first = main.create_branch("side", **WHO, at=minute(1))
    again = main.create_branch("side", **WHO, at=minute(1))
    assert again[:2] == first[:2]


def test_a_merge_takes_over_what_changed_there_and_keeps_what_changed_here(main: Catalog) -> None:
    side = branched(main)
    put(side, {"a@1": "side", "b": None, "new": "new"})
    put(main, {"a@2": "main"})
    done = main.merge("side", **WHO, at=minute(2))
    assert done.changed == 3
    assert held(main) == {"a@1": entry("side"), "a@2": entry("main"), "new": entry("new")}
    snapshot = main.head().snapshot
    assert snapshot is not None
    assert (snapshot.kind, snapshot.other, snapshot.depth) == ("merge", side.head().hash, 4)
    assert main.merge("side", **WHO, at=minute(3)) == (done.number, done.snapshot, 0)


def test_a_second_merge_looks_only_at_what_came_after_the_first(main: Catalog) -> None:
    side = branched(main)
    put(side, {"a@1": "side"})
    main.merge("side", **WHO, at=minute(2))
    put(main, {"a@1": "one"})  # taken back on main, on purpose
    put(side, {"a@2": "more"})
    assert main.merge("side", **WHO, at=minute(3)).changed == 1
    assert held(main) == {"a@1": entry("one"), "a@2": entry("more"), "b": entry("bee")}


def test_merging_back_and_forth_does_not_conflict(main: Catalog) -> None:
    side = branched(main)
    put(side, {"a@1": "side"})
    put(main, {"a@2": "main"})
    side.merge("main", **WHO, at=minute(2))
    main.merge("side", **WHO, at=minute(3))
    assert held(side) == held(main) == {"a@1": entry("side"), "a@2": entry("main"), "b": entry("bee")}
    put(side, {"a@1": "side 2"})
    put(main, {"a@2": "main 2"})
    main.merge("side", **WHO, at=minute(4))
    side.merge("main", **WHO, at=minute(5))
    assert held(side) == held(main) == {"a@1": entry("side 2"), "a@2": entry("main 2"), "b": entry("bee")}


def test_the_same_change_on_both_sides_is_no_conflict(main: Catalog) -> None:
    side = branched(main)
    put(side, {"a@1": "same", "a@2": "more"})
    put(main, {"a@1": "same"})
    assert main.merge("side", **WHO, at=minute(2)).changed == 1


def test_a_conflict_names_units_and_both_writers_and_merges_nothing(main: Catalog) -> None:
    side = branched(main)
    put(side, {"a@1": "side", "a@2": "fine"}, run="run-side")
    put(main, {"a@1": "main"}, run="run-main")
    put(main, {"b": "other"}, run="run-other")
    before = main.head()
    expected = (
        "`side` cannot be merged into `main`: both changed `a@1`. `a@1` was changed by run `run-main` (ada) on `main` (log entry 2) "
        "and by run `run-side` (ada) on `side` (log entry 2)."
    )
    with pytest.raises(CatalogConflict, match=re.escape(expected)):
        main.merge("side", **WHO, at=minute(2))
    assert main.head() == before


def test_rollback_is_a_commit_and_can_be_rolled_back(main: Catalog) -> None:
    put(main, {"a@1": "bad", "c": "bad"})
    done = main.rollback(1, **WHO, at=minute(2))
    assert (done.number, done.changed) == (3, 2)
    assert held(main) == held(main, at=1)
    assert main.head().snapshot.other == main.position(1).hash  # type: ignore[union-attr]
    main.rollback(2, **WHO, at=minute(3))
    assert held(main) == held(main, at=2)
    assert main.rollback(2, **WHO, at=minute(4)).changed == 0
    assert main.rollback(0, **WHO, at=minute(5)).changed == 4
    assert held(main) == {}


def test_a_rollback_that_was_decided_on_an_old_head_is_refused(main: Catalog) -> None:
    put(main, {"a@1": "bad"})
    put(main, {"a@2": "good"}, run="run-9")
    with pytest.raises(CatalogConflict, match=r"moved from log entry 2 to 3 \(by run `run-9` \(ada\)\)"):
        main.rollback(1, **WHO, at=minute(2), base=2)
    done = main.rollback(1, **WHO, at=minute(2), base=3)
    assert main.rollback(1, **WHO, at=minute(2), base=3).number == done.number


def test_history_is_newest_first(main: Catalog) -> None:
    for number in range(5):
        put(main, {"a@1": str(number)}, run=f"run-{number}x", at=number)
    assert [place.number for place in main.history(3)] == [6, 5, 4]
    assert [place.number for place in main.history(3, before=4)] == [3, 2, 1]
    assert [place.number for place in main.history(99)] == [6, 5, 4, 3, 2, 1]


def test_any_place_can_be_meant_in_several_ways(main: Catalog) -> None:
    put(main, {"a@1": "x"}, run="run-2", at=10)
    put(main, {"a@1": "y"}, run="run-3", at=20)
    second = main.position(2)
    for text in ("2", second.hash, second.hash[:12], "run-2", "2026-11-21T12:10:00Z", "2026-11-21T12:19:59", "2026-11-21T14:15:00+02:00"):
        assert main.resolve(text) == second, text
    assert main.resolve("0").number == 0
    assert main.resolve("2026-11-21").number == 0
    assert main.resolve("2026-11-22").number == 3
    for text, message in (
        ("4", "no log entry 4: it ends at 3"),
        ("run-9", "instant or run `run-9`"),
        ("abcdef12", "`abcdef12`"),
        ("", "``"),
    ):
        with pytest.raises(NotFound, match=message):
            main.resolve(text)


def test_time_travel_reads_what_was_there(main: Catalog) -> None:
    put(main, {"a@1": "x"}, run="run-2", at=10)
    place = main.resolve("run-1")
    assert main.view(place.number).entry(unit("a@1")) == entry("one")
    assert [str(change.unit) for change in main.diff(1)] == ["a@1"]
    assert [(change.before, change.after) for change in main.diff(1, 2)] == [(entry("one"), entry("x"))]
    assert [change.before for change in main.diff(2, 0)] == [entry("x"), entry("two"), entry("bee")]
