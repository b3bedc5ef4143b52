"""The log: the numbers are the truth, the hint is only a hint."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.catalog.world import held, put
from tidemill.catalog import Catalog
from tidemill.catalog.log import Hint, Log, entry_name, hint_bytes
from tidemill.errors import IntegrityError, MessageError, NotFound
from tidemill.model.versions import canonical
from tidemill.storage.base import BlobStore
from tidemill.storage.memory import MemoryStore
from tidemill.testing.faults import FaultyStore


def grown(commits: int) -> MemoryStore:
    store = MemoryStore()
    for number in range(commits):
        put(Catalog(store), {"a@1": str(number)})
    return store


def point(store: BlobStore, data: bytes | None) -> None:
    store.delete("refs/main")
    if data is not None:
        store.create("refs/main", data)


@pytest.mark.parametrize(
    "hint",
    [
        None,
        b"",
        b"not json",
        hint_bytes("main", Hint(0, "")),
        hint_bytes("side", Hint(3, "0" * 64)),
        hint_bytes("main", Hint(3, "0" * 64))[:-1],
        canonical(Hint(3, "0" * 64)),
        canonical(Hint(99, "0" * 64)),
    ],
)
def test_a_hint_that_is_lost_or_damaged_is_found_out_and_repaired(hint: bytes | None) -> None:
    store = grown(11)
    right = store.get("refs/main").data  # type: ignore[union-attr]
    point(store, hint)
    assert Catalog(store).head().number == 11
    assert store.get("refs/main").data == right  # type: ignore[union-attr]


@pytest.mark.parametrize("behind", [1, 2, 7, 10])
def test_a_hint_that_is_behind_is_moved_forward(behind: int) -> None:
    store = grown(11)
    right = store.get("refs/main").data  # type: ignore[union-attr]
    point(store, hint_bytes("main", Hint(11 - behind, Log(store, "main").read(11 - behind).hash)))
    assert Catalog(store).head().number == 11
    assert store.get("refs/main").data == right  # type: ignore[union-attr]


def test_finding_the_end_without_a_hint_costs_the_logarithm() -> None:
    store = grown(200)
    store.delete("refs/main")
    counting = FaultyStore(store)
    assert Log(counting, "main").end()[0] == 200
    assert len(counting.calls) < 25


def test_finding_the_end_again_costs_two_calls() -> None:
    store = grown(20)
    counting = FaultyStore(store)
    catalog = Catalog(counting)
    catalog.head()
    counting.calls.clear()
    assert catalog.head().number == 20
    assert len(counting.calls) == 2


def test_a_store_that_was_replaced_by_an_older_copy_is_noticed() -> None:
    store = grown(5)
    catalog = Catalog(store)
    assert catalog.head().number == 5
    for number in (3, 4, 5):
        store.delete(entry_name("main", number))
    point(store, hint_bytes("main", Hint(2, Log(store, "main").read(2).hash)))
    assert catalog.head().number == 2
    with pytest.raises(IntegrityError, match="ends at entry 2, but run `run-1` was planned on entry 5: the store is older"):
        put(catalog, {"a@2": "x"}, run="run-1", base=5)


def test_a_store_that_was_replaced_and_grew_again_is_noticed() -> None:
    store = grown(5)
    catalog = Catalog(store)
    catalog.history()
    for number in (4, 5):
        store.delete(entry_name("main", number))
    point(store, hint_bytes("main", Hint(3, Log(store, "main").read(3).hash)))
    for word in ("another", "history", "that is longer"):
        put(Catalog(store), {"a@2": word})
    assert catalog.head().number == 6
    assert [place.hash for place in catalog.history()] == [place.hash for place in Catalog(store).history()]


def test_a_gap_is_an_error() -> None:
    store = grown(5)
    store.delete(entry_name("main", 3))
    with pytest.raises(IntegrityError, match="Entry 3 of branch `main` is missing"):
        Catalog(store).view(3)


def test_an_entry_under_another_number_is_an_error() -> None:
    store = grown(3)
    moved = store.get(entry_name("main", 1))
    store.delete(entry_name("main", 2))
    assert moved is not None
    store.create(entry_name("main", 2), moved.data)
    with pytest.raises(IntegrityError, match="Entry 2 of branch `main` is really entry 1"):
        Catalog(store).view(2)


def test_an_entry_that_is_not_one_is_an_error() -> None:
    store = grown(1)
    store.create(entry_name("main", 2), b"garbage")
    with pytest.raises(IntegrityError, match="Entry 2 of branch `main` is damaged: it is no JSON"):
        Catalog(store).head()


def test_an_entry_of_a_later_version_is_an_error_with_a_hint() -> None:
    store = grown(1)
    store.create(entry_name("main", 2), b'{"type":"log/2"}')
    with pytest.raises(MessageError, match=r"Entry 2 of branch `main` cannot be read: .*upgrade this deployment"):
        Catalog(store).head()


@pytest.mark.parametrize(("damage", "what"), [(None, "missing"), ("run_id", "altered"), ("part", "altered"), ("previous", "altered")])
def test_a_last_entry_that_is_gone_or_altered_is_an_error_and_nothing_is_repaired(damage: str | None, what: str) -> None:
    """The ref tells that the entry was there, and what it was: who reads does not quietly go back to the one before."""
    store = grown(5)
    name = entry_name("main", 5)
    entry = Log(store, "main").read(5).entry
    store.delete(name)
    if damage:
        store.create(name, canonical(msgspec.structs.replace(entry, **{damage: "x" * 64})))
    before = {each: store.get(each) for each in store.names("")}
    with pytest.raises(IntegrityError, match=f"Entry 5 of branch `main` is {what}: `refs/main` says what it was") as error:
        Catalog(store).head()
    assert "delete `refs/main`" in error.value.hint
    with pytest.raises(IntegrityError):
        put(Catalog(store), {"a@1": "x"}, base=1)
    assert {each: store.get(each) for each in store.names("") if not each.startswith("objects/")}.items() <= before.items()


@pytest.mark.parametrize("damage", ["run_id", "part", "kind"])
def test_an_entry_that_tells_other_than_its_snapshot_is_an_error_even_without_the_ref(damage: str) -> None:
    store = grown(5)
    entry = Log(store, "main").read(5).entry
    store.delete(entry_name("main", 5))
    store.delete("refs/main")
    store.create(entry_name("main", 5), canonical(msgspec.structs.replace(entry, **{damage: "x"})))
    with pytest.raises(IntegrityError, match="Entry 5 of branch `main` and its snapshot"):
        Catalog(store).head()


def test_only_main_comes_into_being_by_itself() -> None:
    store = grown(1)
    with pytest.raises(NotFound, match="Branch `side` does not exist"):
        Catalog(store, branch="side").view()
    with pytest.raises(NotFound, match="Branch `side` does not exist"):
        put(Catalog(store, branch="side"), {"a@1": "x"}, base=0)
    assert held(Catalog(MemoryStore())) == {}
