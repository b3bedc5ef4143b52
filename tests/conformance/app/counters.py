"""Counts and marks in files, so that they outlive a worker and are the same in all of them."""

import os
import pathlib
import time
import urllib.parse

_FOLDER = pathlib.Path(os.environ.get("SCENARIO_COUNTS", "counts"))


def _file(name):  # noqa: ANN001, ANN202
    _FOLDER.mkdir(parents=True, exist_ok=True)
    return _FOLDER / urllib.parse.quote(name, safe="")


def bump(key: str) -> int:
    """One more; gives the new count."""
    number = 0
    while True:
        number += 1
        try:
            _file(f"{key}.{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return number


def count(key: str) -> int:
    number = 0
    while _file(f"{key}.{number + 1}").exists():
        number += 1
    return number


def set_mark(name: str) -> None:
    _file(f"mark {name}").touch()


def wait_for_mark(name: str, *, seconds: float) -> bool:
    deadline = time.time() + seconds
    while not _file(f"mark {name}").exists():
        if time.time() > deadline:
            return False
        time.sleep(0.02)
    return True
