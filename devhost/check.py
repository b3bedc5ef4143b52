"""`devhost check`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


async def run_check(app_dir: Path, environment: Mapping[str, str], *, as_json: bool, python: str | None) -> int:
    return 2
