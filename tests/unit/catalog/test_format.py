"""The bytes themselves. What is written out here is the format: other programs read it, so it may never change."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.unit.catalog.world import NOON, put
from tidemill.catalog import Catalog
from tidemill.catalog.objects import EMPTY_LEAF, EMPTY_ROOT, Branch, Child, Leaf, LeafEntry, LogEntry, Snapshot, decode
from tidemill.catalog.signing import Signer
from tidemill.catalog.snapshots import instant
from tidemill.catalog.tree import rank
from tidemill.errors import MessageError
from tidemill.model.facts import Entry
from tidemill.model.keys import unit_key
from tidemill.model.versions import canonical
from tidemill.storage.memory import MemoryStore
from tidemill.storage.sealed import seal, unseal

A, B, C = "a" * 64, "b" * 64, "c" * 64


def test_a_leaf() -> None:
    leaf = Leaf((LeafEntry("gold.daily", "2013-01|EWR", A, B, C), LeafEntry("plain", "", A, B, "")))
    assert canonical(leaf) == (
        f'{{"entries":[["gold.daily","2013-01|EWR","{A}","{B}","{C}"],["plain","","{A}","{B}",""]],"type":"leaf/1"}}'.encode()
    )


def test_the_tree_of_nothing() -> None:
    assert EMPTY_LEAF == b'{"entries":[],"type":"leaf/1"}'
    assert hashlib.sha256(EMPTY_LEAF).hexdigest() == EMPTY_ROOT


def test_a_branch() -> None:
    branch = Branch(1, (Child("gold.daily", "2013-01", A, 120), Child("plain", "", B, 7)))
    assert (
        canonical(branch)
        == f'{{"children":[["gold.daily","2013-01","{A}",120],["plain","","{B}",7]],"level":1,"type":"branch/1"}}'.encode()
    )


def test_a_snapshot_leaves_out_what_is_default() -> None:
    first = Snapshot(root=A, parent="", kind="commit", author="ada", reason='say "hi"\n', at=instant(NOON))
    assert canonical(first) == (
        f'{{"at":"2026-11-21T12:00:00.000000Z","author":"ada","kind":"commit","parent":"","reason":"say \\"hi\\"\\n","root":"{A}","type":"snapshot/1"}}'.encode()
    )
    full = Snapshot(
        root=A, parent=B, kind="merge", author="ada", reason="r", at=instant(NOON), run_id="run-1", depth=7, units=3, changed=2, other=C
    )
    assert canonical(full) == (
        f'{{"at":"2026-11-21T12:00:00.000000Z","author":"ada","changed":2,"depth":7,"kind":"merge","other":"{C}","parent":"{B}",'
        f'"reason":"r","root":"{A}","run_id":"run-1","type":"snapshot/1","units":3}}'.encode()
    )


def test_a_signature_covers_the_snapshot_without_it() -> None:
    signer = Signer.load("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")  # of RFC 8032, 7.1
    assert signer.key == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    plain = Snapshot(
        root=A,
        parent=B,
        kind="keys",
        author="ada",
        reason="r",
        at=instant(NOON),
        run_id="run-1",
        part="unit-000007",
        branch="main",
        trust=C,
        keys=(A, B),
    )
    covered = (
        f'{{"at":"2026-11-21T12:00:00.000000Z","author":"ada","branch":"main","keys":["{A}","{B}"],"kind":"keys","parent":"{B}","part":"unit-000007",'
        f'"reason":"r","root":"{A}","run_id":"run-1","trust":"{C}","type":"snapshot/1"}}'
    )
    assert canonical(plain) == covered.encode()
    signed = signer.sign(plain)
    value = (
        "c3603259451e2ec8d68102ad05df144185dd6fbfcbae07cd06b815d037f11d0998f9b07da1a3b18728d4d83dbe13ff14b7590c3c18e78cef37e94b0515554808"
    )
    assert canonical(signed) == covered.replace('"trust"', f'"signature":{{"key":"{signer.key}","value":"{value}"}},"trust"').encode()
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer.key)).verify(bytes.fromhex(value), covered.encode())


def test_a_seal_covers_the_name_and_the_bytes() -> None:
    stored = seal("refs/main", b"{}")
    assert stored == b"{}\n" + hashlib.sha256(b"refs/main\n{}").hexdigest().encode()
    assert unseal("refs/main", stored) == b"{}"
    assert [unseal("refs/side", stored), unseal("refs/main", stored[:-1]), unseal("refs/main", stored[1:]), unseal("refs/main", b"")] == [
        None
    ] * 4


def test_a_log_entry() -> None:
    entry = LogEntry(branch="main", number=2, previous=A, snapshot=B, kind="commit", run_id="run-1")
    assert canonical(entry) == (
        f'{{"branch":"main","kind":"commit","number":2,"previous":"{A}","run_id":"run-1","snapshot":"{B}","type":"log/1"}}'.encode()
    )


def test_text_is_utf_8_and_escapes_only_what_it_must() -> None:
    assert canonical({"b": "ä€😀\x7f/", "a": '\x01\b\t\n\f\r"\\'}) == '{"a":"\\u0001\\b\\t\\n\\f\\r\\"\\\\","b":"ä€😀\x7f/"}'.encode()


def test_ranks_are_leading_zero_bits_of_the_hash_over_seven() -> None:
    assert rank(("a", "0")) == 0
    found = {number: rank(("a", str(number))) for number in range(20_000)}
    for number, expected in found.items():
        bits = f"{int(hashlib.sha256(f'a@{number}'.encode()).hexdigest(), 16):0256b}"
        assert expected == (len(bits) - len(bits.lstrip("0"))) // 7
    assert {1, 2} <= set(found.values())


def test_the_same_history_gives_the_same_bytes_everywhere() -> None:
    """One small store, to the byte. If this fails, stores that exist can no longer be verified."""
    store = MemoryStore()
    catalog = Catalog(store)
    put(catalog, {"a@1": Entry(A, B, C), "b": Entry(B, C)}, run="run-1")
    put(catalog, {"b": None}, run="run-2", at=1)
    catalog.fence("run-3", author="bob", reason="wrong", at=NOON)
    names = list(store.names(""))
    assert [name for name in names if not name.startswith("objects/")] == [
        "log/main/000000000001",
        "log/main/000000000002",
        "log/main/000000000003",
        "refs/main",
    ]
    everything = hashlib.sha256()
    for name in names:
        everything.update(name.encode() + b"\0" + store.get(name).data + b"\0")  # type: ignore[union-attr]
    assert everything.hexdigest() == "a35466b0b5af99dc2efc3cc9ed0648de3a7f1e15b23ed5d323ec3fc5dc6fb75f"


@pytest.mark.parametrize("data", [b'{"type":"snapshot/2"}', b"{}", b"not json", b"\xff", b'{"type":"leaf/1","entries":[]}'])
def test_what_a_later_version_wrote_is_refused_with_a_hint(data: bytes) -> None:
    with pytest.raises(MessageError, match=r"Snapshot x cannot be read: .*upgrade this deployment"):
        decode(data, Snapshot, "Snapshot x")


def test_fields_that_a_later_version_added_are_ignored() -> None:
    data = b'{"at":"t","author":"ada","colour":"blue","kind":"commit","parent":"","reason":"r","root":"x","type":"snapshot/1"}'
    assert decode(data, Snapshot, "s").author == "ada"


def test_a_unit_is_spelled_with_its_partition_even_if_that_is_empty() -> None:
    assert str(unit_key("plain")) == "plain"
    bits = f"{int(hashlib.sha256(b'plain@').hexdigest(), 16):0256b}"
    assert rank(unit_key("plain")) == (len(bits) - len(bits.lstrip("0"))) // 7
