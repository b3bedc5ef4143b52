"""Storage bindings of any function: blob input, blob output, queue output."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from devhost.executor import BindingError
from devhost.invocation import Datum, Invocation, JsonText
from devhost.storage.errors import StorageError, StorageUnavailable
from devhost.triggers.base import TriggerHost
from devhost.triggers.expressions import binding_data, expand_placeholders


class BlobInput:
    """Reads a whole blob; one that is not there is None."""

    def __init__(self, host: TriggerHost) -> None:
        self._host = host

    async def read(self, binding: Mapping[str, Any], invocation: Invocation) -> Datum:
        account = self._host.binding_account(binding, invocation.function)
        container, name = blob_path(self._host, binding, invocation)
        try:
            answer = await account.blobs.get(container, name)
        except (StorageError, StorageUnavailable) as error:
            raise BindingError(f"blob {container}/{name} could not be read: {error}") from None
        if answer is None:
            return None
        return as_declared(answer.body, binding)


class BlobOutput:
    """Writes a block blob, making its container when there is none."""

    def __init__(self, host: TriggerHost) -> None:
        self._host = host

    async def write(self, binding: Mapping[str, Any], value: Datum | list[Datum], invocation: Invocation) -> None:
        account = self._host.binding_account(binding, invocation.function)
        container, name = blob_path(self._host, binding, invocation)
        content = _as_bytes(value, binding)
        try:
            await account.blobs.create_container(container)
            await account.blobs.put(container, name, content, headers={"Content-Type": "application/octet-stream"})
        except (StorageError, StorageUnavailable) as error:
            raise BindingError(f"blob {container}/{name} could not be written: {error}") from None


class QueueOutput:
    """Adds messages, making the queue when there is none."""

    def __init__(self, host: TriggerHost) -> None:
        self._host = host

    async def write(self, binding: Mapping[str, Any], value: Datum | list[Datum], invocation: Invocation) -> None:
        settings = self._host.settings
        account = self._host.binding_account(binding, invocation.function)
        place = f"the queue binding {binding['name']!r} of {invocation.function}"
        queue = expand_placeholders(settings.expand(str(binding.get("queueName", "")), place), binding_data(invocation), place).lower()
        try:
            for text in queue_texts(value, binding):
                sent = encode_message(text, is_base64=settings.queues.is_base64)
                if not await account.queues.put(queue, sent):
                    await account.queues.create(queue)
                    await account.queues.put(queue, sent)
        except (StorageError, StorageUnavailable) as error:
            raise BindingError(f"queue {queue} could not be written: {error}") from None


def blob_path(host: TriggerHost, binding: Mapping[str, Any], invocation: Invocation) -> tuple[str, str]:
    """Container and blob name of a binding's `path` in one call."""
    place = f"the blob binding {binding['name']!r} of {invocation.function}"
    path = expand_placeholders(host.settings.expand(str(binding.get("path", "")), place), binding_data(invocation), place)
    container, slash, name = path.strip("/").partition("/")
    if not slash or not name:
        raise BindingError(f"{place}: its path {path!r} is not container/blob")
    return container, name


def as_declared(content: str | bytes, binding: Mapping[str, Any]) -> str | bytes:
    """Text or bytes, whichever the binding's `dataType` asks for; as it is when it asks for nothing."""
    wanted = str(binding.get("dataType", "")).lower()
    if wanted == "string" and isinstance(content, bytes):
        return content.decode("utf-8", "replace")
    return content.encode() if wanted == "binary" and isinstance(content, str) else content


def queue_texts(value: Datum | list[Datum], binding: Mapping[str, Any]) -> list[str | bytes]:
    """The messages a value stands for: a text, or each item of a list; a `QueueMessage` arrives as JSON with its `body`."""
    if not isinstance(value, JsonText):
        return [value if isinstance(value, str) else _as_bytes(value, binding)]
    parsed = json.loads(value.text)
    return [_item_text(item) for item in (parsed if isinstance(parsed, list) else [parsed])]


def _item_text(item: Any) -> str:
    if isinstance(item, dict) and set(item) == {"id", "body"}:
        item = item["body"]
    return item if isinstance(item, str) else json.dumps(item)


def encode_message(content: str | bytes, *, is_base64: bool) -> str:
    """A message as it lies in the queue."""
    raw = content.encode() if isinstance(content, str) else content
    return base64.b64encode(raw).decode() if is_base64 else raw.decode("utf-8", "replace")


def decode_message(text: str, *, is_base64: bool) -> str | bytes:
    """A message as the function sees it: text, or bytes when it is no UTF-8.

    Raises:
        ValueError: it should be base64 and is not.
    """
    if not is_base64:
        return text
    raw = base64.b64decode(text, validate=True)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _as_bytes(value: Datum | list[Datum], binding: Mapping[str, Any]) -> bytes:
    if isinstance(value, JsonText):
        value = value.text
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    raise BindingError(
        f"the {binding['type']} binding {binding['name']!r} was set to something that cannot be stored: {type(value).__name__}"
    )
