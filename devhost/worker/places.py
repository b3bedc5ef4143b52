"""Where in the app's own files something happened, for messages that spare the reader the frames of libraries."""

from __future__ import annotations

import traceback
from pathlib import Path


def describe_places(frames: traceback.StackSummary, app_dir: Path) -> str:
    """The places in the app's own files, outermost first; empty when there are none."""
    own = [frame for frame in frames if _is_app_file(frame.filename, app_dir)]
    return " -> ".join(f"{relative_to_app(frame.filename, app_dir)} line {frame.lineno}" for frame in own)


def _is_app_file(filename: str, app_dir: Path) -> bool:
    path = Path(filename)
    return path.is_relative_to(app_dir) and "site-packages" not in path.parts and path.parent != Path(__file__).parent


def relative_to_app(filename: str, app_dir: Path) -> str:
    """The file as it is called in the app."""
    return str(Path(filename).relative_to(app_dir)) if Path(filename).is_relative_to(app_dir) else filename
