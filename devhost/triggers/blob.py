"""Blob triggers: containers are listed every few seconds, and each version of a blob runs each function once.

A receipt blob for (function, ETag, blob) says that the work has been queued; it is made before and marked complete after the message is put, so
a host that dies in between queues it again. The message is then handled like any other queue message.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import uuid
from collections.abc import Mapping
from typing import Any

from devhost.functions import FunctionMetadata
from devhost.invocation import Invocation, Succeeded, WorkerLost
from devhost.jsonc import SettingsError
from devhost.storage.account import StorageAccount
from devhost.storage.blobs import BlobItem
from devhost.storage.errors import StorageError, StorageUnavailable
from devhost.storage.http import Answer
from devhost.storage.queues import QueueMessage
from devhost.triggers.base import TriggerHost
from devhost.triggers.bindings import as_declared, decode_message, encode_message
from devhost.triggers.listener_lock import HOSTS_CONTAINER
from devhost.triggers.queue_listener import ListenerSettings, QueueListener

_log = logging.getLogger("Host.Triggers.Blobs")

_SCAN_SECONDS = 2.0
_POISON_QUEUE = "webjobs-blobtrigger-poison"
_LEASE_SECONDS = 30
_DONE = {"Completed": "Completed"}
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class BlobPattern:
    """A trigger's `path`: a container and a pattern of blob names with `{placeholders}`."""

    def __init__(self, path: str, function: str) -> None:
        """Raises:
        SettingsError: it names no container.
        """
        self.container, _, names = path.strip("/").partition("/")
        if not self.container or "{" in self.container:
            raise SettingsError(f"function {function}: the blob trigger's path {path!r} has to start with a container's name")
        pattern, position = "", 0
        for match in _PLACEHOLDER.finditer(names):
            pattern += re.escape(names[position : match.start()]) + f"(?P<{match.group(1)}>.*)"
            position = match.end()
        self._pattern = re.compile(pattern + re.escape(names[position:]) if names else ".*", re.DOTALL)
        self.prefix = names.partition("{")[0]

    def match(self, name: str) -> dict[str, str] | None:
        """The placeholders' values for a blob's name; None when it does not fit."""
        match = self._pattern.fullmatch(name)
        return match.groupdict() if match is not None else None


class BlobTriggers:
    """All blob-triggered functions on one storage account."""

    def __init__(self, host: TriggerHost, account: StorageAccount, functions: list[FunctionMetadata]) -> None:
        self._host = host
        self._account = account
        self._functions = {f"Host.Functions.{function.name}": function for function in functions}
        self._patterns = {
            key: BlobPattern(host.settings.expand(str(f.trigger.get("path", "")), f"function {f.name}: path"), f.name)
            for key, f in self._functions.items()
        }
        self._queue = f"azure-webjobs-blobtrigger-{host.settings.host_id}"
        self._seen: set[tuple[str, str, str]] = set()
        parallel = host.settings.blobs.max_degree_of_parallelism
        self._listener = QueueListener(
            account,
            self._queue,
            self._handle,
            ListenerSettings(
                batch_size=min(32, parallel),
                new_batch_threshold=max(0, parallel - min(32, parallel)) or parallel // 2,
                max_dequeue_count=host.settings.blobs.poison_blob_threshold,
                visibility_timeout=0,
                max_polling_interval=10.0,
                poison_queue=_POISON_QUEUE,
            ),
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._account.blobs.create_container(HOSTS_CONTAINER)
        await self._account.queues.create(self._queue)
        await self._listener.start()
        self._task = asyncio.get_running_loop().create_task(self._scan_for_ever())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._listener.stop()

    # Detection

    async def _scan_for_ever(self) -> None:
        while True:
            try:
                await self._scan()
            except (StorageError, StorageUnavailable) as error:
                _log.error("Blob containers could not be listed: %s", error)
            await asyncio.sleep(_SCAN_SECONDS)

    async def _scan(self) -> None:
        for container in sorted({pattern.container for pattern in self._patterns.values()}):
            keys = [key for key, pattern in self._patterns.items() if pattern.container == container]
            prefixes = [self._patterns[key].prefix for key in keys]
            present: set[tuple[str, str, str]] = set()
            async for blob in self._account.blobs.list(container, prefixes[0] if len(keys) == 1 else ""):
                etag = blob.etag if blob.etag.startswith('"') else f'"{blob.etag}"'
                for key in keys:
                    if self._patterns[key].match(blob.name) is None:
                        continue
                    version = (key, f"{container}/{blob.name}", etag)
                    present.add(version)
                    if version not in self._seen and await self._queue_work(key, container, blob, etag):
                        self._seen.add(version)
            self._seen = {version for version in self._seen if version in present or not version[1].startswith(container + "/")}

    async def _queue_work(self, key: str, container: str, blob: BlobItem, etag: str) -> bool:
        """Puts the message for one version of a blob, unless its receipt says that this has been done.

        Returns whether it is done: while somebody's lease is on the receipt (it may be our own, of an attempt that failed half-way) it is not.
        """
        receipt = f"blobreceipts/{self._host.settings.host_id}/{key}/{etag}/{container}/{blob.name}"
        created = await self._account.blobs.put(HOSTS_CONTAINER, receipt, b"", metadata={"Completed": "Incomplete"}, only_if_absent=True)
        if created is None:
            properties = await self._account.blobs.properties(HOSTS_CONTAINER, receipt)
            if properties is not None and properties.get("x-ms-meta-Completed") == "Completed":
                return True
        lease = str(uuid.uuid4())
        if not await self._account.blobs.lease(HOSTS_CONTAINER, receipt, "acquire", lease=lease, seconds=_LEASE_SECONDS):
            return False
        message = {
            "Type": "BlobTrigger", "FunctionId": key, "BlobType": "BlockBlob", "ContainerName": container, "BlobName": blob.name, "ETag": etag,
        }  # fmt: skip
        await self._account.queues.put(self._queue, encode_message(json.dumps(message), is_base64=True))
        await self._account.blobs.set_metadata(HOSTS_CONTAINER, receipt, _DONE, lease=lease)
        await self._account.blobs.lease(HOSTS_CONTAINER, receipt, "release", lease=lease)
        self._listener.poke()
        return True

    # Work

    async def _handle(self, message: QueueMessage) -> bool:
        work = json.loads(decode_message(message.text, is_base64=True))
        function = self._functions.get(work["FunctionId"])
        if function is None:
            return True  # a function that is no more
        container, name = work["ContainerName"], work["BlobName"]
        answer = await self._account.blobs.get(container, name)
        if answer is None or answer.headers.get("ETag", "").strip('"') != work["ETag"].strip('"'):
            return True  # gone, or there is a newer version, which is detected on its own
        values = self._patterns[work["FunctionId"]].match(name) or {}
        invocation = Invocation(
            function=function.name,
            arguments={str(function.trigger["name"]): as_declared(answer.body, function.trigger)},
            invocation_id=str(uuid.uuid4()),
            trigger_metadata=blob_metadata(self._account, container, name, answer) | values,
        )
        try:
            outcome = await self._host.executor.invoke(invocation, f"New blob detected: {container}/{name}")
        except WorkerLost:
            return False
        return isinstance(outcome, Succeeded)


def blob_metadata(account: StorageAccount, container: str, name: str, answer: Answer) -> dict[str, str]:
    """What the function gets to know of a blob besides its content."""
    headers: Mapping[str, str] = answer.headers
    metadata = {key[len("x-ms-meta-") :]: value for key, value in headers.items() if key.lower().startswith("x-ms-meta-")}
    properties: dict[str, Any] = {
        "ContentLength": len(answer.body),
        "Length": len(answer.body),
        "ContentType": headers.get("Content-Type"),
        "ContentEncoding": headers.get("Content-Encoding"),
        "ContentHash": headers.get("Content-MD5"),
        "ETag": headers.get("ETag"),
        "LastModified": headers.get("Last-Modified"),
        "BlobType": headers.get("x-ms-blob-type"),
    }
    return {
        "BlobTrigger": f"{container}/{name}",
        "Uri": account.blobs.url(container, name),
        "Properties": json.dumps(properties),
        "Metadata": json.dumps(metadata),
    }
