"""Values too long for a table: gzip-compressed blobs in the hub's large-message container, named as upstream names them."""

from __future__ import annotations

import asyncio
import gzip
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

from devhost.durable.history import SPILLED
from devhost.storage.account import StorageAccount

_LIMIT_BYTES: Final = 60 * 1024
_THREAD_BYTES: Final = 200_000
"""Above this, compressing would hold up everything else in the host."""


def is_long(text: str) -> bool:
    """Whether the text takes more than 60 KB as UTF-16."""
    return len(text) * 4 > _LIMIT_BYTES and len(text.encode("utf-16-le", "surrogatepass")) > _LIMIT_BYTES


class LargeValues:
    """Moves long values out of rows and back."""

    def __init__(self, storage: StorageAccount, hub: str) -> None:
        self._blobs = storage.blobs
        self.container = f"{hub.lower()}-largemessages"
        self._prefix = self._blobs.url(self.container, "")

    async def create(self) -> None:
        await self._blobs.create_container(self.container)

    async def spill_history(self, row: dict[str, Any], instance_key: str) -> None:
        """Replaces each long column of a history row by `<column>BlobName`."""
        for name in _long_columns(row):
            blob = f"{instance_key}/history-{row['RowKey']}-{row['EventType']}-{uuid.uuid4().hex[:8].upper()}-{name}.json.gz"
            await self._write(blob, row.pop(name))
            row[f"{name}BlobName"] = blob

    async def restore_history(self, row: dict[str, Any]) -> None:
        """Inverse of `spill_history`."""
        for name in [key for key in row if key.endswith("BlobName")]:
            row[name.removesuffix("BlobName")] = await self._read(row[name])

    async def spill_instance(self, row: dict[str, Any], instance_key: str) -> None:
        """Replaces each long column of an instances row by the blob's address."""
        for name in _long_columns(row, ("Input", "Output", "CustomStatus")):
            blob = f"{instance_key}/instance-{row['ExecutionId']}-{uuid.uuid4().hex[:8].upper()}-{name}.json.gz"
            await self._write(blob, row[name])
            row[name] = self._prefix + quote(blob, safe="/")

    async def restore_instance(self, row: dict[str, Any], names: Iterable[str] = ("Input", "Output", "CustomStatus")) -> None:
        """Inverse of `spill_instance`, for the columns named."""
        for name in names:
            value = row.get(name)
            if isinstance(value, str) and value.startswith(self._prefix):
                row[name] = await self._read_url(value)

    async def delete(self, instance_key: str) -> None:
        """Deletes every blob of an instance."""
        async for item in self._blobs.list(self.container, f"{instance_key}/"):
            await self._blobs.delete(self.container, item.name)

    async def _write(self, blob: str, text: str) -> None:
        data = text.encode()
        packed = await asyncio.to_thread(gzip.compress, data, 1) if len(data) > _THREAD_BYTES else gzip.compress(data, 1)
        await self._blobs.put(
            self.container, blob, packed, headers={"x-ms-blob-content-encoding": "gzip", "x-ms-blob-content-type": "application/json"}
        )

    async def _read(self, blob: str) -> str:
        found = await self._blobs.get(self.container, blob)
        if found is None:
            raise LostValue(f"The large value '{blob}' in container '{self.container}' is gone, although the history still names it.")
        return _unpack(found.body)

    async def _read_url(self, url: str) -> str:
        from_url = url.removeprefix(self._prefix)
        for name in (unquote(from_url), from_url):
            found = await self._blobs.get(self.container, name)
            if found is not None:
                return _unpack(found.body)
        raise LostValue(f"The large value at {url} is gone, although the instances table still names it.")


class LostValue(Exception):
    """A blob that a row points to is not there."""


def _long_columns(row: Mapping[str, Any], names: Iterable[str] = SPILLED) -> list[str]:
    return [name for name in names if isinstance(value := row.get(name), str) and is_long(value)]


def _unpack(data: bytes) -> str:
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
