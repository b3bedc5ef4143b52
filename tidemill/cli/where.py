"""Where things are: the project, the app, the local store. Options win over the environment, the environment over what lies in the project."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

STACK_FILE = Path(".tidemill") / "stack.json"
"""Written by the running local stack: `{"url": …}`."""

LOCAL_STORE = Path(".tidemill") / "local"
USUAL_URL = "http://127.0.0.1:7071"


def find_project(start: Path, given: str = "") -> Path:
    """The project's folder: the one given, else the nearest one upwards that holds `pipelines/`, else `start`."""
    if given:
        return Path(given).resolve()
    start = start.resolve()
    return next((folder for folder in (start, *start.parents) if (folder / "pipelines").is_dir()), start)


def app_url(given: str, environment: Mapping[str, str], project: Path) -> str:
    """The app's address, without a trailing slash or `/api`."""
    url = given or environment.get("TIDEMILL_URL", "") or _running_stack(project / STACK_FILE) or USUAL_URL
    if "://" not in url:
        url = f"http://{url}"
    return url.rstrip("/").removesuffix("/api").rstrip("/")


def store_address(given: str, environment: Mapping[str, str], project: Path) -> str:
    """Where the local commands read and write: an address as `TIDEMILL_STORAGE` takes it."""
    return given or environment.get("TIDEMILL_STORAGE", "") or str(project / LOCAL_STORE)


def _running_stack(file: Path) -> str:
    """The address in the stack's file; empty if there is none that can be read."""
    try:
        found = msgspec.json.decode(file.read_bytes())
    except (OSError, msgspec.DecodeError):
        return ""
    url = found.get("url", "") if isinstance(found, dict) else ""
    return url if isinstance(url, str) else ""
