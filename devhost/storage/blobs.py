"""Blob storage: containers, whole blobs, leases, listing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote
from xml.etree import ElementTree as ET

from devhost.storage.http import Answer, Requester


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobItem:
    """One blob of a listing."""

    name: str
    etag: str
    size_bytes: int
    last_modified: str
    """As the service prints it, RFC 1123."""
    content_type: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


class BlobClient:
    """The containers and blobs of one account. Names are given per call, unescaped."""

    def __init__(self, account: Requester) -> None:
        self._account = account

    def url(self, container: str, name: str) -> str:
        """The blob's address without a signature."""
        return self._account.endpoints["blob"] + _path(container, name)

    async def create_container(self, container: str) -> None:
        """Creates the container if it is not there."""
        await self._account.request("blob", "PUT", f"/{container}", query="restype=container", expect=(201, 409))

    async def delete_container(self, container: str) -> None:
        await self._account.request("blob", "DELETE", f"/{container}", query="restype=container", expect=(202, 404))

    async def put(
        self,
        container: str,
        name: str,
        data: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        lease: str | None = None,
        if_match: str | None = None,
        only_if_absent: bool = False,
    ) -> str | None:
        """Writes a whole block blob; returns its ETag, or None when the condition did not hold."""
        sent = {"x-ms-blob-type": "BlockBlob", **(headers or {}), **_metadata(metadata)}
        if lease is not None:
            sent["x-ms-lease-id"] = lease
        if if_match is not None:
            sent["If-Match"] = if_match
        if only_if_absent:
            sent["If-None-Match"] = "*"
        conditional = only_if_absent or if_match is not None
        expect = (201, 409, 412) if conditional else (201,)
        answer = await self._account.request("blob", "PUT", _path(container, name), headers=sent, body=data, expect=expect)
        return answer.headers.get("ETag", "") if answer.status == 201 else None

    async def get(self, container: str, name: str) -> Answer | None:
        """Reads a whole blob with its headers; None when it is not there."""
        answer = await self._account.request("blob", "GET", _path(container, name), expect=(200, 404))
        return answer if answer.status == 200 else None

    async def properties(self, container: str, name: str) -> Mapping[str, str] | None:
        """The blob's headers, metadata as `x-ms-meta-*`; None when it is not there."""
        answer = await self._account.request("blob", "HEAD", _path(container, name), expect=(200, 404))
        return answer.headers if answer.status == 200 else None

    async def set_metadata(self, container: str, name: str, metadata: Mapping[str, str], *, lease: str | None = None) -> bool:
        """Replaces the metadata; False when the blob is not there or another lease holds it."""
        sent = _metadata(metadata) | ({"x-ms-lease-id": lease} if lease else {})
        answer = await self._account.request(
            "blob", "PUT", _path(container, name), query="comp=metadata", headers=sent, expect=(200, 404, 409, 412)
        )
        return answer.status == 200

    async def delete(self, container: str, name: str) -> bool:
        """Deletes a blob; False when it was not there."""
        answer = await self._account.request("blob", "DELETE", _path(container, name), expect=(202, 404))
        return answer.status == 202

    async def lease(
        self, container: str, name: str, action: str, *, lease: str | None = None, seconds: int | None = None, patience: float = 10.0
    ) -> bool:
        """Runs a lease action (`acquire` with a proposed id, `renew`, `release`, `break` at once); False when another holder prevents it."""
        sent = {"x-ms-lease-action": action}
        if action == "acquire":
            sent |= {"x-ms-lease-duration": str(seconds), "x-ms-proposed-lease-id": lease or ""}
        elif action == "break":
            sent["x-ms-lease-break-period"] = "0"
        else:
            sent["x-ms-lease-id"] = lease or ""
        answer = await self._account.request(
            "blob",
            "PUT",
            _path(container, name),
            query="comp=lease",
            headers=sent,
            expect=(200, 201, 202, 404, 409, 412),
            patience=patience,
        )
        return answer.status < 300

    async def list(self, container: str, prefix: str = "") -> AsyncIterator[BlobItem]:
        """Yields the blobs of a container in name order; nothing when the container is not there."""
        marker = ""
        while True:
            query = "restype=container&comp=list&include=metadata"
            query += f"&prefix={quote(prefix, safe='')}" if prefix else ""
            query += f"&marker={quote(marker, safe='')}" if marker else ""
            answer = await self._account.request("blob", "GET", f"/{container}", query=query, expect=(200, 404))
            if answer.status == 404:
                return
            root = ET.fromstring(answer.body)  # noqa: S314 (the storage account is trusted with all the data already)
            for node in root.iter("Blob"):
                yield _item(node)
            marker = root.findtext("NextMarker") or ""
            if not marker:
                return


def _item(node: ET.Element) -> BlobItem:
    properties = node.find("Properties")
    assert properties is not None
    return BlobItem(
        name=node.findtext("Name") or "",
        etag=properties.findtext("Etag") or "",
        size_bytes=int(properties.findtext("Content-Length") or 0),
        last_modified=properties.findtext("Last-Modified") or "",
        content_type=properties.findtext("Content-Type") or "",
        metadata={child.tag: child.text or "" for child in node.find("Metadata") or ()},
    )


def _metadata(values: Mapping[str, str] | None) -> dict[str, str]:
    return {f"x-ms-meta-{name}": value for name, value in (values or {}).items()}


def _path(container: str, name: str) -> str:
    return f"/{container}/{quote(name, safe='/')}"
