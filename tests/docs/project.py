"""A project in a temporary folder, in which the examples of a page are run as a reader would run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from tests.docs import quick_tidemill
from tests.docs.markdown import Block
from tools.bootstrap import ROOT

needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None, reason="there is no `curl` on the PATH; install it to run the examples that use it"
)

_RUN_ID = re.compile(r"\b\d{8}t\d{6}-[0-9a-f]{8}\b")
_FRAME = re.compile(r"[│╭╮╰╯─•]+")


class Project:
    """A folder with the pipelines of this checkout, and a shell that finds `tidemill` in it."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder / "project"
        programs = folder / "bin"
        programs.mkdir()
        (self.folder / "pipelines").mkdir(parents=True)
        (self.folder / "pipelines" / "flights").symlink_to(ROOT / "pipelines" / "flights", target_is_directory=True)
        tidemill = programs / "tidemill"
        tidemill.write_text(f'#!/bin/sh\nexec {quick_tidemill.command()} "$@"\n')
        tidemill.chmod(0o755)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("TIDEMILL_", "AzureWebJobs"))}
        self.run_id = ""
        """The run that was last spoken of: what the word `RUN` in a command stands for."""
        self.environment = inherited | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "200",
            "NO_COLOR": "1",
            **(settings or {}),
        }

    def follow(self, blocks: Iterable[Block]) -> int:
        """Does what the marked blocks say, one after the other; how many commands that were."""
        count = 0
        for block in blocks:
            if "file" in block.options:
                path = self.folder / block.options["file"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")
            elif "run" in block.words:
                count += len(block.steps)
                for number, (command, expected) in enumerate(block.steps, start=1):
                    last = number == len(block.steps)
                    self._run(block, command, expected, int(block.options.get("exit", "0")) if last else 0)
        return count

    def _run(self, block: Block, command: str, expected: list[str], code: int) -> None:
        command = re.sub(r"\bRUN\b", self.run_id, command)
        done = subprocess.run(
            ["sh", "-c", command], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=100
        )
        said = f"{block.place}: {command}\n{done.stdout}{done.stderr}"
        assert done.returncode == code, f"exit code {done.returncode} instead of {code}\n{said}"
        seen = _RUN_ID.search(done.stdout)
        self.run_id = seen.group() if seen else self.run_id
        lines = iter([plain(line) for line in f"{done.stdout}\n{done.stderr}".splitlines()])
        for line in expected:
            wanted = re.compile(re.escape(re.sub(r"\bRUN\b", self.run_id, plain(line))).replace("…", ".*"))
            assert any(wanted.fullmatch(each) for each in lines), f"the page promises this line, in this place:\n{line}\n{said}"


def plain(line: str) -> str:
    """A line without the frames and widths of a terminal."""
    return " ".join(_FRAME.sub(" ", line).split())
