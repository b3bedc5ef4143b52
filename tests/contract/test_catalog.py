"""What the catalog does on every store, and how many storage calls it may cost."""

from __future__ import annotations

import pytest

from tests.unit.catalog.world import entry, held, materialize, minute, put, unit
from tidemill.catalog import Catalog
from tidemill.catalog.signing import Signer
from tidemill.catalog.verify import verify
from tidemill.errors import CatalogConflict, RunFenced
from tidemill.storage import BlobStore
from tidemill.testing.faults import FaultyStore


def test_an_empty_catalog_holds_nothing(store: BlobStore) -> None:
    catalog = Catalog(store)
    head = catalog.head()
    assert (head.number, head.hash, head.snapshot) == (0, "", None)
    view = catalog.view()
    assert (view.number, view.snapshot, view.assets(), dict(view.all_entries())) == (0, "", (), {})
    assert view.entry(unit("a@1")) is None
    assert list(store.names("")) == []


def test_a_commit_is_seen_by_others(store: BlobStore) -> None:
    done = put(Catalog(store), {"a@1": "one", "a@2": "two", "b": "three"}, run="run-1")
    assert (done.number, done.changed) == (1, 3)
    view = Catalog(store).view()
    assert (view.number, view.snapshot, view.assets()) == (1, done.snapshot, ("a", "b"))
    assert view.entries(unit("a").asset) == {"1": entry("one"), "2": entry("two")}
    assert view.entry(unit("b")) == entry("three")


def test_a_view_stays_as_it_was(store: BlobStore) -> None:
    catalog = Catalog(store)
    put(catalog, {"a@1": "one"})
    view = catalog.view()
    put(catalog, {"a@1": "two", "a@2": "three"})
    assert view.entry(unit("a@1")) == entry("one")
    assert held(catalog, at=1) == {"a@1": entry("one")}
    assert held(catalog) == {"a@1": entry("two"), "a@2": entry("three")}


def test_committing_again_gives_the_same_answer(store: BlobStore) -> None:
    first = put(Catalog(store), {"a@1": "one"}, run="run-1", base=0)
    put(Catalog(store), {"a@2": "two"}, run="run-2", base=0)
    again = put(Catalog(store), {"a@1": "one"}, run="run-1", base=0, at=5)
    assert again == first
    assert Catalog(store).head().number == 2


def test_conflicts_on_other_units_do_not_fail_and_on_the_same_name_both_writers(store: BlobStore) -> None:
    put(Catalog(store), {"a@1": "one"}, run="run-1", base=0)
    put(Catalog(store), {"a@2": "two"}, run="run-2", base=0)
    with pytest.raises(
        CatalogConflict,
        match=r"`a@1` was changed by run `run-1` \(ada\) with log entry 1 \(commit\), after run `run-3` \(ada\) was planned on log entry 0",
    ):
        put(Catalog(store), {"a@1": "three"}, run="run-3", base=0)
    assert held(Catalog(store)) == {"a@1": entry("one"), "a@2": entry("two")}


def test_a_fenced_run_commits_nothing_any_more(store: BlobStore) -> None:
    Catalog(store).fence("run-1", author="ada", reason="wrong month", at=minute(1))
    with pytest.raises(RunFenced, match="Run `run-1` was canceled"):
        put(Catalog(store), {"a@1": "one"}, run="run-1", base=0)
    assert put(Catalog(store), {"a@1": "one"}, run="run-2", base=0).number == 2


def test_branches_rollback_and_merge_leave_a_store_that_verifies(store: BlobStore) -> None:
    catalog = Catalog(store)
    put(catalog, {"a@1": materialize(catalog.objects, "a@1", [1]), "a@2": materialize(catalog.objects, "a@2", [2])}, run="run-1")
    catalog.create_branch("try", author="ada", reason="an idea", at=minute(1))
    other = catalog.on("try")
    put(other, {"a@1": materialize(catalog.objects, "a@1", [3])}, run="run-2")
    put(catalog, {"a@2": None})
    assert catalog.merge("try", author="ada", reason="it was good", at=minute(2)).changed == 1
    assert catalog.rollback(1, author="ada", reason="it was not", at=minute(3)).changed == 2
    assert held(catalog) == held(catalog, at=1)
    found = verify(store, rows=True)
    assert found.problem is None
    assert (found.branches, found.entries, found.records) == (2, 6, 3)


def test_opening_and_looking_up_costs_few_calls(store: BlobStore) -> None:
    catalog = Catalog(store)
    put(catalog, {f"a@{number:05d}": str(number) for number in range(3000)})
    for number in range(5):
        put(catalog, {f"b@{number}": str(number)})
    counting = FaultyStore(store)
    assert Catalog(counting).view().entry(unit("a@01500")) == entry("1500")
    assert len(counting.calls) < 10
    counting.calls.clear()
    assert len(Catalog(counting).diff(1)) == 5
    assert len(counting.calls) < 40


def test_a_small_commit_writes_little(store: BlobStore) -> None:
    catalog = Catalog(store)
    put(catalog, {f"a@{number:05d}": str(number) for number in range(3000)})
    counting = FaultyStore(store)
    put(Catalog(counting), {"a@01500": "changed"}, run="run-2")
    created = [call.name for call in counting.calls if call.verb == "create"]
    assert len(created) <= 5  # a leaf, a root, perhaps one between, the snapshot, the log entry


def test_an_idle_branch_costs_a_few_kilobytes(store: BlobStore) -> None:
    catalog = Catalog(store)
    put(catalog, {f"a@{number:05d}": str(number) for number in range(3000)})

    def size() -> int:
        return sum(len(blob.data) for name in store.names("") if (blob := store.get(name)))

    before = size()
    catalog.create_branch("idle", author="ada", reason="an idea", at=minute(1))
    assert 0 < size() - before < 2000
    assert len(catalog.on("idle").view().all_entries()) == 3000


def test_a_signed_commit_costs_few_calls_and_verifies(store: BlobStore) -> None:
    catalog = Catalog(store, signer=Signer.load("1" * 64))
    put(catalog, {"a@1": materialize(catalog.objects, "a@1", [1])})
    catalog.change_keys(add=[catalog.signer.key], author="ada", reason="r", at=minute(1))  # type: ignore[union-attr]
    counting = FaultyStore(store)
    put(Catalog(counting, signer=catalog.signer), {"a@1": materialize(catalog.objects, "a@1", [2])})
    assert len(counting.calls) < 20
    found = verify(store, rows=True, trusted=catalog.signer.key)  # type: ignore[union-attr]
    assert (found.problem, found.signed) == (None, 2)
