"""A store in a folder: the same promises as Azure Blob Storage, on one machine, for any number of processes.

- **Create-only** is `link`: the bytes are written and flushed under a temporary name, then linked to their own name. The link either appears
  whole or fails because the name is taken; a crash leaves at most a temporary file, never half a blob.
- **Compare-and-swap** is `rename` under a file lock. The kernel drops the lock of a process that dies, so nothing is ever left locked. The
  tag is the SHA-256 of the bytes, so it depends on no file system's idea of time.
- A killed process loses nothing. A power cut may lose or tear what was written since the last `settle`, which flushes files and folders,
  many at a time: a flush for each of a run's hundreds of files would take longer than the run. The catalog settles before and after it
  commits, so a commit never stands without what it names; what was torn before is found by its hash and written again.

It needs POSIX locks and hard links, so it does not run on Windows: there, use Azurite or WSL.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tidemill.errors import StorageError, StoreUnavailable
from tidemill.storage.base import Versioned
from tidemill.storage.names import check_name, check_prefix

_HIDDEN = ".store"
"""Temporary files and locks live here. No blob's name starts with a dot, so it can never be one."""

_LOCKS = 64
_FLUSHES = 16


class LocalStore:
    """A `BlobStore` in a folder, made when first written to; safe to share between threads and processes.

    Args:
        root: the folder.
        flush: whether `settle` waits for the disk.
    """

    def __init__(self, root: str | os.PathLike[str], *, flush: bool = True) -> None:
        self.root = Path(root).absolute()
        self._flush = flush
        self._unsettled: set[Path] = set()
        self._unsettled_lock = threading.Lock()
        self._known: set[str] = set()

    def get(self, name: str) -> Versioned | None:
        """See `BlobStore.get`."""
        with self._speaking("read", name):
            data = self._read(self._path(name))
        return None if data is None else Versioned(data, _tag(data))

    def create(self, name: str, data: bytes) -> bool:
        """See `BlobStore.create`."""
        path = self._path(name)
        with self._speaking("create", name):
            if path.exists():  # the link decides; this only saves writing what is known to be there
                return False
            with self._written(data) as temporary:
                self._folder(path.parent)
                try:
                    os.link(temporary, path)
                except FileExistsError:
                    return False
                self._settle_later(path, path.parent)
                return True

    def replace(self, name: str, data: bytes, etag: str) -> bool:
        """See `BlobStore.replace`."""
        path = self._path(name)
        with self._speaking("replace", name), self._locked(name):
            current = self._read(path)
            if current is None or _tag(current) != etag:
                return False
            with self._written(data) as temporary:
                temporary.replace(path)
                self._settle_later(path, path.parent)
            return True

    def delete(self, name: str) -> None:
        """See `BlobStore.delete`. Its folders stay: removing them would race with a writer that has just made them."""
        path = self._path(name)
        with self._speaking("delete", name), self._locked(name), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
            self._settle_later(path.parent)

    def settle(self) -> None:
        """See `BlobStore.settle`."""
        with self._unsettled_lock:
            paths, self._unsettled = self._unsettled, set()
        try:
            with self._speaking("flush", "/"), ThreadPoolExecutor(_FLUSHES, thread_name_prefix="flush") as pool:
                list(pool.map(_flush, paths))
        except BaseException:
            self._settle_later(*paths)
            raise

    def _settle_later(self, *paths: Path) -> None:
        if self._flush:
            with self._unsettled_lock:
                self._unsettled.update(paths)

    def names(self, prefix: str, *, after: str = "") -> Iterator[str]:
        """See `BlobStore.names`; reads one folder at a time."""
        check_prefix(prefix)
        with self._speaking("list", prefix or "/"):
            yield from self._walk(self.root, "", prefix, after)

    def __repr__(self) -> str:
        return f"LocalStore({str(self.root)!r})"

    def _path(self, name: str) -> Path:
        return self.root / check_name(name)

    def _walk(self, folder: Path, base: str, prefix: str, after: str) -> Iterator[str]:
        try:
            with os.scandir(folder) as entries:
                # A folder sorts as its name with the slash, so that whole names come out in ordinal order.
                found = sorted(
                    (f"{base}{each.name}/" if each.is_dir() else f"{base}{each.name}") for each in entries if each.name[0] != "."
                )
        except (FileNotFoundError, NotADirectoryError):
            return
        for name in found:
            if name.endswith("/"):
                on_the_way = name.startswith(prefix) or prefix.startswith(name)
                if on_the_way and (name > after or after.startswith(name)):
                    yield from self._walk(self.root / name, name, prefix, after)
            elif name.startswith(prefix) and name > after:
                yield name

    @staticmethod
    def _read(path: Path) -> bytes | None:
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    @contextlib.contextmanager
    def _written(self, data: bytes) -> Iterator[Path]:
        """A temporary file that holds the bytes; gone afterwards, whatever happens."""
        folder = self.root / _HIDDEN / "new"
        self._folder(folder)
        temporary = folder / f"{os.getpid()}-{secrets.token_hex(8)}"
        try:
            with temporary.open("xb") as file:
                file.write(data)
            yield temporary
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        folder = self.root / _HIDDEN / "locks"
        self._folder(folder)
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % _LOCKS
        with (folder / f"{number:02d}").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # closing the file gives it back
            yield

    def _folder(self, folder: Path) -> None:
        """Makes a folder and those above it."""
        key = str(folder)
        if key in self._known and folder.is_dir():
            return
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for each in reversed(missing):
            each.mkdir(exist_ok=True)
            self._settle_later(each.parent)
        self._known.add(key)

    @contextlib.contextmanager
    def _speaking(self, verb: str, name: str) -> Iterator[None]:
        """Turns the operating system's refusals into ours."""
        try:
            yield
        except OSError as error:
            what = f"Could not {verb} `{name}` in the folder {self.root}: {error.strerror or error}."
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StoreUnavailable(what, hint="Make room on the disk; nothing half-written is ever visible.") from error
            if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
                raise StorageError(what, hint="Check who owns the folder and whether it may be written.") from error
            if error.errno in {errno.ENOTDIR, errno.EEXIST, errno.EISDIR}:
                raise StorageError(what, hint="A name cannot be both a blob and a folder of blobs.") from error
            raise StoreUnavailable(what) from error


def _tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _flush(path: Path) -> None:
    """Waits until a file or folder is on the disk; quiet if it has been removed since."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
