"""Notices changes of an app's sources by looking at them twice a second."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

_INTERVAL_SECONDS = 0.5
_SETTINGS = {"host.json", "local.settings.json"}
_SKIPPED = {"__pycache__", "node_modules", "site-packages", "venv", "env"}

Stamp = tuple[int, int]


def source_stamps(app_dir: Path) -> dict[str, Stamp]:
    """Modification time and size of every `.py` file and settings file, by path relative to the app; hidden folders and environments are skipped."""
    stamps: dict[str, Stamp] = {}
    for folder, folders, files in os.walk(app_dir):
        folders[:] = [f for f in folders if not f.startswith(".") and f not in _SKIPPED and not os.path.exists(os.path.join(folder, f, "pyvenv.cfg"))]
        is_root = folder == str(app_dir)
        for name in files:
            if name.endswith(".py") or is_root and name in _SETTINGS:
                path = os.path.join(folder, name)
                try:
                    status = os.stat(path)
                except FileNotFoundError:
                    continue
                stamps[os.path.relpath(path, app_dir)] = (status.st_mtime_ns, status.st_size)
    return stamps


async def changes(app_dir: Path) -> AsyncIterator[list[str]]:
    """Yields the files that changed, appeared or went, once nothing has changed any more for one look."""
    known = await asyncio.to_thread(source_stamps, app_dir)
    while True:
        await asyncio.sleep(_INTERVAL_SECONDS)
        now = await asyncio.to_thread(source_stamps, app_dir)
        if now == known:
            continue
        while (later := await _look_again(app_dir)) != now:
            now = later
        changed = sorted(name for name in known.keys() | now.keys() if known.get(name) != now.get(name))
        known = now
        if changed:
            yield changed


async def _look_again(app_dir: Path) -> dict[str, Stamp]:
    await asyncio.sleep(_INTERVAL_SECONDS / 2)
    return await asyncio.to_thread(source_stamps, app_dir)
