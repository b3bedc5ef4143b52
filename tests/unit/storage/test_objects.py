"""Objects: immutable, under their own hash, and proven at every read."""

from __future__ import annotations

import hashlib

import pytest

from tidemill.errors import IntegrityError, StoreUnavailable
from tidemill.model.versions import canonical
from tidemill.storage.guard import STATE, State, fate_name, object_name, state_bytes
from tidemill.storage.memory import MemoryStore
from tidemill.storage.objects import Objects
from tidemill.testing.faults import FaultyStore

SHA = hashlib.sha256(b"bytes").hexdigest()


def test_an_object_is_stored_under_its_hash() -> None:
    store = MemoryStore()
    assert Objects(store).put(b"bytes") == SHA
    assert store.get(f"objects/{SHA[:2]}/{SHA}").data == b"bytes"  # type: ignore[union-attr]
    assert Objects(store).get(SHA) == b"bytes"


def test_putting_twice_is_putting_once() -> None:
    store = FaultyStore(MemoryStore())
    objects = Objects(store)
    objects.put(b"bytes")
    objects.put(b"bytes")
    assert [call.verb for call in store.calls] == ["create"]
    assert Objects(store).put(b"bytes") == SHA


def test_many_objects_keep_their_order() -> None:
    objects = Objects(MemoryStore())
    blobs = [str(number).encode() for number in range(100)]
    hashes = objects.put_many(blobs)
    assert hashes == [hashlib.sha256(each).hexdigest() for each in blobs]
    assert list(objects.get_many(hashes)) == blobs


def test_a_missing_object_is_an_error() -> None:
    with pytest.raises(IntegrityError, match=f"Object {SHA} is missing"):
        Objects(MemoryStore()).get(SHA)


@pytest.mark.parametrize("damaged", [b"", b"byte", b"bytes ", b"bytet"])
def test_a_damaged_object_is_an_error_and_never_data(damaged: bytes) -> None:
    store = MemoryStore()
    store.create(object_name(SHA), damaged)
    with pytest.raises(IntegrityError, match="its bytes have another hash"):
        Objects(store).get(SHA)


@pytest.mark.parametrize("damaged", [b"", b"byte", b"bytes ", b"bytet"])
def test_a_damaged_object_is_replaced_by_whoever_has_its_bytes(damaged: bytes) -> None:
    store = MemoryStore()
    store.create(object_name(SHA), damaged)
    assert Objects(store).put(b"bytes") == SHA
    assert Objects(store).get(SHA) == b"bytes"


def test_garbage_that_is_wanted_again_is_claimed_from_the_collector() -> None:
    store = MemoryStore()
    Objects(store).put(b"bytes")
    announced = Objects(store).put(canonical([SHA]))
    store.create(STATE, state_bytes(State(generation=3, condemned=announced, condemned_at="2026-11-21T12:00:00.000000Z")))
    assert Objects(store).put(b"bytes") == SHA
    assert store.get(fate_name(3, SHA)).data == b"keep"  # type: ignore[union-attr]


def test_an_object_that_is_being_swept_cannot_be_relied_on() -> None:
    store = MemoryStore()
    Objects(store).put(b"bytes")
    announced = Objects(store).put(canonical([SHA]))
    store.create(STATE, state_bytes(State(generation=3, condemned=announced, condemned_at="2026-11-21T12:00:00.000000Z")))
    store.create(fate_name(3, SHA), b"sweep")
    with pytest.raises(StoreUnavailable, match="just being collected"):
        Objects(store).put(b"bytes")
    store.delete(object_name(SHA))
    assert Objects(store).put(b"bytes") == SHA
    assert Objects(store).get(SHA) == b"bytes"
