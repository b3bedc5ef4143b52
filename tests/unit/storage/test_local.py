"""The folder store: whole or not at all, whatever dies, and a clear word when the disk says no."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tidemill.errors import StorageError, StoreUnavailable
from tidemill.storage.local import LocalStore

ROOT = Path(__file__).parents[3]

WRITER = """
import sys
from tidemill.storage.local import LocalStore
store = LocalStore(sys.argv[1])
number = 0
while True:
    data = str(number % 10).encode() * 200_000
    if not store.create(f"blobs/{number:06d}", data):
        pass
    ref = store.get("ref")
    if ref is None:
        store.create("ref", data)
    else:
        store.replace("ref", data, ref.etag)
    number += 1
"""


def test_a_killed_writer_leaves_only_whole_blobs(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for round_ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], env={**os.environ, "PYTHONPATH": str(ROOT)})
        before = len(list(store.names("blobs/")))
        while (len(list(store.names("blobs/"))) < before + 10 and round_ == 0) or store.get("ref") is None:
            time.sleep(0.01)
        time.sleep(0.2 + 0.05 * round_)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        for name in [*store.names("blobs/"), "ref"]:
            data = store.get(name).data  # type: ignore[union-attr]
            assert len(data) == 200_000
            assert len(set(data)) == 1
        ref = store.get("ref")
        assert ref is not None
        assert store.replace("ref", ref.data, ref.etag), "the dead writer's lock is still held"


def test_what_a_dead_writer_leaves_behind_is_not_a_blob(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.create("a/b", b"1")
    (tmp_path / ".store" / "new" / "123-abc").write_bytes(b"half")
    assert list(store.names("")) == ["a/b"]


def test_nothing_temporary_stays(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.create("a", b"1")
    store.create("a", b"2")
    store.replace("a", b"3", store.get("a").etag)  # type: ignore[union-attr]
    assert list((tmp_path / ".store" / "new").iterdir()) == []


def test_the_folder_is_made_when_it_is_needed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "not" / "yet")
    assert store.get("a") is None
    assert list(store.names("")) == []
    assert not (tmp_path / "not").exists()
    store.create("a", b"")
    assert (tmp_path / "not" / "yet" / "a").read_bytes() == b""


def test_a_folder_that_was_removed_meanwhile_is_made_again(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    store.create("a/b", b"1")
    (tmp_path / "store" / "a" / "b").unlink()
    (tmp_path / "store" / "a").rmdir()
    assert store.create("a/b", b"2")


def test_a_blob_cannot_be_a_folder_too(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.create("a", b"")
    with pytest.raises(StorageError, match=r"Could not create `a/b`.*cannot be both a blob and a folder"):
        store.create("a/b", b"")
    assert store.get("a/b") is None


def test_a_link_out_of_the_folder_is_not_listed_as_many_blobs(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    store.create("a/b", b"")
    assert list(store.names("a")) == ["a/b"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o500)
    with pytest.raises(StorageError, match=r"Could not create `a`.*Check who owns the folder"):
        LocalStore(tmp_path / "store").create("a", b"")


def test_a_full_disk_is_a_passing_fault_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    store.create("a", b"")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(StoreUnavailable, match=r"No space left on device\. Make room"):
        store.create("b", b"x")
    monkeypatch.undo()
    assert list(store.names("")) == ["a"]
    assert store.create("b", b"x")


def test_what_could_not_be_settled_is_settled_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    store.create("a", b"")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="Could not flush"):
            store.settle()
    monkeypatch.undo()
    store.settle()
    monkeypatch.setattr(os, "fsync", full)
    store.settle()  # nothing is left to do


def test_settling_flushes_every_file_and_folder_written_since_the_last_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    original = os.fsync

    def watch(descriptor: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    store = LocalStore(tmp_path / "store")
    store.create("objects/aa/1", b"1")
    assert flushed == []
    store.settle()
    expected = {tmp_path, tmp_path / "store", tmp_path / "store/objects", tmp_path / "store/objects/aa", tmp_path / "store/objects/aa/1"}
    assert expected <= {Path(each) for each in flushed}
    flushed.clear()
    store.settle()
    assert flushed == []
    unflushed = LocalStore(tmp_path / "other", flush=False)
    unflushed.create("x", b"1")
    unflushed.settle()
    assert flushed == []
