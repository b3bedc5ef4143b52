"""A copy of this checkout's app whose code and data may be changed as a user would: in files. The end-to-end tests and the pictures of the pages use it."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from pipelines.flights import sources
from tools.bootstrap import ROOT

_COPIED = ("function_app.py", "durable_quick_replay.py", "host.json", "local.settings.json")
_LINKED = ("activities", "orchestrators", "tidemill")
ROWS_A_MONTH = 300
"""A small year: the whole pipeline, all its months, and enough flights in each for every table to hold something."""


class ProjectCopy:
    """The app with pipelines of its own, and a folder with a small year of source files."""

    def __init__(self, folder: Path) -> None:
        self.app = folder / "app"
        self.data = folder / "data"
        self.app.mkdir()
        for name in _COPIED:
            shutil.copy2(ROOT / name, self.app / name)
        for name in _LINKED:
            (self.app / name).symlink_to(ROOT / name, target_is_directory=True)
        shutil.copytree(ROOT / "pipelines" / "flights", self.app / "pipelines" / "flights", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(sources.data_dir(), self.data)
        self._lines = self._small_year()
        self.deliver()

    @property
    def settings(self) -> dict[str, str]:
        """The environment that makes the pipeline read these files."""
        return {"FLIGHTS_DATA_DIR": str(self.data)}

    def edit(self, file: str, old: str, new: str) -> None:
        """Changes one place of a file below `pipelines/flights/`."""
        path = self.app / "pipelines" / "flights" / file
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise ValueError(f"{file} has {text.count(old)} times: {old}")
        path.write_text(text.replace(old, new), encoding="utf-8")

    def deliver(self, *, compression: int = zipfile.ZIP_DEFLATED) -> None:
        """Writes the flights file anew: the same rows, but for late ones."""
        with zipfile.ZipFile(self.data / sources.FLIGHTS.name, "w", compression) as archive:
            archive.writestr(sources.FLIGHTS.shown, "".join(self._lines))

    def deliver_in_another_order(self, month: int) -> None:
        """Writes the flights file with the rows of one month turned round, last to first."""
        places = [at for at, line in enumerate(self._lines) if line.startswith(f"2013,{month},")]
        turned = [self._lines[at] for at in reversed(places)]
        for at, line in zip(places, turned, strict=True):
            self._lines[at] = line
        self.deliver()

    def deliver_late(self, month: int, count: int) -> None:
        """Writes the flights file with more rows of one month, at its end: copies of that month's first flights under other flight numbers."""
        first = [line.split(",") for line in self._lines if line.startswith(f"2013,{month},")][:count]
        number = sources.FLIGHTS.schema.get_field_index("flight")
        self._lines += [",".join([*row[:number], str(9000 + at), *row[number + 1 :]]) for at, row in enumerate(first)]
        self.deliver()

    def take_back(self, count: int) -> None:
        """Writes the flights file without its last rows."""
        del self._lines[-count:]
        self.deliver()

    def _small_year(self) -> list[str]:
        seen: dict[str, int] = {}
        kept: list[str] = []
        with zipfile.ZipFile(self.data / sources.FLIGHTS.name) as archive:
            header, *lines = archive.read(sources.FLIGHTS.shown).decode().splitlines(keepends=True)
        for line in lines:
            month = line.split(",", 2)[1]
            seen[month] = seen.get(month, 0) + 1
            if seen[month] <= ROWS_A_MONTH:
                kept.append(line)
        return [header, *kept]
