"""Table storage: entities, queries, and entity-group transactions of up to 100 operations in one partition."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from devhost.storage.errors import StorageError
from devhost.storage.http import Requester

MAX_OPERATIONS = 100
MAX_BATCH_BYTES = 3_000_000
"""Below the service's 4 MiB, as upstream keeps it."""

_TOKEN = uuid.uuid4().hex
"""Unlikely enough to occur in what is stored."""
_JSON = {
    "Content-Type": "application/json",
    "Accept": "application/json;odata=minimalmetadata",
    "Prefer": "return-no-content",
    "DataServiceVersion": "3.0",
}
_READ = {"Accept": "application/json;odata=minimalmetadata", "DataServiceVersion": "3.0"}
_PART = re.compile(rb"HTTP/1\.1 (\d{3})")
_ETAG = re.compile(rb"\r?\nETag: *([^\r\n]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a transaction."""

    verb: str
    """`POST` insert, `PUT` replace (or insert when there is no `etag`), `MERGE`, `DELETE`."""
    partition: str
    row: str
    body: bytes = b""
    etag: str | None = None
    """If-Match; `*` for any version."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a query."""

    rows: list[dict[str, Any]]
    next_partition: str | None
    next_row: str | None


class TableClient:
    """The tables of one account. Table names are given per call."""

    def __init__(self, account: Requester) -> None:
        self._account = account

    async def create(self, table: str) -> None:
        """Creates the table if it is not there."""
        await self._account.request(
            "table", "POST", "/Tables", headers=_JSON, body=msgspec.json.encode({"TableName": table}), expect=(201, 204, 409)
        )

    async def delete_table(self, table: str) -> None:
        await self._account.request("table", "DELETE", f"/Tables('{table}')", headers=_READ, expect=(204, 404))

    async def get(self, table: str, partition: str, row: str) -> dict[str, Any] | None:
        """Reads one entity with its `odata.etag`; None when there is none."""
        answer = await self._account.request("table", "GET", f"/{table}{key_path(partition, row)}", headers=_READ, expect=(200, 404))
        if answer.status == 404:
            return None
        found: dict[str, Any] = msgspec.json.decode(answer.body)
        return found

    async def insert(self, table: str, entity: Mapping[str, Any]) -> str | None:
        """Inserts; returns the ETag, or None when the entity exists already."""
        answer = await self._account.request("table", "POST", f"/{table}", headers=_JSON, body=encoded(entity), expect=(201, 204, 409))
        if answer.status == 409:
            if b"EntityAlreadyExists" not in answer.body:
                raise StorageError(409, "", answer.body.decode("utf-8", "replace")[:200], f"insert into {table}")
            return None
        return answer.headers.get("ETag", "")

    async def put(self, table: str, entity: Mapping[str, Any], etag: str | None = None) -> str:
        """Inserts or replaces; with `etag`, replaces exactly that version.

        Raises:
            StorageError: 412 when the version is another.
        """
        headers = _JSON if etag is None else {**_JSON, "If-Match": etag}
        path = f"/{table}{key_path(entity['PartitionKey'], entity['RowKey'])}"
        answer = await self._account.request("table", "PUT", path, headers=headers, body=encoded(entity))
        return answer.headers.get("ETag", "")

    async def delete(self, table: str, partition: str, row: str, etag: str = "*") -> bool:
        """Deletes one entity; False when it was not there."""
        path = f"/{table}{key_path(partition, row)}"
        answer = await self._account.request("table", "DELETE", path, headers={**_READ, "If-Match": etag}, expect=(204, 404))
        return answer.status == 204

    async def query_page(
        self,
        table: str,
        filter_: str = "",
        *,
        top: int | None = None,
        select: str = "",
        next_partition: str | None = None,
        next_row: str | None = None,
    ) -> Page:
        """Runs one request of a query; the table's own page limit is 1,000 rows."""
        query = [f"$filter={quote(filter_, safe='')}"] if filter_ else []
        if top is not None:
            query.append(f"$top={top}")
        if select:
            query.append(f"$select={quote(select, safe=',')}")
        if next_partition is not None:
            query.append(f"NextPartitionKey={quote(next_partition, safe='')}")
        if next_row is not None:
            query.append(f"NextRowKey={quote(next_row, safe='')}")
        answer = await self._account.request("table", "GET", f"/{table}()", query="&".join(query), headers=_READ)
        headers = answer.headers
        following = headers.get("x-ms-continuation-NextPartitionKey")
        return Page(
            msgspec.json.decode(answer.body)["value"], following, headers.get("x-ms-continuation-NextRowKey") if following else None
        )

    async def query(self, table: str, filter_: str = "", *, select: str = "") -> AsyncIterator[dict[str, Any]]:
        """Yields every matching entity, in key order."""
        partition: str | None = None
        row: str | None = None
        while True:
            page = await self.query_page(table, filter_, select=select, next_partition=partition, next_row=row)
            for found in page.rows:
                yield found
            if page.next_partition is None:
                return
            partition, row = page.next_partition, page.next_row

    async def transact(self, table: str, operations: Sequence[Operation]) -> list[str]:
        """Runs up to 100 operations on one partition, all or none; returns the ETag of each (empty for deletes).

        Raises:
            StorageError: the first operation that was refused; nothing was written.
        """
        base = self._account.endpoints["table"]
        host = urlsplit(base).netloc
        boundary, changeset = f"batch_{_TOKEN}", f"changeset_{_TOKEN}"
        chunks = [f"--{boundary}\r\nContent-Type: multipart/mixed; boundary={changeset}\r\n\r\n".encode()]
        opening = f"--{changeset}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        for operation in operations:
            content = _without_line_ends(operation.body)
            path = f"/{table}" if operation.verb == "POST" else f"/{table}{key_path(operation.partition, operation.row)}"
            match = f"If-Match: {operation.etag}\r\n" if operation.etag is not None else ""
            head = (
                f"{opening}{operation.verb} {base}{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
                f"Accept: application/json;odata=minimalmetadata\r\nPrefer: return-no-content\r\nDataServiceVersion: 3.0\r\n{match}"
                f"Content-Length: {len(content)}\r\n\r\n"
            )
            chunks += (head.encode(), content, b"\r\n")
        chunks.append(f"--{changeset}--\r\n--{boundary}--\r\n".encode())
        headers = {"Content-Type": f"multipart/mixed; boundary={boundary}", "Accept": "application/json", "DataServiceVersion": "3.0"}
        answer = await self._account.request("table", "POST", "/$batch", headers=headers, body=b"".join(chunks))
        return _results(answer.body, table, len(operations))


def encoded(entity: Mapping[str, Any]) -> bytes:
    """An entity as JSON; half characters, which a Python exception's text can contain and no table, become question marks."""
    try:
        return msgspec.json.encode(entity)
    except UnicodeEncodeError:
        clean = {name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value for name, value in entity.items()}
        return msgspec.json.encode(clean)


def _without_line_ends(body: bytes) -> bytes:
    """The same JSON without the two characters that Azurite takes for the end of a line, as JavaScript does: it never answers a batch with one."""
    return body.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")


def key_path(partition: str, row: str) -> str:
    """The `(PartitionKey='…',RowKey='…')` part of an entity's path."""
    return f"(PartitionKey='{_key(partition)}',RowKey='{_key(row)}')"


def literal(text: str) -> str:
    """A string literal for a filter."""
    return "'" + text.replace("'", "''") + "'"


def _key(text: str) -> str:
    return quote(text.replace("'", "''"), safe="")


def _results(body: bytes, table: str, count: int) -> list[str]:
    parts = list(_PART.finditer(body))
    etags = []
    for index, part in enumerate(parts):
        status = int(part.group(1))
        text = body[part.end() : parts[index + 1].start() if index + 1 < len(parts) else len(body)]
        if status >= 400:
            code = re.search(rb'"code" *: *"([^"]*)"', text)
            message = text.split(b"\r\n\r\n", 1)[-1].decode("utf-8", "replace")
            raise StorageError(status, code.group(1).decode() if code else "", " ".join(message.split())[:300], f"a transaction on {table}")
        etag = _ETAG.search(text)
        etags.append(etag.group(1).decode() if etag else "")
    if len(etags) != count:
        raise StorageError(500, "BadBatchReply", f"{len(etags)} results for {count} operations", f"a transaction on {table}")
    return etags
