"""Reads one CSV file, plain or zipped, and believes nothing: what the file should hold is declared, what it does not hold is said.

Every failure is one `SourceError` with one sentence for the person who has to mend the file. Reading a zipped file overlaps unpacking and
parsing: pyarrow reads ahead from the stream in its own thread.
"""

from __future__ import annotations

import io
import re
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Generic, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

T = TypeVar("T")

_COLUMN_NUMBER = re.compile(r"In CSV column #(\d+):")


class SourceError(Exception):
    """A source file that is missing or not what it says: which file, what is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class CsvFile:
    """What a CSV file has to hold."""

    name: str
    """File name, such as `weather.csv`; one that ends in `.zip` holds a single CSV file of the name without `.zip`."""
    schema: pa.Schema
    """Columns in file order. A column that is not nullable may hold no missing value (`NA` or nothing)."""
    unique: tuple[str, ...] = ()
    """Columns that together name a row: no two rows may agree in all of them."""

    @property
    def shown(self) -> str:
        """The name of the CSV file itself, for messages."""
        return self.name.removesuffix(".zip")


def read(file: CsvFile, path: Path) -> pa.Table:
    """The whole file, typed as declared, rows in file order, one chunk per column.

    Raises:
        SourceError: a) the file is missing or cannot be opened, b) it is not a zip archive, is damaged or does not hold the CSV file, c) its
            header is not the declared one, d) it holds no rows, e) a line or value cannot be read as declared, f) a value is missing
            where none may be, g) two rows have the same name.
    """
    names = file.schema.names
    options = csv.ConvertOptions(column_types=file.schema, null_values=["NA", ""], strings_can_be_null=True)
    try:
        with _opened(file, path) as stream:
            _check_header(file, path, stream.readline())
            table = csv.read_csv(stream, csv.ReadOptions(column_names=names, block_size=1 << 20), convert_options=options)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise SourceError(f"`{path}` is damaged: {error}. Replace it with a whole copy.") from error
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):
            raise SourceError(f"`{file.shown}` in `{path}` has no rows below its header. Replace it with a whole copy.") from error
        raise SourceError(
            f"`{file.shown}` in `{path}` cannot be read as declared: {_reason(error, names)}. Mend that line, or replace the file."
        ) from error
    except OSError as error:
        raise SourceError(f"`{path}` cannot be read: {error.strerror or error}. Check the file and its permissions.") from error
    _check_values(file, path, table)
    table = table.combine_chunks().cast(file.schema)
    pa.default_memory_pool().release_unused()  # parsing takes several times what stays, and this process may live long
    return table


class FileCache(Generic[T]):
    """Keeps what was last made of a file, until the file changes. Safe in threads: whoever comes second waits and shares the result."""

    def __init__(self, load: Callable[[Path], T]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._held: tuple[tuple[Path, int, int], T] | None = None

    def get(self, path: Path) -> T:
        """The value for the file as it is now.

        Raises:
            SourceError: the file is missing, or `load` refused it.
        """
        try:
            state = path.stat()
        except OSError as error:
            raise _missing(path, error) from error
        stamp = (path, state.st_mtime_ns, state.st_size)
        with self._lock:
            if self._held is None or self._held[0] != stamp:
                self._held = None  # the old value goes before the new one is made: never two in memory
                self._held = (stamp, self._load(path))
            return self._held[1]

    def forget(self) -> None:
        """Lets go of what is held: the next `get` reads the file."""
        with self._lock:
            self._held = None


@contextmanager
def _opened(file: CsvFile, path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes from the start of its header line, as a stream."""
    try:
        raw = path.open("rb")
    except OSError as error:
        raise _missing(path, error) from error
    with raw:
        if not file.name.endswith(".zip"):
            yield io.BufferedReader(raw)
            return
        try:
            archive = zipfile.ZipFile(raw)
        except zipfile.BadZipFile as error:
            raise SourceError(f"`{path}` is not a zip archive. It has to be one that holds `{file.shown}`.") from error
        with archive:
            if file.shown not in archive.namelist():
                found = ", ".join(f"`{each}`" for each in sorted(archive.namelist())[:5]) or "nothing"
                raise SourceError(f"`{path}` does not hold `{file.shown}`: found {found}. Pack the file under that name.")
            try:
                stream = archive.open(file.shown)
            except (NotImplementedError, RuntimeError) as error:  # a compression Python does not know; a password
                raise SourceError(f"`{file.shown}` in `{path}` cannot be unpacked: {error}. Pack it anew, without a password.") from error
            with stream:
                yield stream


def _missing(path: Path, error: OSError) -> SourceError:
    return SourceError(
        f"`{path}` cannot be opened: {error.strerror or error}. Put the file there, or set FLIGHTS_DATA_DIR to the folder that holds it."
    )


def _check_header(file: CsvFile, path: Path, line: bytes) -> None:
    found = line.decode("utf-8-sig", errors="replace").rstrip("\r\n").split(",")
    expected: Sequence[str] = file.schema.names
    if found == list(expected):
        return
    if found == [""]:
        raise SourceError(f"`{file.shown}` in `{path}` is empty. Its first line has to be `{','.join(expected)}`.")
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    differences = [f"lacks {_listed(missing)}"] * bool(missing) + [f"has {_listed(extra)} too many"] * bool(extra)
    how = " and ".join(differences) or "has the columns in another order"
    raise SourceError(f"`{file.shown}` in `{path}` {how}. Its first line has to be `{','.join(expected)}`.")


def _check_values(file: CsvFile, path: Path, table: pa.Table) -> None:
    for field in file.schema:
        column = table[field.name]
        if not field.nullable and column.null_count:
            row = pc.index(pc.is_null(column), True).as_py() + 1
            raise SourceError(
                f"`{file.shown}` in `{path}` has no `{field.name}` in {column.null_count} rows, the first is row {row}. Fill it in, or take those rows out."
            )
    if file.unique:
        distinct = table.group_by(list(file.unique), use_threads=False).aggregate([([], "count_all")])
        if distinct.num_rows != table.num_rows:
            twice = distinct.slice(pc.index(pc.greater(distinct["count_all"], 1), True).as_py(), 1).to_pylist()[0]
            key = ", ".join(f"{name} {twice[name]}" for name in file.unique)
            raise SourceError(
                f"`{file.shown}` in `{path}` has {twice['count_all']} rows for {key}. Keep one of them: flights are joined to it by that."
            )


def _reason(error: pa.ArrowInvalid, names: Sequence[str]) -> str:
    """Arrow's first line, with the column's name in place of its number."""
    text = str(error).splitlines()[0].rstrip(".")
    return _COLUMN_NUMBER.sub(lambda match: f"column `{names[int(match[1])]}`:", text)


def _listed(names: Sequence[str]) -> str:
    shown = [f"`{name[:40]}`" for name in names[:6]]
    return ", ".join(shown) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
