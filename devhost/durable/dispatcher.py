"""Live instances: their mail, their episodes one at a time, and how they come back after a crash.

Dispatch is in memory. What is durable about a message is either in the receiver's partition (events, control messages) or can be read off
somebody's history (everything else), so nothing here needs a queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

from devhost.durable.activities import Activities, ActivityCall
from devhost.durable.aside import SetAside
from devhost.durable.episode import (
    RESPONSES,
    new_execution_id,
    parent_instance,
    parent_reply,
    timer_fired,
)
from devhost.durable.history import CorruptRow, Event, Kind
from devhost.durable.large import LostValue
from devhost.durable.rows import RowWriter
from devhost.durable.runner import Runner, activity_call
from devhost.durable.sessions import Mail, Session
from devhost.durable.state import InstanceState
from devhost.durable.store import Fenced, HubStore, Message
from devhost.durable.timers import Timers
from devhost.durable.times import now_text
from devhost.durable.versions import VersionRejected
from devhost.invocation import WorkerLost
from devhost.storage.errors import StorageError, StorageUnavailable

_COLLECT_SECONDS: Final = 0.04
"""How long finished tasks may wait for their siblings when the orchestrator need not be asked yet."""
_LONGEST_COLLECT: Final = 0.2
_LONGEST_AHEAD: Final = 0.25
"""How long a new instance may wait for its first activity before what it began with is committed by itself."""
_BUSY: Final = 8
"""With so many instances at work, the fewer the commits the sooner each of them is done."""
_LONGEST_DELAY: Final = 600.0
_SAME_ID_PAUSE: Final = 10.0
"""Between two children of one id that run at the same time; what the recordings of the real engine show, where the second child's first
commit collides with the first one's history and the dispatcher then sleeps this long: after eight seconds the parent still waits. That it
sleeps for every other instance too is not imitated: the pause here is that id's alone."""


class Dispatcher:
    """Every unfinished orchestration of the hub. Also the `Effects` of its episodes."""

    def __init__(self, *, store: HubStore, rows: RowWriter, aside: SetAside, log: logging.Logger) -> None:
        self._store = store
        self._rows = rows
        self._aside = aside
        self._log = log
        self.sessions: dict[str, Session] = {}
        self.runner: Runner
        self.activities: Activities
        self.timers = Timers(self._timer_due, log)
        self.to_entity: Callable[[str, Message], None]
        """Hands a message that is already kept to an entity."""
        self.restore: Callable[[Session], Awaitable[None]]
        """Reads an instance back and sets going again what its history leaves open."""
        self._background: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._at_work = 0
        self._starting: dict[str, asyncio.Lock] = {}

    # ---- the outside

    async def live_state(self, instance_id: str) -> InstanceState | None:
        """The newest committed state, if the instance is live or its row is late."""
        session = self.sessions.get(instance_id)
        if session is not None and not session.ready.is_set():
            await session.ready.wait()
            session = self.sessions.get(instance_id)
        return session.state if session is not None else self._rows.late(instance_id)

    async def until_ended(self, instance_id: str, seconds: float) -> None:
        """Returns when an instance's end is committed, or after some time."""
        session = self.sessions.get(instance_id)
        if session is None:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await session.ended.wait()

    def begin(self, state: InstanceState, *, is_new: bool) -> None:
        """Starts an execution whose Pending row is written. `is_new`: the id has never been used, as far as anybody knows."""
        session = self.sessions.get(state.instance_id)
        if session is None:
            session = Session(state.copy())
            session.ready.set()
            if is_new:
                session.partition = self._store.new_partition(state.instance_id)
            self.sessions[state.instance_id] = session
        session.post(Mail(start=state.copy()))
        self._kick(session)

    def begin_if_written(self, state: InstanceState) -> None:
        """Finds out, once storage answers again, whether a start whose fate is unknown was written, and if so starts it."""
        self._spawn(self._begin_if_written(state))

    async def _begin_if_written(self, state: InstanceState) -> None:
        while not self._stopping:
            try:
                row = await self._store.get_instance(state.instance_id)
            except (StorageError, StorageUnavailable):
                await asyncio.sleep(1.0)
                continue
            if row is not None and row.execution_id == state.execution_id and state.instance_id not in self.sessions:
                self.begin(state, is_new=False)
            return

    def adopt(self, session: Session) -> None:
        """Takes up an instance that has come back to life; it is read from storage first."""
        self.sessions[session.id] = session
        self._kick(session)

    async def settle_row(self, instance_id: str) -> None:
        """Returns when the instance's row is as new as its history."""
        await self._rows.settle(instance_id)

    def deliver(self, instance_id: str, mail: Mail) -> bool:
        """Puts mail into a live instance's box; False when there is none, and the mail is dropped. One that is set aside keeps its messages."""
        session = self.sessions.get(instance_id)
        if instance_id in self._aside.reasons or (session is not None and session.gone):
            return False
        if session is None:
            if mail.row is not None and not self._stopping:  # what comes while it stops is for whoever runs the hub next
                self._drop(instance_id, [mail.row])
            return False
        session.post(mail)
        self._kick(session)
        return True

    async def purge(self, instance_id: str) -> None:
        """Stops an instance where it stands and deletes everything of it."""
        session = self.sessions.pop(instance_id, None)
        if session is not None:
            session.gone = True
            session.ready.set()
            if session.task is not None:
                session.task.cancel()
                await asyncio.wait([session.task])
        self.timers.forget(instance_id)
        self._aside.forget(instance_id)
        await self._rows.forget(instance_id)
        await self._store.purge(instance_id)

    def start(self) -> None:
        self.timers.start()

    async def stop(self, grace_seconds: float) -> None:
        """Lets running episodes end, for a while. Whatever is cut off is recovered at the next start."""
        await self.timers.stop()
        deadline = asyncio.get_running_loop().time() + grace_seconds
        while (tasks := self._tasks()) and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(tasks, timeout=left)
        self._stopping = True
        for task in (*tasks, *self._background):
            task.cancel()
        await asyncio.gather(*tasks, *self._background, return_exceptions=True)

    def abandon(self) -> None:
        """Stops at once, because another host owns the hub: every session ends where it is."""
        self._stopping = True
        for session in self.sessions.values():
            if session.task is not None:
                session.task.cancel()

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [session.task for session in self.sessions.values() if session.task is not None]

    # ---- effects of episodes

    def activity(self, session: Session, call: ActivityCall) -> None:
        session.in_flight += 1
        session.stale.discard(call)
        self.activities.submit(call)

    def activity_done(self, call: ActivityCall, event: Event) -> None:
        session = self.sessions.get(call.instance_id)
        if session is not None and session.state.execution_id == call.execution_id:
            if call in session.stale:
                session.stale.discard(call)
                return
            session.in_flight = max(0, session.in_flight - 1)
        self.deliver(call.instance_id, Mail(event, call.execution_id))

    def timer(self, session: Session, created: Event) -> None:
        self.timers.set(session.id, session.state.execution_id, created)

    def child(self, parent: InstanceState, created: Event) -> None:
        self._spawn(self._start_child(parent.copy(), created))

    async def send(self, sent: Event) -> None:
        target, name, text = sent.members["InstanceId"], sent.members["Name"], sent.members["Input"]
        raised = Event(Kind.EventRaised, {"Name": name, "Input": text, "ParentTraceContext": None})
        if target.startswith("@"):
            self.to_entity(target, await self._store.keep_request(target, raised))
            return
        if target not in self.sessions:
            return  # nobody waits for this answer any more
        message = await self._store.add_message(target, raised)
        self.deliver(target, Mail(raised, row=message.row))

    def changed(self, session: Session) -> None:
        self._rows.mark(session.state, at_once=session.state.is_terminal)

    async def row_settled(self, session: Session) -> None:
        if session.row_is_pending:
            session.state.status = "Running"
            self._rows.mark(session.state, at_once=True)
            await self._rows.settle(session.id)
            session.row_is_pending = False

    def _timer_due(self, instance_id: str, execution_id: str, created: Event) -> None:
        self.deliver(instance_id, Mail(timer_fired(created), execution_id))

    async def _start_child(self, parent: InstanceState, created: Event) -> None:
        """Starts the sub-orchestration that `created` asks for, or lets it wait behind one that has its id."""
        child_id = str(created.members["InstanceId"])
        state = InstanceState(
            instance_id=child_id,
            name=str(created.members["Name"]),
            version=str(created.members.get("Version") or ""),
            execution_id=new_execution_id(),
            status="Pending",
            created=now_text(),
            updated=now_text(),
            input=(created.private or {}).get("TaskInput"),
            generation=None,
            parent=parent_instance(parent, created.id),
        )
        await self._until_stored(f"sub-orchestration {child_id} could not be started yet", partial(self._put_child, state))

    async def _until_stored(self, complaint: str, work: Callable[[], Awaitable[None]]) -> None:
        """Does something that must not be lost because storage is away at the moment."""
        delay = 0.5
        while not self._stopping:
            try:
                await work()
                return
            except (StorageError, StorageUnavailable) as problem:
                self._log.warning("%s: %s", complaint, problem)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 30.0)

    def _drop(self, instance_id: str, rows: Sequence[str]) -> None:
        """Deletes messages that nobody will consume; an instance that used this id again would get them."""
        complaint = f"messages of instance {instance_id} could not be deleted yet"
        self._spawn(self._until_stored(complaint, partial(self._store.drop_messages, instance_id, rows)))

    async def _put_child(self, state: InstanceState) -> None:
        async with self.start_lock(state.instance_id):
            running = self.sessions.get(state.instance_id)
            if running is not None and not running.state.is_terminal:
                running.post(Mail(start=state))
                self._kick(running)
                return
            await self._rows.settle(state.instance_id)
            is_new = await self._store.insert_instance(state)
            if not is_new:
                await self._store.put_instance(state)
            self.begin(state, is_new=is_new)

    def start_lock(self, instance_id: str) -> asyncio.Lock:
        """Serialises starts of one id."""
        if len(self._starting) > 1000:
            self._starting = {key: lock for key, lock in self._starting.items() if lock.locked()}
        return self._starting.setdefault(instance_id, asyncio.Lock())

    # ---- episodes

    def _kick(self, session: Session) -> None:
        if session.task is None and not self._stopping and not session.gone:
            session.task = asyncio.create_task(self._run(session), name=f"instance {session.id}")

    async def _run(self, session: Session) -> None:
        self._at_work += 1
        try:
            while session.has_work and not self._stopping:
                batch: list[Mail] = []
                try:
                    if session.partition is None:
                        await self.restore(session)
                        session.ready.set()
                        if session.state.is_terminal and not session.mail:
                            self._ended(session)
                            return
                        continue
                    await self._collect(session)
                    if session.partition.is_ahead and (not session.mail or session.failures):
                        await self.runner.commit_waiting(session)
                        continue
                    batch = session.take()
                    await self.runner.episode(session, batch, may_wait=self._at_work >= _BUSY)
                except (WorkerLost, VersionRejected, Fenced, StorageError, StorageUnavailable) as problem:
                    session.mail.extendleft(reversed(batch))
                    await self._back_off(session, problem)
                    continue
                session.failures, session.lost_a_worker = 0, False
                if session.state.is_terminal:
                    self._ended(session)
                    return
        except (CorruptRow, LostValue) as problem:
            self._aside.put(session.id, problem, is_expected=True)
            session.gone = True
        except Exception as problem:  # noqa: BLE001 (one instance must not take the others down, whatever went wrong)
            self._aside.put(session.id, problem, is_expected=False)
            session.gone = True
        finally:
            self._at_work -= 1
            session.task = None
            if session.gone or self._stopping:
                session.ready.set()
        if session.mail and not session.gone:
            self._kick(session)

    async def _collect(self, session: Session) -> None:
        """Waits for more results as long as that costs less than it saves."""
        wait = _COLLECT_SECONDS if session.quiet else min(session.python_seconds, _LONGEST_COLLECT)
        if session.partition is not None and session.partition.is_ahead and not session.mail:
            wait = _LONGEST_AHEAD
        only_responses = all(mail.event is not None and mail.event.kind in RESPONSES for mail in session.mail)
        if session.play or session.in_flight == 0 or not only_responses or wait < 0.002:
            return
        session.full.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await session.full.wait()

    async def _back_off(self, session: Session, problem: Exception) -> None:
        delay = min(2.0**session.failures, _LONGEST_DELAY)
        session.failures += 1
        session.lost_a_worker = session.lost_a_worker or isinstance(problem, WorkerLost)
        if not isinstance(problem, (WorkerLost, VersionRejected)):
            if session.partition is not None and session.partition.is_ahead:
                session.stale.update(activity_call(session.state, event) for event in session.partition.events if event.id in session.open)
                session.open, session.in_flight = set(), 0
            session.partition = None  # whether the last write happened is unknown: read it again
        if isinstance(problem, Fenced) and session.failures == 1:
            self._log.debug("%s", problem)
            return
        self._log.warning("an episode of instance %s is repeated in %.0f s: %s", session.id, delay, problem)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await session.terminated.wait()
        session.terminated.clear()

    def _ended(self, session: Session) -> None:
        """Takes leave of an instance whose end is committed."""
        self.sessions.pop(session.id, None)
        session.ended.set()
        self.timers.forget(session.id)
        self._rows.mark(session.state, at_once=True)
        partition = session.partition
        if partition is not None:
            completion = next((event for event in reversed(partition.events) if event.kind is Kind.ExecutionCompleted), None)
            parent = session.state.parent
            if parent and completion is not None:
                where = parent["OrchestrationInstance"]
                self.deliver(where["InstanceId"], Mail(parent_reply(parent, completion, now_text()), where["ExecutionId"]))
        starts = [mail for mail in session.mail if mail.start is not None]
        rows = [mail.row for mail in session.mail if mail.row is not None]
        if rows:
            self._drop(session.id, rows)
        if starts:
            self._spawn(self._start_again(starts, pause=0.0))
        if session.parked:
            self._spawn(self._start_again(list(session.parked), pause=_SAME_ID_PAUSE))

    async def _start_again(self, starts: list[Mail], *, pause: float) -> None:
        await asyncio.sleep(pause)
        for mail in starts:
            assert mail.start is not None
            state = mail.start
            await self._until_stored(f"sub-orchestration {state.instance_id} could not be started yet", partial(self._put_child, state))

    def resume_all(self) -> None:
        """Sets the recovered instances going; by now every entity has sent them what it owed."""
        for session in list(self.sessions.values()):
            self._kick(session)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background_done)

    def _background_done(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            self._log.error("background work of the task hub failed: %s", problem)
