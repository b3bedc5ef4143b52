"""Queue storage: what queue and blob triggers need."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from devhost.storage.http import Requester


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMessage:
    """One received message. Times are as the service prints them, RFC 1123."""

    id: str
    pop_receipt: str
    text: str
    dequeue_count: int
    inserted: str
    expires: str
    next_visible: str


class QueueClient:
    """The queues of one account. Queue names are given per call."""

    def __init__(self, account: Requester) -> None:
        self._account = account

    async def create(self, queue: str) -> None:
        """Creates the queue if it is not there."""
        await self._account.request("queue", "PUT", f"/{queue}", expect=(201, 204, 409))

    async def delete_queue(self, queue: str) -> None:
        await self._account.request("queue", "DELETE", f"/{queue}", expect=(204, 404))

    async def put(self, queue: str, text: str, *, delay_seconds: int = 0, ttl_seconds: int = 7 * 86400) -> bool:
        """Adds a message; False when the queue is not there. `ttl_seconds` -1 means for ever."""
        body = f"<QueueMessage><MessageText>{escape(text)}</MessageText></QueueMessage>".encode()
        query = f"visibilitytimeout={delay_seconds}&messagettl={ttl_seconds}"
        answer = await self._account.request("queue", "POST", f"/{queue}/messages", query=query, body=body, expect=(201, 404))
        return answer.status == 201

    async def receive(self, queue: str, *, count: int, visibility_seconds: int) -> list[QueueMessage] | None:
        """Takes up to 32 messages; None when the queue is not there."""
        query = f"numofmessages={count}&visibilitytimeout={visibility_seconds}"
        answer = await self._account.request("queue", "GET", f"/{queue}/messages", query=query, expect=(200, 404))
        if answer.status == 404:
            return None
        root = ET.fromstring(answer.body)  # noqa: S314 (the storage account is trusted with all the data already)
        return [
            QueueMessage(
                id=node.findtext("MessageId") or "",
                pop_receipt=node.findtext("PopReceipt") or "",
                text=node.findtext("MessageText") or "",
                dequeue_count=int(node.findtext("DequeueCount") or 0),
                inserted=node.findtext("InsertionTime") or "",
                expires=node.findtext("ExpirationTime") or "",
                next_visible=node.findtext("TimeNextVisible") or "",
            )
            for node in root.iter("QueueMessage")
        ]

    async def update(self, queue: str, message_id: str, pop_receipt: str, *, visibility_seconds: int) -> str | None:
        """Moves a message's next visibility, text unchanged; returns the new receipt, or None when the message is somebody else's now."""
        query = f"popreceipt={quote(pop_receipt, safe='')}&visibilitytimeout={visibility_seconds}"
        answer = await self._account.request("queue", "PUT", f"/{queue}/messages/{message_id}", query=query, expect=(204, 400, 404))
        return answer.headers.get("x-ms-popreceipt", "") if answer.status == 204 else None

    async def delete(self, queue: str, message_id: str, pop_receipt: str) -> bool:
        """Deletes a message; False when it is gone or somebody else's now."""
        query = f"popreceipt={quote(pop_receipt, safe='')}"
        answer = await self._account.request("queue", "DELETE", f"/{queue}/messages/{message_id}", query=query, expect=(204, 400, 404))
        return answer.status == 204

    async def length(self, queue: str) -> int | None:
        """The approximate number of messages; None when the queue is not there."""
        answer = await self._account.request("queue", "GET", f"/{queue}", query="comp=metadata", expect=(200, 404))
        return int(answer.headers.get("x-ms-approximate-messages-count", 0)) if answer.status == 200 else None
