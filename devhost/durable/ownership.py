"""One host per task hub: a lease on a blob, renewed while the host lives.

A host that died without letting go would block the hub until its lease runs out. So the blob says who holds it, and a successor on the
same machine that finds the holder's process gone breaks the lease at once. A holder that could not renew in time stops by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from devhost.storage.account import StorageAccount
from devhost.storage.errors import StorageError, StorageUnavailable

_LEASE_SECONDS: Final = 15
_RENEW_SECONDS: Final = 4.0
_BLOB: Final = "devhost-owner"


class HubInUse(Exception):
    """Another host runs this task hub; the message says which."""


class Ownership:
    """The hold on one hub. `lost()` is called once if it cannot be kept."""

    def __init__(self, storage: StorageAccount, hub: str, log: logging.Logger, lost: Callable[[], None]) -> None:
        self._blobs = storage.blobs
        self._hub = hub
        self._container = f"{hub.lower()}-applease"
        self._log = log
        self._lost = lost
        self._lease = str(uuid.uuid4())
        self._task: asyncio.Task[None] | None = None

    async def take(self) -> None:
        """Takes the hub.

        Raises:
            HubInUse: a live host has it.
        """
        await self._blobs.create_container(self._container)
        await self._blobs.put(self._container, _BLOB, b"", only_if_absent=True)
        deadline = time.monotonic() + _LEASE_SECONDS + 3
        while not await self._blobs.lease(self._container, _BLOB, "acquire", lease=self._lease, seconds=_LEASE_SECONDS):
            holder = _holder(await self._blobs.properties(self._container, _BLOB) or {})
            if _is_dead(holder):
                self._log.info("the previous host of task hub '%s' (process %s) is gone: taking over", self._hub, holder.get("pid"))
                await self._blobs.lease(self._container, _BLOB, "break")
                continue
            is_alive_here = holder.get("machine") == _machine()
            if is_alive_here or time.monotonic() > deadline:
                raise HubInUse(
                    f"Task hub '{self._hub}' is in use by another host (process {holder.get('pid', '?')} on {holder.get('host', '?')}). "
                    "Stop that host, or give this app a hub of its own: extensions.durableTask.hubName in host.json."
                )
            await asyncio.sleep(1.0)
        await self._blobs.set_metadata(self._container, _BLOB, _self_description(), lease=self._lease)
        self._task = asyncio.create_task(self._keep(), name="hub-lease")

    async def release(self) -> None:
        """Lets the hub go."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            try:
                await self._blobs.lease(self._container, _BLOB, "release", lease=self._lease, patience=2.0)
            except (StorageError, StorageUnavailable) as problem:
                self._log.debug("the hub's lease could not be released and will run out: %s", problem)

    async def _keep(self) -> None:
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            try:
                kept = await self._blobs.lease(self._container, _BLOB, "renew", lease=self._lease, patience=2.0)
                is_there = kept or await self._blobs.properties(self._container, _BLOB) is not None
                if not kept and is_there:
                    kept = await self._blobs.lease(
                        self._container, _BLOB, "acquire", lease=self._lease, seconds=_LEASE_SECONDS, patience=2.0
                    )
            except (StorageError, StorageUnavailable) as problem:
                # Nobody else can take a lease from a storage account that does not answer: go on, and see when it is back.
                self._log.warning("the lease of task hub '%s' could not be renewed, trying again: %s", self._hub, problem)
                continue
            if not is_there:
                self._log.error(
                    "task hub '%s' is gone from storage, as if it had been emptied or replaced by another: what ran here is lost, and this host "
                    "stops working on it and writes nothing more",
                    self._hub,
                )
            elif not kept:
                self._log.error(
                    "task hub '%s' has been taken by another host while this one could not renew its lease (last renewed %.0f s ago): this host "
                    "stops working on it and writes nothing more",
                    self._hub,
                    time.monotonic() - renewed,
                )
            if not kept:
                self._lost()
                return
            renewed = time.monotonic()


def _self_description() -> dict[str, str]:
    pid = os.getpid()
    return {"machine": _machine(), "host": platform.node() or "unknown", "pid": str(pid), "started": _started(pid) or ""}


def _holder(headers: Mapping[str, str]) -> dict[str, str]:
    prefix = "x-ms-meta-"
    return {name.lower().removeprefix(prefix): value for name, value in headers.items() if name.lower().startswith(prefix)}


def _is_dead(holder: Mapping[str, str]) -> bool:
    """Whether the holder was a process of this machine that no longer runs."""
    if holder.get("machine") != _machine() or not holder.get("pid", "").isdigit():
        return False
    pid = int(holder["pid"])
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _started(pid) != (holder.get("started") or None)


def _machine() -> str:
    """A name for this machine, this boot and this process namespace."""
    parts = [platform.node()]
    for path in ("/proc/sys/kernel/random/boot_id", "/etc/machine-id"):
        try:
            parts.append(Path(path).read_text().strip())
            break
        except OSError:
            continue
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return uuid.uuid5(uuid.NAMESPACE_DNS, "|".join(parts)).hex


def _started(pid: int) -> str | None:
    """When the process started, in the system's own count; None where the system does not say or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]
