"""Notices changes of an app's sources by looking at them twice a second."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

_INTERVAL_SECONDS = 0.5
_SETTINGS = ("host.json", "local.settings.json")
_SKIPPED = {"__pycache__", "node_modules", "site-packages", "venv", "env"}

Stamp = tuple[int, int]


def source_stamps(app_dir: Path) -> dict[str, Stamp]:
    """Modification time and size of every `.py` file and settings file, by path relative to the app.

    Hidden folders, packages of others and virtual environments are left out.
    """
    stamps = {name: stamp for name in _SETTINGS if (stamp := _stamp(app_dir / name)) is not None}
    folders = [app_dir]
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:  # gone since it was listed
            continue
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith(".") and entry.name not in _SKIPPED:
                    folders.append(Path(entry.path))
            elif entry.name.endswith(".py") and (stamp := _stamp(Path(entry.path))) is not None:
                stamps[os.path.relpath(entry.path, app_dir)] = stamp
    return stamps


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


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
