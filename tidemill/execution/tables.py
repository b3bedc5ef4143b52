"""Reading what a record describes: verified bytes, decoded once, kept while there is room.

Records and files are addressed by their content, so a cached table can never be out of date.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import pyarrow as pa

from tidemill.errors import IntegrityError
from tidemill.model.facts import Materialization
from tidemill.storage.formats import parquet
from tidemill.storage.objects import Objects


class TableCache:
    """Tables by record, least recently used first out. Safe to use from several threads."""

    def __init__(self, objects: Objects, limit_bytes: int) -> None:
        self._objects = objects
        self._limit = limit_bytes
        self._tables: OrderedDict[str, pa.Table] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def read(self, record: str, materialization: Materialization, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a materialization, in order.

        Args:
            record: its address, under which the table is kept.
            materialization: the record itself.
            columns: only these; None reads all of them.

        Raises:
            IntegrityError: a file is missing, altered, or has another number of rows than the record says.
        """
        table = self.find(record)
        if table is not None:
            return table if columns is None else table.select(list(columns))
        parts = [parquet.read(self._objects.get(file.sha256), columns=columns) for file in materialization.files]
        table = parts[0] if len(parts) == 1 else pa.concat_tables(parts)
        if table.num_rows != materialization.row_count:
            raise IntegrityError(
                f"`{materialization.unit}` has {table.num_rows} rows in its files but {materialization.row_count} in its record `{record[:12]}`.",
                hint="Run `tidemill verify`; then materialize the unit again with `--rerun`.",
            )
        if columns is None:
            self.keep(record, table)
        return table

    def find(self, record: str) -> pa.Table | None:
        """The table kept for a record, if there is one."""
        with self._lock:
            table = self._tables.get(record)
            if table is not None:
                self._tables.move_to_end(record)
            return table

    def clear(self) -> None:
        """Forgets all of them: what a run has read, the next one seldom needs."""
        with self._lock:
            self._tables.clear()
            self._size = 0

    def keep(self, record: str, table: pa.Table) -> None:
        """Remembers a table that was just written, so that whoever reads it next in this process need not fetch it."""
        size = table.nbytes
        if size > self._limit // 2:
            return
        with self._lock:
            if record in self._tables:
                return
            self._tables[record] = table
            self._size += size
            while self._size > self._limit:
                _, dropped = self._tables.popitem(last=False)
                self._size -= dropped.nbytes
