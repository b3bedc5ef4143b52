"""What every store does. A new store passes this file, or it is not a store."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tidemill.errors import InvalidKey
from tidemill.storage import BlobStore, put_once
from tidemill.storage.conditional import Put, put

NASTY = [
    "",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    ".hidden",
    "a/.hidden",
    "a\\b",
    "a b",
    "a\0b",
    "a\nb",
    "a?b",
    "a#b",
    "a%2fb",
    "ä",
    "a" * 201,
    "a/" * 11 + "a",
]


def test_nothing_is_there_at_first(store: BlobStore) -> None:
    assert store.get("a/b") is None
    assert list(store.names("")) == []


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)), b"long" * 1_500_000], ids=["empty", "short", "all bytes", "6 MB"])
def test_what_is_created_can_be_read(store: BlobStore, data: bytes) -> None:
    assert store.create("objects/ab/blob", data)
    found = store.get("objects/ab/blob")
    assert found is not None
    assert found.data == data


def test_a_name_is_created_once(store: BlobStore) -> None:
    assert store.create("a", b"first")
    assert not store.create("a", b"second")
    assert not store.create("a", b"first")
    assert store.get("a").data == b"first"  # type: ignore[union-attr]


def test_replacing_needs_the_current_tag(store: BlobStore) -> None:
    store.create("ref", b"1")
    first = store.get("ref")
    assert first is not None
    assert store.replace("ref", b"2", first.etag)
    assert not store.replace("ref", b"3", first.etag)
    second = store.get("ref")
    assert second is not None
    assert second.data == b"2"
    assert second.etag != first.etag


def test_what_does_not_exist_cannot_be_replaced(store: BlobStore) -> None:
    store.create("other", b"1")
    tag = store.get("other").etag  # type: ignore[union-attr]
    assert not store.replace("ref", b"1", tag)
    assert store.get("ref") is None


def test_what_was_deleted_is_gone_and_can_be_created_again(store: BlobStore) -> None:
    store.create("a/b", b"1")
    before = store.get("a/b")
    store.delete("a/b")
    store.delete("a/b")
    assert store.get("a/b") is None
    assert before is not None
    assert not store.replace("a/b", b"2", before.etag)
    assert store.create("a/b", b"2")
    assert list(store.names("a/")) == ["a/b"]


def test_names_come_in_ordinal_order(store: BlobStore) -> None:
    names = [
        "a-b/c",
        "a.b",
        "a/B",
        "a/b",
        "a/b-c",
        "a/b.d/e",
        "a/b/c",
        "a/b0",
        "a0/b",
        "b",
        "log/main/000000000009",
        "log/main/000000000010",
        "log/main-2/1",
    ]
    for name in reversed(names):
        if name != "a/b":  # a folder cannot be a blob too: that is why we never make such names
            assert store.create(name, b"")
    expected = sorted(name for name in names if name != "a/b")
    assert list(store.names("")) == expected


def test_names_are_found_by_prefix_and_after_a_name(store: BlobStore) -> None:
    for name in ["log/main/1", "log/main/2", "log/main/3", "log/main2/1", "log/ma", "refs/main"]:
        store.create(name, b"")
    assert list(store.names("log/main/")) == ["log/main/1", "log/main/2", "log/main/3"]
    assert list(store.names("log/main")) == ["log/main/1", "log/main/2", "log/main/3", "log/main2/1"]
    assert list(store.names("log/main/", after="log/main/1")) == ["log/main/2", "log/main/3"]
    assert list(store.names("log/", after="log/main/3")) == ["log/main2/1"]
    assert list(store.names("log/", after="log/main/")) == ["log/main/1", "log/main/2", "log/main/3", "log/main2/1"]
    assert list(store.names("log/main/1")) == ["log/main/1"]
    assert list(store.names("nothing/")) == []


def test_many_names_are_all_listed(store: BlobStore) -> None:
    names = [f"many/{number:04d}" for number in range(1200)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda name: store.create(name, b"x"), names))
    assert list(store.names("many/")) == names


@pytest.mark.parametrize("name", NASTY)
def test_names_cannot_escape(store: BlobStore, name: str) -> None:
    for call in (
        lambda: store.get(name),
        lambda: store.create(name, b""),
        lambda: store.replace(name, b"", "x"),
        lambda: store.delete(name),
    ):
        with pytest.raises(InvalidKey):
            call()


def test_of_many_creators_one_wins(store: BlobStore) -> None:
    writers = 16
    barrier = threading.Barrier(writers)

    def attempt(number: int) -> bool:
        barrier.wait()
        return store.create("contested", f"writer {number}".encode() * 1000)

    with ThreadPoolExecutor(writers) as pool:
        won = list(pool.map(attempt, range(writers)))
    assert sum(won) == 1
    assert store.get("contested").data == f"writer {won.index(True)}".encode() * 1000  # type: ignore[union-attr]


def test_of_many_replacers_one_wins_each_time(store: BlobStore) -> None:
    store.create("counter", b"0")

    def add(times: int) -> None:
        for _ in range(times):
            while True:
                found = store.get("counter")
                assert found is not None
                if store.replace("counter", str(int(found.data) + 1).encode(), found.etag):
                    break

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, [10] * 4))
    assert store.get("counter").data == b"40"  # type: ignore[union-attr]


def test_putting_once_says_what_the_name_holds(store: BlobStore) -> None:
    assert put(store, "log/1", b"ours") is Put.CREATED
    assert put(store, "log/1", b"ours") is Put.SAME
    assert put(store, "log/1", b"theirs") is Put.TAKEN
    assert put_once(store, "log/1", b"ours")
    assert not put_once(store, "log/1", b"theirs")
    assert store.get("log/1").data == b"ours"  # type: ignore[union-attr]
