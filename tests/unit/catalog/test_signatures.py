"""Signed history: who may sign, what is refused when it is written, and what verification finds when somebody went round that."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.catalog.world import materialize, minute, put
from tidemill.catalog import Catalog, Committed
from tidemill.catalog.bundle import export
from tidemill.catalog.findings import Problem
from tidemill.catalog.log import Hint, Log, entry_name, hint_bytes, ref_name
from tidemill.catalog.objects import Signature, Snapshot
from tidemill.catalog.signing import Signer, create_key_file
from tidemill.catalog.verify import verify
from tidemill.errors import InvalidKey, NotFound, NotTrusted, PlanError, SettingsError
from tidemill.model.versions import canonical, digest
from tidemill.storage.base import BlobStore
from tidemill.storage.local import LocalStore
from tidemill.storage.memory import MemoryStore

OLD, NEW, FOREIGN = (Signer.load(digit * 64) for digit in "123")


def change(catalog: Catalog, *, at: float = 0, **more: Any) -> Committed:
    return catalog.change_keys(author="ada", reason="keys", at=minute(at), **more)


def made(catalog: Catalog, name: str, *rows: int) -> Committed:
    return put(catalog, {name: materialize(catalog.objects, name, list(rows))})


def signed_store(store: BlobStore | None = None) -> Catalog:
    """One unsigned commit, then the first key, a signed commit, a branch, a rotation, and a commit by the new key; 1 to 6 on `main`."""
    catalog = Catalog(store or MemoryStore(), signer=OLD)
    made(catalog, "a@1", 1)
    change(catalog, add=[OLD.key], at=1)
    made(catalog, "a@2", 2)
    catalog.create_branch("side", author="ada", reason="try", at=minute(2))
    change(catalog, add=[NEW.key], retire=[OLD.key], at=3)
    catalog = catalog.on("main", signer=NEW)
    made(catalog, "a@3", 3)
    return catalog


def problem(store: BlobStore, **more: Any) -> Problem:
    found = verify(store, **more).problem
    assert found is not None
    return found


def test_from_the_first_key_on_every_snapshot_is_signed_by_a_key_in_force() -> None:
    catalog = signed_store()
    signers = [place.snapshot.signature and place.snapshot.signature.key for place in catalog.history() if place.snapshot]
    assert signers[::-1] == [None, OLD.key, OLD.key, OLD.key, NEW.key]
    found = verify(catalog.store, rows=True)
    assert found.problem is None
    assert (found.entries, found.signed, found.first_keys) == (6, 5, (OLD.key,))
    known = [(each.key, each.by, bool(each.until)) for each in catalog.signing_keys()]
    assert known == [(OLD.key, OLD.key, True), (NEW.key, OLD.key, False)]


def test_a_branch_starts_with_the_keys_of_now_even_from_an_older_place() -> None:
    catalog = signed_store()
    catalog.create_branch("late", start=1, author="ada", reason="try", at=minute(4))
    with pytest.raises(NotTrusted, match="Branch `late` does not trust the key"):
        made(catalog.on("late", signer=OLD), "b", 1)
    made(catalog.on("late"), "b", 1)
    assert verify(catalog.store).problem is None


def test_every_kind_of_change_is_signed() -> None:
    catalog = signed_store()
    change(catalog.on("side", signer=OLD), add=[NEW.key])
    made(catalog.on("side"), "b", 1)
    catalog.merge("side", author="ada", reason="good", at=minute(5))
    catalog.rollback(3, author="ada", reason="bad", at=minute(6))
    catalog.fence("run-9", author="ada", reason="stop", at=minute(7))
    catalog.delete_branch("side", author="ada", reason="done", at=minute(8))
    found = verify(catalog.store)
    assert found.problem is None
    assert found.signed == found.entries - 1
    # Going back to a time before signing began does not end it.
    assert catalog.rollback(1, author="ada", reason="bad", at=minute(9)).changed == 1
    with pytest.raises(NotTrusted):
        made(Catalog(catalog.store), "b", 2)


def test_what_is_not_signed_as_it_must_be_is_refused_and_says_what_to_do() -> None:
    catalog = signed_store()
    number = catalog.head().number
    with pytest.raises(NotTrusted, match=r"Branch `main` takes signed snapshots only, and no signing key is set") as nothing:
        made(Catalog(catalog.store), "b", 1)
    assert f"TIDEMILL_SIGNING_KEY to a key that it trusts: {NEW.key[:16]}…" in nothing.value.hint
    with pytest.raises(NotTrusted, match=rf"Branch `main` does not trust the key {OLD.key[:16]}…"):
        made(catalog.on("main", signer=OLD), "b", 1)
    with pytest.raises(NotTrusted):
        change(catalog.on("main", signer=FOREIGN), add=[FOREIGN.key])
    assert catalog.head().number == number


def test_keys_change_once_however_often_it_is_asked_and_never_by_mistake() -> None:
    catalog = Catalog(MemoryStore(), signer=OLD)
    made(catalog, "a@1", 1)
    with pytest.raises(NotTrusted, match="The first key of branch `main` signs for itself"):
        change(catalog, add=[NEW.key])
    with pytest.raises(InvalidKey):
        change(catalog, add=["ABC"])
    first = change(catalog, add=[OLD.key])
    assert change(catalog, add=[OLD.key], at=9).number == first.number
    assert catalog.head().number == 2
    with pytest.raises(PlanError, match="is the last key of branch `main`"):
        change(catalog, retire=[OLD.key])
    with pytest.raises(NotFound, match="never trusted the key"):
        change(catalog, retire=[FOREIGN.key])
    change(catalog, retire=[OLD.key], off=True)
    made(Catalog(catalog.store), "a@2", 2)  # signing has ended
    assert verify(catalog.store).problem is None
    assert problem(catalog.store, trusted=OLD.key).kind == "unsigned"
    change(catalog, add=[OLD.key])
    made(catalog, "a@3", 3)
    assert verify(catalog.store, trusted=OLD.key).problem is None


def test_a_rotation_that_comes_between_a_commit_and_its_place_shuts_the_old_key_out() -> None:
    catalog = signed_store()
    change(catalog, add=[OLD.key])
    late = catalog.on("main", signer=OLD)
    base = late.head().number
    change(catalog, retire=[OLD.key])
    with pytest.raises(NotTrusted):
        put(late, {"b": materialize(catalog.objects, "b", [1])}, base=base, run="run-late")


def append(catalog: Catalog, build: Callable[[Snapshot], Snapshot], *, kind: str = "", branch: str = "main") -> None:
    """Puts a snapshot on a branch as somebody would who can write to the store and keeps to every form, and moves the ref."""
    place = catalog.on(branch).head()
    assert place.snapshot is not None
    plain = msgspec.structs.replace(
        place.snapshot,
        parent=place.hash,
        kind="fence",
        changed=0,
        depth=place.snapshot.depth + 1,
        run_id="",
        other="",
        keys=(),
        signature=None,
    )
    plain = msgspec.structs.replace(plain, trust=place.hash if place.snapshot.kind == "keys" else place.snapshot.trust)
    snapshot = build(plain)
    log = Log(catalog.store, branch)
    number, last = log.end()
    assert last is not None
    entry = msgspec.structs.replace(
        last.entry,
        number=number + 1,
        previous=last.hash,
        snapshot=catalog.objects.put(canonical(snapshot)),
        kind=kind or snapshot.kind,
        part="",
    )
    data = canonical(entry)
    catalog.store.create(entry_name(branch, number + 1), data)
    blob = catalog.store.get(ref_name(branch))
    assert blob is not None
    catalog.store.replace(ref_name(branch), hint_bytes(branch, Hint(number + 1, digest(data))), blob.etag)


def replaced(**fields: Any) -> Callable[[Snapshot], Snapshot]:
    return lambda snapshot: msgspec.structs.replace(snapshot, **fields)


@pytest.mark.parametrize(
    ("build", "kind", "why"),
    [
        (replaced(), "unsigned", "snapshots of branch `main` are signed at this place, and this one is not"),
        (replaced(trust=""), "unsigned", "snapshots of branch `main` are signed at this place, and this one is not"),
        (FOREIGN.sign, "untrusted", f"it is signed with the key {FOREIGN.key[:16]}…, which was not trusted at this place"),
        (OLD.sign, "untrusted", f"it is signed with the key {OLD.key[:16]}…, which had been retired at this place"),
        (
            replaced(signature=Signature(key=NEW.key, value="0" * 128)),
            "forged",
            f"its signature is not one that the key {NEW.key[:16]}… made",
        ),
        (replaced(signature=Signature(key=NEW.key, value="none")), "forged", "its signature is not one"),
        (lambda each: replaced(reason="another")(NEW.sign(each)), "forged", "its signature is not one"),
        (lambda each: NEW.sign(replaced(branch="side")(each)), "misplaced", "it was signed for branch `side`, not for `main`"),
        (lambda each: NEW.sign(replaced(keys=(FOREIGN.key,))(each)), "malformed", "a fence names no keys"),
        (lambda each: NEW.sign(replaced(kind="keys", keys=("abc",))(each)), "malformed", "its keys are not public keys in order"),
        (lambda each: FOREIGN.sign(replaced(kind="keys", keys=(FOREIGN.key,))(each)), "untrusted", "which was not trusted"),
        (lambda each: FOREIGN.sign(replaced(kind="keys", keys=(FOREIGN.key,), trust="")(each)), "misplaced", "the keys that are in force"),
        (replaced(kind="keys", keys=()), "unsigned", "are signed at this place"),
    ],
)
def test_what_somebody_with_full_access_and_no_key_adds_is_found_and_named(
    build: Callable[[Snapshot], Snapshot], kind: str, why: str
) -> None:
    catalog = signed_store()
    append(catalog, build)
    found = problem(catalog.store)
    assert (found.kind, found.name.rpartition("/")[2]) == (kind, catalog.head().hash)
    assert why in found.why


def test_a_branch_cannot_be_begun_anew_over_a_signed_one() -> None:
    catalog = signed_store()
    unsigned = catalog.position(1)
    assert unsigned.snapshot is not None
    append(catalog, replaced(kind="branch", parent=unsigned.hash, root=unsigned.root, trust="", units=1, depth=2))
    found = problem(catalog.store)
    assert (found.kind, found.why) == ("reordered", "a branch begins anew with it, and the one before had not ended")


def test_signed_snapshots_of_another_branch_cannot_be_passed_off_as_this_ones() -> None:
    catalog = signed_store()
    side = catalog.on("side", signer=OLD)
    made(side, "b", 1)
    place = side.head()
    assert place.snapshot is not None
    stolen = place.snapshot
    append(catalog, lambda _: stolen)
    assert problem(catalog.store).kind == "reordered"


def test_a_history_that_was_rewritten_without_the_key_is_found_by_whoever_knows_the_key() -> None:
    """Somebody with full access writes everything again, unsigned or with keys of their own: in itself it is flawless."""
    unsigned, foreign = Catalog(MemoryStore()), Catalog(MemoryStore(), signer=FOREIGN)
    for catalog in (unsigned, foreign):
        made(catalog, "a@1", 1)
    change(foreign, add=[FOREIGN.key])
    change(foreign, add=[NEW.key])  # naming a known key is not being vouched for by it
    for catalog, kind in ((unsigned, "unsigned"), (foreign, "untrusted")):
        assert verify(catalog.store).problem is None
        assert verify(catalog.store, trusted=FOREIGN.key).problem is None or catalog is unsigned
        assert problem(catalog.store, trusted=NEW.key).kind == kind
    assert verify(foreign.store).first_keys == (FOREIGN.key,)
    honest = signed_store()
    assert verify(honest.store, branches=["main"], trusted=NEW.key).problem is None
    assert verify(honest.store, trusted=OLD.key).problem is None
    # A branch that still trusts only a retired key is not vouched for by the new one.
    assert problem(honest.store, trusted=NEW.key).why == f"{NEW.key[:16]}… vouches for nothing on branch `side`"


def test_every_byte_of_every_snapshot_counts() -> None:
    """Any byte of a signed snapshot, its signature and its keys among them, flipped and everything around it made to fit: found.

    Every fourth byte, each time the tests run others of them; all with TIDEMILL_TEST_FULL=1.
    """
    catalog = signed_store()
    last = catalog.head().number
    place = catalog.position(last)
    data = catalog.objects.get(place.hash)
    recorded = Log(catalog.store, "main").read(last)
    tried = 0
    chosen = range(len(data)) if os.environ.get("TIDEMILL_TEST_FULL") else range(random.randrange(4), len(data), 4)
    for at in chosen:
        damaged = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        store = MemoryStore()
        for name in catalog.store.names(""):
            blob = catalog.store.get(name)
            if blob is not None and name not in {entry_name("main", last), ref_name("main")}:
                store.create(name, blob.data)
        address = Catalog(store).objects.put(damaged)
        entry = canonical(msgspec.structs.replace(recorded.entry, snapshot=address))
        store.create(entry_name("main", last), entry)
        store.create(ref_name("main"), hint_bytes("main", Hint(last, digest(entry))))
        assert problem(store).name in {f"objects/{address[:2]}/{address}", entry_name("main", last)}, (at, damaged)
        tried += 1
    assert tried > 140


def test_a_bundle_of_a_signed_branch_is_proven_offline(tmp_path: Path) -> None:
    catalog = signed_store()
    catalog.create_branch("late", author="ada", reason="try", at=minute(4))
    made(catalog.on("late"), "b", 1)
    bundle = LocalStore(tmp_path, flush=False)
    export(catalog.store, bundle, "late")
    found = verify(bundle, trusted=NEW.key, rows=True)
    assert found.problem is None
    assert (found.branches, found.signed, found.first_keys) == (1, 2, (OLD.key,))
    keys = catalog.on("late").head().snapshot
    assert keys is not None
    (tmp_path / "objects" / keys.trust[:2] / keys.trust).unlink()
    assert problem(bundle).name.endswith(keys.trust)


def test_a_key_can_be_given_as_file_text_or_digits_and_is_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    signer = create_key_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    assert Signer.load(str(path)).key == Signer.load(text).key == Signer.load(text.replace("\n", "\\n")).key == signer.key
    assert repr(Signer.load("1" * 64)) == f"Signer(key='{OLD.key}')"
    with pytest.raises(SettingsError, match="File exists") as taken:
        create_key_file(path)
    assert "overwritten" in taken.value.hint
    secret = "5" * 63
    rsa = "-----BEGIN PRIVATE KEY-----\nMFECAQEwBQYDK2Vw\n-----END PRIVATE KEY-----\n"
    for wrong in (secret, str(tmp_path / "missing.pem"), rsa, "x" * 5000, "\0"):
        with pytest.raises(SettingsError) as refused:
            Signer.load(wrong)
        assert wrong.strip() not in str(refused.value)


def test_an_unsigned_history_keeps_its_bytes() -> None:
    plain, with_key = Catalog(MemoryStore()), Catalog(MemoryStore(), signer=OLD)
    for catalog in (plain, with_key):
        made(catalog, "a@1", 1)
    assert plain.head() == with_key.head()
