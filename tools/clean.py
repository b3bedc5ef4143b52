"""`make clean`: remove what set-up and runs put into the checkout. Never while a stack runs in it: its store would be torn away under it.

Standard library only, so that it works without the environment it removes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (".tidemill", ".venv", "tools/azurite/node_modules", "dist", "site")
CACHES = (".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".import_linter_cache")


def main() -> int:
    """Clean the checkout this file is in. Returns 1, having removed nothing, when a stack runs in it."""
    if _is_running(ROOT / ".tidemill" / "stack.lock"):
        print("Tidemill runs in this checkout. Stop it first (Ctrl-C where `make run` is), then clean.", file=sys.stderr)
        return 1
    for path in _rubbish(ROOT):
        shutil.rmtree(path, ignore_errors=True)
    print("Removed state, environment, Azurite and caches. `make run` sets everything up again.")
    return 0


def _rubbish(root: Path) -> Iterator[Path]:
    yield from (root / name for name in (*FOLDERS, *CACHES))
    for folder, names, _ in os.walk(root):
        names[:] = [name for name in names if name not in {".git", ".venv", "node_modules"}]
        if "__pycache__" in names:
            yield Path(folder) / "__pycache__"


def _is_running(lock_file: Path) -> bool:
    if not lock_file.exists():
        return False
    with lock_file.open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
