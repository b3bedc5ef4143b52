"""The task hub's tables: what is written, in which order, and what a reader may believe.

The history partition of an instance is the truth. A `sentinel` row in it says how many of its rows count (`CommittedRows`) and of which
execution they are; its ETag guards every write, so a host that has been replaced can change nothing. An episode of up to 99 rows is one
transaction. A longer one writes its rows first, beyond the end that counts, and moves the end in its last transaction: whoever reads in
between sees the episode before, whole.

Messages from outside (events, terminate, entity operations and their replies) rest in the same partition as `message-…` rows until the
transaction that consumes them deletes them. The instances row is derived: it is written after the history, and recovery repairs it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from devhost.durable.history import CorruptRow, Event, Kind, from_row, index_of, row_key, to_row
from devhost.durable.jsontext import loads
from devhost.durable.large import LargeValues, LostValue
from devhost.durable.names import from_key, to_key
from devhost.durable.state import InstanceState
from devhost.durable.times import now_text, to_ticks
from devhost.storage.account import StorageAccount
from devhost.storage.errors import StorageError
from devhost.storage.tables import MAX_BATCH_BYTES, MAX_OPERATIONS, Operation, encoded, literal

SENTINEL: Final = "sentinel"
MESSAGE_PREFIX: Final = "message-"
_SECOND_LOOK_SECONDS: Final = 0.3
MAX_CONSUMED: Final = 60
"""How many message rows one episode may delete, so that they always fit into its last transaction."""


class Fenced(Exception):
    """Somebody else has written to this instance's history: this host's view of it is out of date."""


@dataclass(slots=True)
class Message:
    """A message that waits in an instance's partition."""

    row: str
    event: Event
    due: str | None = None
    """When a scheduled signal may be delivered."""


@dataclass(slots=True)
class Partition:
    """An instance's history as it counts, and how to go on writing it."""

    key: str
    execution_id: str = ""
    etag: str | None = None
    committed: int = 0
    reach: int = 0
    """No row was ever written from this index on: what goes there is an insert, which spares the service the search for an older row."""
    sent: int = 0
    """Rows below this have had their `EventSent` delivered."""
    custom_status: str = "null"
    """Kept with the sentinel too: the history does not have it, and the instances row may be late."""
    events: list[Event] = field(default_factory=list)
    """What is stored, and behind it, for a moment, what is not written yet."""
    messages: list[Message] = field(default_factory=list)

    @property
    def is_ahead(self) -> bool:
        """Whether it holds events that wait for the next commit."""
        return len(self.events) > self.committed


class HubStore:
    """Reads and writes one task hub."""

    def __init__(self, storage: StorageAccount, hub: str) -> None:
        self.storage = storage
        self.hub = hub
        self.instances_table = f"{hub}Instances"
        self.history_table = f"{hub}History"
        self.large = LargeValues(storage, hub)

    async def create(self) -> None:
        """Creates the hub's tables and containers where missing."""
        tables = self.storage.tables
        await asyncio.gather(tables.create(self.instances_table), tables.create(self.history_table), self.large.create())

    # ---- instances

    async def get_instance(self, instance_id: str) -> InstanceState | None:
        """The instance's row with its long values; None when there is none."""
        row = await self.storage.tables.get(self.instances_table, to_key(instance_id), "")
        if row is None:
            return None
        await self.large.restore_instance(row)
        return InstanceState.from_row(row, instance_id)

    async def insert_instance(self, state: InstanceState) -> bool:
        """Writes a new row; False when the id has one already."""
        if await self.storage.tables.insert(self.instances_table, await self._instance_row(state)) is not None:
            return True
        # The row in the way may be our own: the reply to the first attempt was lost and the request repeated.
        there = await self.storage.tables.get(self.instances_table, to_key(state.instance_id), "")
        return there is not None and there.get("ExecutionId") == state.execution_id

    async def put_instance(self, state: InstanceState) -> None:
        """Writes the row, whatever was there."""
        await self.storage.tables.put(self.instances_table, await self._instance_row(state))

    async def _instance_row(self, state: InstanceState) -> dict[str, Any]:
        row = state.to_row(self.hub)
        await self.large.spill_instance(row, row["PartitionKey"])
        return row

    async def instance_page(self, filter_: str, top: int, after: str | None) -> tuple[list[InstanceState], str | None]:
        """One page of rows in key order and the key to go on from, or None at the end."""
        page = await self.storage.tables.query_page(
            self.instances_table, filter_, top=top, next_partition=after, next_row="" if after is not None else None
        )
        return [await self._instance(row, must_be_whole=False) for row in page.rows], page.next_partition

    async def unfinished(self, unreadable: Callable[[str, Exception], None]) -> AsyncIterator[InstanceState]:
        """Every instance whose row does not say that it has ended; `unreadable` gets those whose row cannot be read, and why."""
        wanted = " or ".join(f"RuntimeStatus eq {literal(status)}" for status in ("Pending", "Running", "ContinuedAsNew", "Suspended"))
        async for row in self.storage.tables.query(self.instances_table, wanted):
            try:
                yield await self._instance(row)
            except LostValue as problem:
                unreadable(from_key(row["PartitionKey"]), problem)

    async def _instance(self, row: dict[str, Any], *, must_be_whole: bool = True) -> InstanceState:
        """Raises LostValue, unless the address of a long value that is gone is as good as the value."""
        try:
            await self.large.restore_instance(row)
        except LostValue:
            if must_be_whole:
                raise
        return InstanceState.from_row(row, from_key(row["PartitionKey"]))

    # ---- history

    async def load(self, instance_id: str) -> Partition:
        """Reads an instance's partition.

        Raises:
            CorruptRow: a row that counts cannot be read; the message names it.
        """
        key = to_key(instance_id)
        wanted = f"PartitionKey eq {literal(key)}"
        try:
            return await self.assemble(instance_id, [row async for row in self.storage.tables.query(self.history_table, wanted)])
        except CorruptRow:
            # A host that has just been killed may have left a transaction on its way, and the emulator shows half of one to readers.
            await asyncio.sleep(_SECOND_LOOK_SECONDS)
            return await self.assemble(instance_id, [row async for row in self.storage.tables.query(self.history_table, wanted)])

    async def assemble(self, instance_id: str, found: Sequence[dict[str, Any]]) -> Partition:
        """Makes a partition of the rows that were found of it, in key order.

        Raises:
            CorruptRow: a row that counts cannot be read; the message names it.
        """
        partition = Partition(to_key(instance_id))
        rows: list[dict[str, Any]] = []
        for row in found:
            if row["RowKey"] == SENTINEL:
                partition.execution_id = row.get("ExecutionId") or ""
                partition.etag = row["odata.etag"]
                partition.committed = int(row.get("CommittedRows", -1))
                partition.sent = int(row.get("SentRows", 0))
                partition.custom_status = row.get("CustomStatus") or "null"
            elif row["RowKey"].startswith(MESSAGE_PREFIX):
                await self.large.restore_history(row)
                partition.messages.append(Message(row["RowKey"], from_row(row), row.get("Due")))
            else:
                rows.append(row)
        partition.reach = max((index_of(row["RowKey"]) + 1 for row in rows), default=0)
        counted = [row for row in rows if row.get("ExecutionId") == partition.execution_id]
        if partition.committed < 0:
            partition.committed = len(counted)  # written by another kind of host, which commits without such a count
        counted = counted[: partition.committed]
        for index, row in enumerate(counted):
            if row["RowKey"] != row_key(index):
                raise CorruptRow(f"history row {row_key(index)!r} of instance {instance_id!r} is missing")
            await self.large.restore_history(row)
            partition.events.append(from_row(row))
        if len(counted) < partition.committed:
            raise CorruptRow(f"history of instance {instance_id!r} has {len(counted)} rows where its sentinel counts {partition.committed}")
        return partition

    async def commit(
        self,
        partition: Partition,
        new: Sequence[Event],
        *,
        consumed: Sequence[str] = (),
        execution_id: str | None = None,
        unfinished: bool = False,
    ) -> None:
        """Appends events and deletes consumed messages, all or nothing, and updates `partition` to match. Events that wait go first.

        With `execution_id` the events start a new execution: they replace the history from its first row and must fit one transaction.
        `unfinished` marks the partition for a look after a crash, until `mark_sent`; events to be sent do so by themselves.

        Raises:
            Fenced: another host has written here.
            StorageUnavailable: storage stayed away; the partition must be loaded again before it is used.
        """
        start = 0 if execution_id is not None else partition.committed
        execution = execution_id or partition.execution_id
        operations = []
        if execution_id is None:
            new = [*partition.events[start:], *new]
        for index, event in enumerate(new, start):
            row = to_row(event, partition.key, index, execution)
            await self.large.spill_history(row, partition.key)
            operations.append(Operation("PUT" if index < partition.reach else "POST", partition.key, row["RowKey"], encoded(row)))
        partition.reach = max(partition.reach, start + len(new))
        deletions = [Operation("DELETE", partition.key, row, etag="*") for row in consumed]
        groups = _groups(operations, MAX_OPERATIONS - 1 - len(deletions))
        if execution_id is not None and len(groups) > 1:
            raise ValueError(f"{len(operations)} rows cannot start an execution in one transaction")
        for group in groups[:-1]:
            await self._write(partition, group, partition.execution_id, partition.committed, partition.sent, complete=False)
        sent = 0 if execution_id is not None else partition.sent
        unsent = unfinished or any(event.kind is Kind.EventSent for event in new)
        await self._write(
            partition, [*(groups[-1] if groups else []), *deletions], execution, start + len(new), sent, complete=True, unsent=unsent
        )
        partition.execution_id, partition.committed, partition.sent = execution, start + len(new), sent
        partition.events[start:] = new

    async def mark_sent(self, partition: Partition) -> None:
        """Records that every `EventSent` up to here has been delivered."""
        await self._write(partition, [], partition.execution_id, partition.committed, partition.committed, complete=True)
        partition.sent = partition.committed

    async def touch(self, partition: Partition) -> None:
        """Moves the sentinel's ETag, so that whoever wrote here before can write no more."""
        unsent = any(event.kind is Kind.EventSent for event in partition.events[partition.sent :])
        await self._write(partition, [], partition.execution_id, partition.committed, partition.sent, complete=True, unsent=unsent)

    async def with_messages(self) -> tuple[dict[str, list[str]], set[str]]:
        """The instance ids that have message rows, with these, and the ids of those whose own messages may not all have been sent."""
        waiting: dict[str, list[str]] = {}
        async for row in self.storage.tables.query(
            self.history_table, f"RowKey ge {literal(MESSAGE_PREFIX)} and RowKey lt 'message.'", select="PartitionKey,RowKey"
        ):
            waiting.setdefault(from_key(row["PartitionKey"]), []).append(row["RowKey"])
        unsent = {
            from_key(row["PartitionKey"])
            async for row in self.storage.tables.query(
                self.history_table, f"RowKey eq {literal(SENTINEL)} and Unsent eq true", select="PartitionKey"
            )
        }
        return waiting, unsent

    async def rewrite(self, partition: Partition, changed: Sequence[int]) -> None:
        """Writes rows of the history anew, in as many transactions as it takes, last row last."""
        operations = []
        for index in changed:
            row = to_row(partition.events[index], partition.key, index, partition.execution_id)
            await self.large.spill_history(row, partition.key)
            operations.append(Operation("PUT", partition.key, row["RowKey"], encoded(row)))
        for group in _groups(operations, MAX_OPERATIONS - 1):
            await self._write(partition, group, partition.execution_id, partition.committed, partition.sent, complete=True)

    async def _write(
        self,
        partition: Partition,
        operations: Sequence[Operation],
        execution_id: str,
        committed: int,
        sent: int,
        *,
        complete: bool,
        unsent: bool = False,
    ) -> None:
        commit_id = uuid.uuid4().hex
        sentinel = {
            "PartitionKey": partition.key,
            "RowKey": SENTINEL,
            "ExecutionId": execution_id,
            "IsCheckpointComplete": complete,
            "CheckpointCompletedTimestamp": now_text(),
            "CheckpointCompletedTimestamp@odata.type": "Edm.DateTime",
            "CommittedRows": committed,
            "SentRows": sent,
            "Unsent": unsent,
            "CustomStatus": partition.custom_status,
            "CommitId": commit_id,
        }
        body = msgspec.json.encode(sentinel)
        verb = "POST" if partition.etag is None else "PUT"
        batch = [Operation(verb, partition.key, SENTINEL, body, partition.etag), *operations]
        try:
            etags = await self.storage.tables.transact(self.history_table, batch)
        except StorageError as refused:
            etag = await self._own_commit(partition.key, commit_id)
            if etag is not None:
                partition.etag = etag
                return
            if refused.status == 404 and any(operation.verb == "DELETE" for operation in operations):
                # A message row is gone (its instance was purged and started again): what is left of the episode still counts.
                kept = [operation for operation in operations if operation.verb != "DELETE"]
                await self._write(partition, kept, execution_id, committed, sent, complete=complete, unsent=unsent)
                return
            if refused.status in (409, 412):
                raise Fenced(f"the history of instance '{from_key(partition.key)}' was changed by somebody else: {refused}") from refused
            raise
        partition.etag = etags[0]

    async def _own_commit(self, key: str, commit_id: str) -> str | None:
        """The sentinel's ETag when it holds our commit after all: a repeated request finds its own first attempt in the way."""
        row = await self.storage.tables.get(self.history_table, key, SENTINEL)
        return str(row["odata.etag"]) if row is not None and row.get("CommitId") == commit_id else None

    def new_partition(self, instance_id: str) -> Partition:
        """The partition of an id that has never been used."""
        return Partition(to_key(instance_id))

    # ---- messages

    async def keep_request(self, entity: str, raised: Event) -> Message:
        """Keeps an entity request under a name of its own, so that sending it again adds nothing while it waits."""
        request = loads(raised.members["Input"])
        sent_at = to_ticks(request["Timestamp"]) * 100 if "Timestamp" in request else time.time_ns()
        name = f"{MESSAGE_PREFIX}{sent_at:020d}-{request['id']}"
        return await self.add_message(entity, raised, name=name, due=request.get("due"))

    async def add_message(self, instance_id: str, event: Event, *, name: str | None = None, due: str | None = None) -> Message:
        """Keeps a message for an instance. With `name`, writing it again changes nothing."""
        key = to_key(instance_id)
        row = to_row(event, key, 0, "message")
        row["RowKey"] = name or message_name()
        if due is not None:
            row["Due"] = due
        await self.large.spill_history(row, key)
        await self.storage.tables.insert(self.history_table, row)
        return Message(row["RowKey"], event, due)

    async def drop_messages(self, instance_id: str, rows: Sequence[str]) -> None:
        """Deletes messages that nobody will consume."""
        for row in rows:
            await self.storage.tables.delete(self.history_table, to_key(instance_id), row)

    async def purge(self, instance_id: str) -> None:
        """Deletes everything of an instance, its instances row first."""
        key = to_key(instance_id)
        tables = self.storage.tables
        await tables.delete(self.instances_table, key, "")
        rows = [row["RowKey"] async for row in tables.query(self.history_table, f"PartitionKey eq {literal(key)}", select="RowKey")]
        for start in range(0, len(rows), MAX_OPERATIONS):
            group = [Operation("DELETE", key, row, etag="*") for row in rows[start : start + MAX_OPERATIONS]]
            try:
                await tables.transact(self.history_table, group)
            except StorageError as refused:
                if refused.status != 404:
                    raise
                for operation in group:
                    await tables.delete(self.history_table, key, operation.row)
        await self.large.delete(key)


def message_name(suffix: str | None = None) -> str:
    """A row key that sorts by arrival."""
    return f"{MESSAGE_PREFIX}{time.time_ns():020d}-{suffix or uuid.uuid4().hex}"


def _groups(operations: Sequence[Operation], most: int) -> list[list[Operation]]:
    """Splits operations into transactions by count and size; the last one has room for what is added to it."""
    groups: list[list[Operation]] = []
    size = MAX_BATCH_BYTES
    for operation in operations:
        cost = len(operation.body) + 500
        if not groups or len(groups[-1]) >= most or size + cost > MAX_BATCH_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(operation)
        size += cost
    return groups
