"""Verification finds every single damage to every single object, and names it. A reader gets an error or the right answer, never another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.catalog.world import held, materialize, minute, put
from tidemill.catalog import Catalog
from tidemill.catalog import tree as tree_module
from tidemill.catalog.bundle import export
from tidemill.catalog.gc import collect
from tidemill.catalog.log import Hint, Log, entry_name, hint_bytes
from tidemill.catalog.verify import verify
from tidemill.errors import IntegrityError, MessageError, NotFound
from tidemill.model.facts import Materialization
from tidemill.model.versions import canonical, digest
from tidemill.storage.formats import parquet
from tidemill.storage.guard import object_name
from tidemill.storage.local import LocalStore
from tidemill.storage.memory import MemoryStore


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """Two branches, a tree of several levels, a merge, a rollback, a fence and a deleted branch."""
    monkeypatch.setattr(tree_module, "RANK_BITS", 1)
    store = MemoryStore()
    catalog = Catalog(store)
    made = {f"a@{number}": materialize(catalog.objects, f"a@{number}", [number]) for number in range(8)}
    put(catalog, dict(made), run="run-1")
    catalog.create_branch("side", author="a", reason="r", at=minute(1))
    catalog.create_branch("gone", author="a", reason="r", at=minute(1))
    put(catalog.on("side"), {"a@3": materialize(catalog.objects, "a@3", [33])}, run="run-2")
    put(catalog, {"a@4": materialize(catalog.objects, "a@4", [44]), "a@5": None}, run="run-3")
    catalog.merge("side", author="a", reason="r", at=minute(2))
    catalog.fence("run-4", author="a", reason="r", at=minute(3))
    catalog.rollback(2, author="a", reason="r", at=minute(4))
    catalog.delete_branch("gone", author="a", reason="r", at=minute(5))
    return store


def overwrite(store: MemoryStore, name: str, data: bytes | None) -> None:
    store.delete(name)
    if data is not None:
        store.create(name, data)


def test_a_whole_store_verifies(store: MemoryStore) -> None:
    found = verify(store, rows=True)
    assert found.problem is None
    assert (found.branches, found.entries, found.records, found.files) == (3, 9, 10, 10)
    assert verify(MemoryStore()).problem is None


def damages(data: bytes) -> dict[str, bytes | None]:
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    return {"deleted": None, "emptied": b"", "cut": data[:-1], "flipped": flipped, "longer": data + b" "}


def test_every_damage_to_every_object_is_found_and_named(store: MemoryStore) -> None:
    garbage = {object_name(each) for each in collect(store, now=minute(9), extra=(), dry_run=True).condemned}
    names = [name for name in store.names("") if not name.startswith("refs/") and name not in garbage]
    objects = {name for name in names if name.startswith("objects/")}
    tried = 0
    for name in names:
        data = store.get(name).data  # type: ignore[union-attr]
        for damage, damaged in damages(data).items():
            overwrite(store, name, damaged)
            problem = verify(store).problem
            assert problem is not None, f"{name} {damage}"
            if name in objects:
                assert problem.name == name, f"{name} {damage}: {problem}"
                assert problem.kind == ("missing" if damaged is None else "altered")
            tried += 1
        overwrite(store, name, data)
    assert verify(store).problem is None
    assert tried > 150


def test_a_reader_of_a_damaged_store_gets_an_error_or_the_right_answer(store: MemoryStore) -> None:
    right = held(Catalog(store))
    rows = {name: Catalog(store).record(entry.record) for name, entry in right.items()}
    refused = 0
    for name in list(store.names("")):
        data = store.get(name).data  # type: ignore[union-attr]
        for damaged in damages(data).values():
            overwrite(store, name, damaged)
            try:
                catalog = Catalog(store)
                found = held(catalog, at=5)
                records = {unit: catalog.record(entry.record) for unit, entry in found.items()}
                for record in records.values():
                    assert isinstance(record, Materialization)
                    for file in record.files:
                        parquet.read(catalog.objects.get(file.sha256))
            except (IntegrityError, MessageError):
                refused += 1
            else:
                assert (found, records) == (right, rows)
        overwrite(store, name, data)
    assert refused > 50


@pytest.mark.parametrize("swap", [(1, 2), (2, 3), (4, 5)])
def test_swapped_entries_are_found(store: MemoryStore, swap: tuple[int, int]) -> None:
    first, second = (store.get(entry_name("main", number)).data for number in swap)  # type: ignore[union-attr]
    overwrite(store, entry_name("main", swap[0]), second)
    overwrite(store, entry_name("main", swap[1]), first)
    problem = verify(store).problem
    assert str(problem) == f"`{entry_name('main', swap[0])}` is reordered: it says that it is entry {swap[1]} of `main`."


def rewritten(store: MemoryStore, number: int, **changes: object) -> None:
    """An entry rewritten by somebody who keeps the form."""
    entry = Log(store, "main").read(number).entry
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__} | changes
    overwrite(store, entry_name("main", number), canonical(type(entry)(**fields)))


def test_a_rewritten_entry_is_found_by_the_one_after_it(store: MemoryStore) -> None:
    other = Log(store, "main").read(2).entry.snapshot
    rewritten(store, 3, snapshot=other)
    problem = verify(store).problem
    assert problem is not None
    assert (problem.kind, problem.name) == ("altered", entry_name("main", 4))


def test_a_rewritten_last_entry_is_found_by_the_ref_and_a_cut_one_too(store: MemoryStore) -> None:
    last = Log(store, "main").end()[0]
    data = store.get(entry_name("main", last)).data  # type: ignore[union-attr]
    rewritten(store, last, run_id="run-77")
    assert verify(store).problem.name == entry_name("main", last)  # type: ignore[union-attr]
    overwrite(store, entry_name("main", last), None)
    assert verify(store).problem.kind == "missing"  # type: ignore[union-attr]
    overwrite(store, entry_name("main", last), data)
    assert verify(store).problem is None


def test_a_store_that_was_rolled_back_whole_is_found_by_a_checkpoint(store: MemoryStore) -> None:
    last, recorded = Log(store, "main").end()
    assert recorded is not None
    checkpoint = {"main": (last, recorded.hash)}
    assert verify(store, checkpoints=checkpoint).problem is None
    overwrite(store, entry_name("main", last), None)
    before = Log(store, "main").read(last - 1)
    overwrite(store, "refs/main", hint_bytes("main", Hint(last - 1, before.hash)))
    assert verify(store).problem is None  # nothing inside can tell
    assert verify(store, checkpoints=checkpoint).problem.name == entry_name("main", last)  # type: ignore[union-attr]
    assert verify(store, checkpoints={"main": (last - 1, "0" * 64)}).problem.kind == "altered"  # type: ignore[union-attr]
    assert verify(store, checkpoints={"lost": (1, "0" * 64)}).problem.name == "refs/lost"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"units": 99}, "it says 99 units and its tree holds 7"),
        ({"changed": 99}, "it says that 99 units changed, and 2 did"),
        ({"depth": 99}, "its depth does not follow"),
        ({"parent": ""}, "its parent is not the snapshot of the entry before"),
    ],
)
def test_a_snapshot_that_lies_is_found(changes: dict[str, object], why: str) -> None:
    """The last entry's snapshot, rewritten consistently by somebody with full access: what it says must still follow from what it names."""
    catalog = Catalog(MemoryStore())
    made = {f"a@{each}": materialize(catalog.objects, f"a@{each}", [each]) for each in range(6)}
    put(catalog, dict(made))
    put(
        catalog,
        {"a@0": None, "b@1": materialize(catalog.objects, "b@1", [1]), "b@2": materialize(catalog.objects, "b@2", [2])}
        | {"a@0": made["a@0"]},
    )
    put(catalog, {"a@0": None})
    put(catalog, {"a@1": None, "c": materialize(catalog.objects, "c", [2])})
    target = catalog.store
    head = catalog.head()
    assert head.snapshot is not None
    assert (head.snapshot.units, head.snapshot.changed) == (7, 2)
    fields = {name: getattr(head.snapshot, name) for name in head.snapshot.__struct_fields__} | changes
    lie = catalog.objects.put(canonical(type(head.snapshot)(**fields)))
    rewritten(target, head.number, snapshot=lie)  # type: ignore[arg-type]
    data = target.get(entry_name("main", head.number)).data  # type: ignore[union-attr]
    overwrite(target, "refs/main", hint_bytes("main", Hint(head.number, digest(data))))  # type: ignore[arg-type]
    problem = verify(target).problem
    assert problem is not None
    assert why in problem.why


def test_rows_that_are_not_what_the_record_says_are_found_when_asked_for() -> None:
    catalog = Catalog(MemoryStore())
    honest = materialize(catalog.objects, "a@1", [1, 2, 3])
    record = catalog.record(honest.record)
    fields = {name: getattr(record, name) for name in record.__struct_fields__} | {"data_version": digest(b"a lie")}
    lie = type(honest)(catalog.objects.put(canonical(Materialization(**fields))), digest(b"a lie"), honest.fingerprint)
    put(catalog, {"a@1": lie})
    assert verify(catalog.store).problem is None
    problem = verify(catalog.store, rows=True).problem
    assert problem is not None
    assert "its rows do not have the data version" in problem.why


def test_a_record_of_another_unit_is_found() -> None:
    catalog = Catalog(MemoryStore())
    put(catalog, {"a@2": materialize(catalog.objects, "a@1", [1])})
    problem = verify(catalog.store).problem
    assert problem is not None
    assert (problem.kind, "not the record of `a@2`" in problem.why) == ("misplaced", True)


def test_a_bundle_verifies_offline_and_its_damage_is_found(store: MemoryStore, tmp_path: Path) -> None:
    folder = LocalStore(tmp_path / "bundle", flush=False)
    bundle = export(store, folder, "side")
    assert bundle.branch == "side"
    opened = LocalStore(tmp_path / "bundle")
    checkpoint = {"side": (bundle.number, bundle.entry)}
    found = verify(opened, checkpoints=checkpoint, rows=True)
    assert found.problem is None
    assert held(Catalog(opened, branch="side")) == held(Catalog(store, branch="side"))
    assert export(store, folder, "side") == bundle
    for name in list(opened.names("objects/")):
        path = tmp_path / "bundle" / name
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        problem = verify(opened).problem
        assert problem is not None
        assert problem.name == name
        path.write_bytes(data)


def test_a_bundle_goes_only_where_no_other_history_is(store: MemoryStore) -> None:
    other = Catalog(MemoryStore())
    put(other, {"x": materialize(other.objects, "x", [1])})
    with pytest.raises(IntegrityError, match="The target holds another `log/main/000000000001`"):
        export(store, other.store, "main")
    with pytest.raises(NotFound, match="no history"):
        export(MemoryStore(), other.store, "main")


def test_an_object_under_a_wrong_but_existing_name_is_found(store: MemoryStore) -> None:
    garbage = {object_name(each) for each in collect(store, now=minute(9), extra=(), dry_run=True).condemned}
    names = [name for name in store.names("objects/") if name not in garbage]
    other = store.get(names[1]).data  # type: ignore[union-attr]
    overwrite(store, names[0], other)
    problem = verify(store).problem
    assert problem is not None
    assert (problem.kind, problem.name) == ("altered", names[0])
    assert object_name(digest(other)) == names[1]
