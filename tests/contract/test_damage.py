"""Any damage to anything stored is found by verification, and gives a reader an error or the right answer: never another one. On every store."""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from tests.contract.damage import EXPECTED, fill, is_checked, may_be_lost, names_by_kind, overwrite, reading, ways, whole
from tests.unit.catalog.world import NOON
from tidemill.catalog.verify import verify
from tidemill.execution.checking import check_records
from tidemill.storage import BlobStore, open_store
from tidemill.storage.local import LocalStore
from tidemill.storage.memory import MemoryStore

RECORDS = partial(check_records, now=NOON)
FULL = bool(os.environ.get("TIDEMILL_TEST_FULL"))
KINDS = {
    "objects: file", "objects: materialization/1", "objects: leaf/1", "objects: snapshot/1", "objects: plan/2", "objects: plan_slice/1",
    "objects: other", "log", "refs", "fingerprints", "code", "idempotency", "recent", "gc/state", "gc/fate",
    "ended", "plans", "runs/request", "runs/plan", "runs/tranches", "runs/published", "runs/result", "runs/cancel",
}  # fmt: skip


def test_there_is_something_of_every_kind() -> None:
    assert set(names_by_kind()) == KINDS
    store = MemoryStore()
    fill(store)
    found = verify(store, rows=True, also=RECORDS)
    assert found.problem is None
    assert found.signed == 7
    assert not [answer for answer in reading(store).values() if isinstance(answer, Exception)]


def check(store: BlobStore, name: str, how: str, right: dict[str, object]) -> Counter[str]:
    """Looks at a store in which one thing is damaged."""
    problem = verify(store, also=RECORDS).problem
    if how == "deleted":
        assert (problem is None) is may_be_lost(name), f"{name} {how}: {problem}"
    else:
        assert problem is not None or not is_checked(name), f"{name} {how}: not noticed"
    refused = 0
    for question, answer in reading(store).items():
        if isinstance(answer, EXPECTED):
            assert str(answer)
            refused += 1
        elif answer != right[question]:
            # A record of a run that is gone is as if it had never been written: the run goes on, and writes it again.
            assert how == "deleted", f"{name} {how}: {question} is now {answer}"
            assert name.startswith("runs/"), f"{name} {how}: {question} is now {answer}"
    return Counter(noticed=problem is not None, refused=refused > 0)


def damage(store: BlobStore, name: str, chance: random.Random, right: dict[str, object], *, some: int | None = None) -> Counter[str]:
    """Does to one thing everything there is, or some of it and its deletion, and looks each time."""
    seen: Counter[str] = Counter()
    data = whole()[name]
    every = list(ways(data, chance))
    for how, damaged in every if some is None else [*chance.sample(every[:-1], min(some, len(every) - 1)), every[-1]]:
        overwrite(store, name, damaged)
        seen += check(store, name, how, right) + Counter(tried=1)
        overwrite(store, name, data)
        restore(store)
    return seen


def restore(store: BlobStore) -> None:
    """Puts the hints back that a reader has moved or written anew."""
    for name, data in whole().items():
        if name.startswith("refs/") and ((blob := store.get(name)) is None or blob.data != data):
            overwrite(store, name, data)


def prepared(store: BlobStore) -> dict[str, object]:
    fill(store)
    return reading(store)


@pytest.mark.timeout(120)
def test_damage_to_every_kind_of_thing_is_noticed() -> None:
    chance = random.Random(os.environ.get("TIDEMILL_TEST_SEED", "kinds"))
    store = MemoryStore()
    right = prepared(store)
    seen: Counter[str] = Counter()
    for names in names_by_kind().values():
        seen += damage(store, chance.choice(names), chance, right, some=2)
    assert seen["tried"] == 3 * len(KINDS) - 2  # there are only two ways to damage what is empty
    assert seen["noticed"] > 0.8 * seen["tried"]
    assert seen["refused"] > 0.4 * seen["tried"]


@pytest.mark.timeout(120)
def test_two_things_in_each_others_places_are_noticed() -> None:
    chance = random.Random(os.environ.get("TIDEMILL_TEST_SEED", "swap"))
    store = MemoryStore()
    right = prepared(store)
    pairs = [tuple(chance.sample(names, 2)) for names in names_by_kind().values() if len(names) > 1]
    pairs += [tuple(chance.sample(sorted(whole()), 2)) for _ in range(500 if FULL else 10)]
    for one, other in pairs:
        if whole()[one] == whole()[other]:
            continue
        overwrite(store, one, whole()[other])
        overwrite(store, other, whole()[one])
        check(store, one if is_checked(one) else other, f"in the place of {other}", right)
        overwrite(store, one, whole()[one])
        overwrite(store, other, whole()[other])
        restore(store)


def test_it_is_the_same_on_a_folder(tmp_path: Path) -> None:
    chance = random.Random(os.environ.get("TIDEMILL_TEST_SEED", "folder"))
    store = LocalStore(tmp_path, flush=False)
    right = prepared(store)
    seen: Counter[str] = Counter()
    for kind in ("log", "objects: file", "refs", "runs/result"):
        seen += damage(store, chance.choice(names_by_kind()[kind]), chance, right, some=1)
    assert seen["noticed"] >= 7


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_every_damage_to_everything_is_noticed() -> None:
    chance = random.Random(os.environ.get("TIDEMILL_TEST_SEED", "everything"))
    store = MemoryStore()
    right = prepared(store)
    seen = sum((damage(store, name, chance, right) for name in whole()), Counter[str]())
    sys.stderr.write(f"\n{len(whole())} things of {len(KINDS)} kinds: {dict(seen)}\n")
    assert seen["tried"] > 1000


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_every_damage_to_every_kind_is_noticed_on_a_folder_and_in_azure(shared: tuple[str, str]) -> None:
    chance = random.Random(os.environ.get("TIDEMILL_TEST_SEED", "shared"))
    store = open_store(shared[0], container=shared[1])
    right = prepared(store)
    seen = sum((damage(store, chance.choice(names), chance, right) for names in names_by_kind().values()), Counter[str]())
    sys.stderr.write(f"\n{type(store).__name__}: one thing of each of {len(KINDS)} kinds: {dict(seen)}\n")
    assert seen["tried"] > 150
