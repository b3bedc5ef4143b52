"""Queue triggers."""

from __future__ import annotations

import re
import uuid
from email.utils import parsedate_to_datetime

from devhost.functions import FunctionMetadata
from devhost.invocation import Invocation, Succeeded, WorkerLost
from devhost.jsonc import SettingsError
from devhost.storage.queues import QueueMessage
from devhost.triggers.base import TriggerHost
from devhost.triggers.bindings import as_declared, decode_message
from devhost.triggers.queue_listener import ListenerSettings, PoisonMessage, QueueListener

_QUEUE_NAME = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}")


class QueueTrigger:
    """Invokes one function for each message of a queue."""

    def __init__(self, host: TriggerHost, function: FunctionMetadata) -> None:
        """Raises:
        SettingsError: the queue's name or the connection cannot be used.
        """
        self._host = host
        self._function = function
        settings = host.settings.queues
        place = f"function {function.name}: queueName"
        queue = host.settings.expand(str(function.trigger.get("queueName", "")), place).lower()
        if not _QUEUE_NAME.fullmatch(queue):
            raise SettingsError(f"{place} {queue!r} is not a queue name: 3 to 63 lower-case letters, digits and single dashes")
        self._is_base64 = settings.is_base64
        self._listener = QueueListener(
            host.binding_account(function.trigger, function.name),
            queue,
            self._handle,
            ListenerSettings(
                batch_size=settings.batch_size,
                new_batch_threshold=settings.new_batch_threshold,
                max_dequeue_count=settings.max_dequeue_count,
                visibility_timeout=settings.visibility_timeout,
                max_polling_interval=settings.max_polling_interval,
                poison_queue=None if queue.endswith("-poison") else f"{queue}-poison",
            ),
        )

    async def start(self) -> None:
        await self._listener.start()

    async def stop(self) -> None:
        await self._listener.stop()

    async def _handle(self, message: QueueMessage) -> bool:
        try:
            content = decode_message(message.text, is_base64=self._is_base64)
        except ValueError:
            raise PoisonMessage('its text is not base64; host.json: extensions.queues.messageEncoding can be set to "none"') from None
        invocation = Invocation(
            function=self._function.name,
            arguments={str(self._function.trigger["name"]): as_declared(content, self._function.trigger)},
            invocation_id=str(uuid.uuid4()),
            trigger_metadata=message_metadata(message, content),
        )
        try:
            outcome = await self._host.executor.invoke(
                invocation, f"New queue message detected on '{self._function.trigger.get('queueName')}'."
            )
        except WorkerLost:
            return False
        return isinstance(outcome, Succeeded)


def message_metadata(message: QueueMessage, content: str | bytes) -> dict[str, str]:
    """What the function gets to know of a message besides its text."""
    text = content if isinstance(content, str) else ""
    return {
        "QueueTrigger": text,
        "Id": message.id,
        "DequeueCount": str(message.dequeue_count),
        "ExpirationTime": _iso(message.expires),
        "InsertionTime": _iso(message.inserted),
        "NextVisibleTime": _iso(message.next_visible),
        "PopReceipt": message.pop_receipt,
    }


def _iso(rfc1123: str) -> str:
    return parsedate_to_datetime(rfc1123).isoformat()
