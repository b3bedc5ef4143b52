"""Reads one queue and hands each message to a handler: batches, visibility, attempts, the poison queue.

Queue triggers and blob triggers both listen this way; delivery is at least once.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from devhost.storage.account import StorageAccount
from devhost.storage.errors import StorageError, StorageUnavailable
from devhost.storage.queues import QueueMessage

_log = logging.getLogger("Host.Triggers.Queues")

_VISIBILITY_SECONDS = 600
_RENEW_SECONDS = 300.0
_SHORTEST_POLL_SECONDS = 0.1
_STOP_GRACE_SECONDS = 30.0

Handler = Callable[[QueueMessage], Awaitable[bool]]


class PoisonMessage(Exception):
    """The message can never be handled; it goes to the poison queue at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerSettings:
    """How a queue is read; times in seconds."""

    batch_size: int
    new_batch_threshold: int
    max_dequeue_count: int
    visibility_timeout: float
    """How long a message stays invisible after a failed attempt."""
    max_polling_interval: float
    poison_queue: str | None
    """None: messages that fail too often are dropped."""


class QueueListener:
    """Listens on one queue. The handler says whether the message has been dealt with."""

    def __init__(self, account: StorageAccount, queue: str, handler: Handler, settings: ListenerSettings) -> None:
        self._account = account
        self._queue = queue
        self._handler = handler
        self._settings = settings
        self._task: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._finished = asyncio.Event()
        self._wake = asyncio.Event()
        self._is_stopping = False

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._poll())

    def poke(self) -> None:
        """Looks into the queue now: something has just been put there."""
        self._wake.set()

    async def stop(self) -> None:
        """Fetches no more and waits for what runs; what runs too long comes back to the queue by itself."""
        self._is_stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=_STOP_GRACE_SECONDS)
            for task in late:
                task.cancel()

    async def _poll(self) -> None:
        delay = _SHORTEST_POLL_SECONDS
        while True:
            while len(self._running) > self._settings.new_batch_threshold:
                self._finished.clear()
                await self._finished.wait()
            try:
                messages = await self._account.queues.receive(
                    self._queue, count=self._settings.batch_size, visibility_seconds=_VISIBILITY_SECONDS
                )
            except (StorageError, StorageUnavailable) as error:
                _log.error("Queue %s could not be read: %s", self._queue, error)
                messages = None
            for message in messages or ():
                task = asyncio.get_running_loop().create_task(self._process(message))
                self._running.add(task)
                task.add_done_callback(self._ended)
            if messages:
                delay = _SHORTEST_POLL_SECONDS
                continue
            self._wake.clear()
            try:
                async with asyncio.timeout(delay):  # not wait_for: in Python 3.11 it can swallow the cancellation that stops this task
                    await self._wake.wait()
                delay = _SHORTEST_POLL_SECONDS
            except TimeoutError:
                delay = min(delay * 2 * random.uniform(0.8, 1.2), self._settings.max_polling_interval)  # noqa: S311 - jitter

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._finished.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("A message of queue %s could not be settled: %s", self._queue, error)

    async def _process(self, message: QueueMessage) -> None:
        receipt = _Receipt(message.pop_receipt)
        renewal = asyncio.get_running_loop().create_task(self._renew(message, receipt))
        is_poison = message.dequeue_count > self._settings.max_dequeue_count
        is_done = False
        try:
            if not is_poison:
                is_done = await self._handler(message)
        except PoisonMessage as error:
            _log.error("Message %s of queue %s can never be handled: %s", message.id, self._queue, error)
            is_poison = True
        finally:
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)
        if is_done:
            await self._account.queues.delete(self._queue, message.id, receipt.text)
        elif is_poison or message.dequeue_count >= self._settings.max_dequeue_count:
            await self._poison(message, receipt)
        else:
            seconds = int(self._settings.visibility_timeout)
            await self._account.queues.update(self._queue, message.id, receipt.text, visibility_seconds=seconds)
            if not seconds:
                self.poke()

    async def _poison(self, message: QueueMessage, receipt: _Receipt) -> None:
        poison = self._settings.poison_queue
        if poison is None:
            _log.error("Message %s of queue %s has failed %d times and is dropped.", message.id, self._queue, message.dequeue_count)
        else:
            _log.error(
                "Message %s of queue %s has failed %d times and is moved to %s.", message.id, self._queue, message.dequeue_count, poison
            )
            if not await self._account.queues.put(poison, message.text):
                await self._account.queues.create(poison)
                await self._account.queues.put(poison, message.text)
        await self._account.queues.delete(self._queue, message.id, receipt.text)

    async def _renew(self, message: QueueMessage, receipt: _Receipt) -> None:
        """Keeps a message invisible to others while it is being handled."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            try:
                renewed = await self._account.queues.update(self._queue, message.id, receipt.text, visibility_seconds=_VISIBILITY_SECONDS)
            except (StorageError, StorageUnavailable):
                continue
            if renewed is None:
                return
            receipt.text = renewed


@dataclass(slots=True)
class _Receipt:
    """The pop receipt, which changes with every renewal."""

    text: str
