"""Everything that moves a branch, with every fault before and after every call, and with a rival at every call: the outcome is that of no fault.

Exhaustive where `test_catalog_commits` is random. A call that ended without an answer is simply made again, by a new process.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pytest

from tests.unit.catalog.world import entry, held, minute, put
from tidemill.catalog import Catalog
from tidemill.catalog import tree as tree_module
from tidemill.catalog.signing import Signer
from tidemill.errors import CatalogConflict, NotFound, NotTrusted, StoreUnavailable
from tidemill.model.keys import unit_key
from tidemill.storage.base import BlobStore
from tidemill.storage.memory import MemoryStore
from tidemill.testing.faults import Call, Crash, Fault, FaultyStore, at

SIGNER, NEXT = Signer.load("1" * 64), Signer.load("2" * 64)
WHO: dict[str, Any] = {"author": "ada", "reason": "r", "at": minute(9)}
BASE = 8


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.storage.conditional.time.sleep", lambda _: None)
    monkeypatch.setattr(tree_module, "RANK_BITS", 1)


class Operation(NamedTuple):
    """One way to move a branch."""

    act: Callable[[Catalog], object]
    entries: int = 1
    """Log entries it adds, over all branches."""
    twice: bool = False
    """A second one may be added by a second try, and does no harm."""
    gone: bool = False
    """A second try may find that there is nothing left to do it to."""


def _commit(catalog: Catalog, **more: Any) -> object:
    return put(catalog, {"a@3": "new", "a@4": None, "b": "bee"}, run="run-9", base=BASE, **more)


ALL = {
    "commit": Operation(_commit),
    "commit of a part": Operation(lambda catalog: _commit(catalog, part="window-000003")),
    "fence": Operation(lambda catalog: catalog.fence("run-9", **WHO), twice=True),
    "rollback": Operation(lambda catalog: catalog.rollback(2, **WHO)),
    "rollback from a place": Operation(lambda catalog: catalog.rollback(2, base=BASE, **WHO)),
    "new branch": Operation(lambda catalog: catalog.create_branch("new", **WHO)),
    "branch made anew": Operation(lambda catalog: catalog.create_branch("gone", start=2, **WHO)),
    "merge": Operation(lambda catalog: catalog.merge("side", **WHO)),
    "end of a branch": Operation(lambda catalog: catalog.delete_branch("side", **WHO), gone=True),
    "first key": Operation(lambda catalog: catalog.change_keys(add=[SIGNER.key], **WHO)),
    "rotation": Operation(lambda catalog: catalog.on("side").change_keys(add=[NEXT.key], retire=[SIGNER.key], **WHO)),
}
ALIKE = {"commit of a part", "rollback from a place", "branch made anew"}
"""Much like others: only with TIDEMILL_TEST_FULL=1."""
OPERATIONS = {name: each for name, each in ALL.items() if os.environ.get("TIDEMILL_TEST_FULL") or name not in ALIKE}


def prepared() -> MemoryStore:
    """A store of one's own that holds `_made`."""
    store = MemoryStore()
    for name, data in _made():
        store.create(name, data)
    return store


@cache
def _made() -> list[tuple[str, bytes]]:
    """Eight entries on `main`; `side`, which is signed and has changed one unit; and a branch that was ended."""
    store = MemoryStore()
    catalog = Catalog(store, signer=SIGNER)
    for number in range(BASE):
        put(catalog, {f"a@{number}": str(number)}, run=f"run-{number}")
    catalog.create_branch("side", author="ada", reason="r", at=minute(1))
    side = catalog.on("side")
    side.change_keys(add=[SIGNER.key], author="ada", reason="r", at=minute(2))
    put(side, {"a@1": "side"})
    catalog.create_branch("gone", author="ada", reason="r", at=minute(3))
    catalog.delete_branch("gone", author="ada", reason="r", at=minute(4))
    return [(name, blob.data) for name in store.names("") if (blob := store.get(name))]


def state(store: BlobStore) -> dict[str, Any]:
    """What every branch holds, and its keys."""
    catalog = Catalog(store)
    return {
        name: (held(catalog.on(name)), [each for each in catalog.on(name).signing_keys() if not each.until]) for name in catalog.branches()
    }


def entries(store: BlobStore) -> int:
    return sum(1 for _ in store.names("log/"))


def ledger(store: BlobStore) -> None:
    """The log of every branch is whole: numbers without a gap, each entry after the one before, each snapshot after the one before."""
    for branch in ("main", "side", "gone", "new"):
        before = None
        for number, name in enumerate(store.names(f"log/{branch}/"), start=1):
            place = Catalog(store, branch=branch).position(number)
            assert name.endswith(f"{number:012d}")
            assert place.snapshot is not None
            if before is not None and place.snapshot.kind != "branch":
                assert place.snapshot.parent == before.hash
            before = place


def attempt(store: BlobStore, operation: Operation) -> bool:
    try:
        operation.act(Catalog(store, signer=SIGNER))
    except (StoreUnavailable, Crash):
        return False
    return True


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_fault_at_every_call_changes_nothing(name: str) -> None:
    operation = OPERATIONS[name]
    undisturbed = FaultyStore(prepared())
    before = entries(undisturbed.inner)
    operation.act(Catalog(undisturbed, signer=SIGNER))
    expected = state(undisturbed.inner)
    assert entries(undisturbed.inner) == before + operation.entries
    calls = len(undisturbed.calls)
    met: Counter[Fault] = Counter()
    for number in range(calls + 3):
        for fault in Fault:
            store = FaultyStore(prepared(), at({number: fault}))
            if not attempt(store, operation):
                try:
                    assert attempt(store.inner, operation)
                except NotFound:
                    assert operation.gone
            assert state(store.inner) == expected, f"{fault} at {number}"
            added = entries(store.inner) - before - operation.entries
            assert added == 0 or (operation.twice and added == 1), f"{fault} at {number}"
            ledger(store.inner)
            met.update(each for _, each in store.met)
    assert calls >= 8
    assert all(met[fault] >= 2 for fault in Fault), met


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_rival_at_any_call_loses_nothing_and_nor_does_the_operation(name: str) -> None:
    """At each call in turn, another process commits a unit of its own to `main` and to `side`."""
    operation = OPERATIONS[name]
    alone = FaultyStore(prepared())
    operation.act(Catalog(alone, signer=SIGNER))
    raced = 0
    for number in range(len(alone.calls)):
        inner = prepared()
        before = entries(inner)
        refused = _with_rival(inner, operation, number)
        ledger(inner)
        catalog = Catalog(inner)
        assert [place.snapshot.run_id for place in catalog.history() if place.snapshot].count("rival-main") == 1
        rivals = sum(_is_rivals(inner, name) for name in inner.names("log/"))
        if refused is not None:  # only who said what had been looked at is refused, and then has done nothing
            assert name == "rollback from a place", repr(refused)
            assert "moved from log entry" in str(refused)
            assert entries(inner) == before + rivals
            continue
        assert entries(inner) == before + rivals + operation.entries
        # On a branch that was ended or rotated first, the rival is refused.
        assert rivals == 2 or name in {"end of a branch", "rotation"}
        raced += catalog.head().snapshot.run_id != "rival-main"  # type: ignore[union-attr]
        if name.startswith("commit"):
            assert held(catalog)["rival"] == entry("rival")
            assert unit_key("a@4") not in catalog.view().all_entries()
    assert raced or name not in {"commit", "merge", "first key"}


def _with_rival(inner: BlobStore, operation: Operation, number: int) -> Exception | None:
    """Does it, while another process commits to both branches at one of its calls; what it was refused with, if it was."""

    def script(call: Call) -> Fault | None:
        if call.number == number:
            for branch in ("main", "side"):
                with contextlib.suppress(NotFound, NotTrusted):
                    put(Catalog(inner, branch=branch, signer=SIGNER), {"rival": "rival"}, run=f"rival-{branch}", at=5)
        return None

    try:
        operation.act(Catalog(FaultyStore(inner, script), signer=SIGNER))
    except CatalogConflict as error:
        return error
    return None


def _is_rivals(store: BlobStore, name: str) -> bool:
    blob = store.get(name)
    return blob is not None and b'"run_id":"rival-' in blob.data
