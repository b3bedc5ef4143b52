"""Timer triggers: one occurrence at a time, by schedule, with the status blob that tells a missed occurrence after a restart."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from devhost.functions import FunctionMetadata
from devhost.invocation import Invocation, JsonText, WorkerLost
from devhost.jsonc import SettingsError
from devhost.storage.account import StorageAccount
from devhost.storage.errors import StorageError, StorageUnavailable
from devhost.triggers.base import TriggerHost
from devhost.triggers.listener_lock import HOSTS_CONTAINER, ListenerLock
from devhost.triggers.ncrontab import BadSchedule, Schedule, is_frequent, parse_schedule

_log = logging.getLogger("Host.Triggers.Timer")
_LOCK_RETRY_SECONDS = 5.0
_STOP_GRACE_SECONDS = 30.0
_LONGEST_SLEEP_SECONDS = 60.0
_NEVER = "0001-01-01T00:00:00"


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """What the status blob holds: when the timer last ran, when it is next due, when that was written."""

    last: datetime | None
    next: datetime
    updated: datetime | None
    """None for a status that has just been made up and is nowhere yet."""

    def as_json(self) -> dict[str, str]:
        last, updated = (_iso(moment) if moment else _NEVER for moment in (self.last, self.updated))
        return {"Last": last, "Next": _iso(self.next), "LastUpdated": updated}

    @classmethod
    def from_json(cls, text: bytes) -> ScheduleStatus | None:
        """None when it cannot be read."""
        try:
            fields = json.loads(text)
            last, due, updated = (datetime.fromisoformat(fields[name]) for name in ("Last", "Next", "LastUpdated"))
            aware = [moment if moment.tzinfo else moment.astimezone() for moment in (due, updated)]
        except (ValueError, KeyError, TypeError, OverflowError):
            return None
        return cls(last if last.tzinfo and last.year > 1 else None, *aware)


class ScheduleMonitor:
    """Keeps a timer's status in its blob."""

    def __init__(self, account: StorageAccount, host_id: str, function: str) -> None:
        self._account = account
        self._blob = f"timers/{host_id}/Host.Functions.{function}/status"

    async def read(self) -> ScheduleStatus | None:
        answer = await self._account.blobs.get(HOSTS_CONTAINER, self._blob)
        return ScheduleStatus.from_json(answer.body) if answer is not None else None

    async def write(self, status: ScheduleStatus) -> None:
        await self._account.blobs.create_container(HOSTS_CONTAINER)
        body = json.dumps(status.as_json()).encode()
        await self._account.blobs.put(HOSTS_CONTAINER, self._blob, body, headers={"Content-Type": "application/json"})


class TimerTrigger:
    """Invokes one function by its schedule."""

    def __init__(self, host: TriggerHost, function: FunctionMetadata, account: StorageAccount | None) -> None:
        """Without an account the timer runs, but forgets missed occurrences and minds no other host.

        Raises:
            SettingsError: the schedule cannot be read.
        """
        self._host = host
        self._function = function
        trigger = function.trigger
        place = f"function {function.name}: schedule"
        try:
            self.schedule: Schedule = parse_schedule(
                host.settings.expand(str(trigger.get("schedule", "")), place), time_zone(host.settings.environment)
            )
        except BadSchedule as error:
            raise SettingsError(f"function {function.name}: {error}") from None
        is_monitored = trigger.get("useMonitor", True) is not False and not is_frequent(self.schedule, datetime.now(UTC))
        host_id = host.settings.host_id
        self._monitor = ScheduleMonitor(account, host_id, function.name) if account is not None and is_monitored else None
        self._lock = ListenerLock(account, host_id, function.name) if account is not None else None
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = asyncio.Event()

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        self._is_stopping.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_STOP_GRACE_SECONDS)
            self._task.cancel()
        if self._lock is not None:
            await self._lock.release()

    async def _run(self) -> None:
        while not self._is_stopping.is_set():
            try:
                if await self._take_lock():
                    await self._listen()
            except (StorageError, StorageUnavailable) as error:
                _log.error("The timer of %s has no storage: %s", self._function.name, error)
                await self._pause(_LOCK_RETRY_SECONDS)

    async def _take_lock(self) -> bool:
        while self._lock is not None and not await self._lock.acquire():
            _log.debug("Another host runs the timer of %s.", self._function.name)
            if await self._pause(_LOCK_RETRY_SECONDS):
                return False
        return not self._is_stopping.is_set()

    async def _listen(self) -> None:
        """Runs occurrence after occurrence until the host stops or the lock is lost."""
        status = await self._monitor.read() if self._monitor is not None else None
        now = datetime.now(UTC)
        due = self.schedule.next_after(now)
        if status is not None and status.next < now and self._still_fits(status):
            await self._invoke(status, is_past_due=True)
            status, due = await self._done(status.next)
        elif self._function.trigger.get("runOnStartup") is True:
            first = ScheduleStatus(None, due, None) if self._monitor is not None else None
            await self._invoke(status or first, is_past_due=False)
            status, due = await self._done(now)
        elif self._monitor is not None:
            status = ScheduleStatus(status.last if status else None, due, now)
            await self._monitor.write(status)
        while not self._is_stopping.is_set() and not (self._lock is not None and self._lock.is_lost.is_set()):
            remaining = (due - datetime.now(UTC)).total_seconds()
            if remaining > 0:
                await self._pause(min(remaining, _LONGEST_SLEEP_SECONDS))
                continue
            await self._invoke(status, is_past_due=False)
            status, due = await self._done(due)

    def _still_fits(self, status: ScheduleStatus) -> bool:
        """Whether the stored next occurrence is one of the present schedule; else the schedule has changed, and nothing was missed."""
        written = status.last or status.updated
        return written is not None and self.schedule.next_after(written) == status.next.astimezone(UTC)

    async def _done(self, occurrence: datetime) -> tuple[ScheduleStatus | None, datetime]:
        """Notes that an occurrence has run; the next one is counted from now, since occurrences never overlap."""
        now = datetime.now(UTC)
        last = max(now, occurrence)
        status = ScheduleStatus(last, self.schedule.next_after(last), now)
        if self._monitor is None:
            return None, status.next
        await self._monitor.write(status)
        return status, status.next

    async def _invoke(self, status: ScheduleStatus | None, *, is_past_due: bool) -> None:
        payload: dict[str, Any] = {
            "Schedule": {"AdjustForDST": True},
            "ScheduleStatus": status.as_json() if status is not None else None,
            "IsPastDue": is_past_due,
        }
        invocation = Invocation(
            function=self._function.name,
            arguments={str(self._function.trigger["name"]): JsonText(json.dumps(payload))},
            invocation_id=str(uuid.uuid4()),
        )
        try:
            await self._host.executor.invoke(invocation, f"Timer fired at {datetime.now().astimezone().isoformat()}")
        except WorkerLost as error:
            _log.error("An occurrence of the timer of %s was lost: %s", self._function.name, error)

    async def _pause(self, seconds: float) -> bool:
        """Waits; True when the host is stopping."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._is_stopping.wait()
        except TimeoutError:
            return False
        return True


def _iso(moment: datetime) -> str:
    return moment.astimezone().isoformat()


def time_zone(environment: Mapping[str, str]) -> tzinfo:
    """The zone schedules are read in: `WEBSITE_TIME_ZONE`, else `TZ`, else the machine's.

    Raises:
        SettingsError: there is no such zone.
    """
    name = environment.get("WEBSITE_TIME_ZONE") or environment.get("TZ", "").lstrip(":")
    if name:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise SettingsError(f"there is no time zone {name!r} (WEBSITE_TIME_ZONE or TZ); use a name such as Europe/Berlin") from None
    return machine_zone()


def machine_zone() -> tzinfo:
    """The machine's own zone with its clock changes, as far as it says which one that is."""
    link = Path("/etc/localtime")
    if link.is_symlink():
        _, found, name = os.path.realpath(link).partition("/zoneinfo/")
        if found:
            try:
                return ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError):
                pass
    return datetime.now().astimezone().tzinfo or UTC if time.daylight or time.timezone else UTC
