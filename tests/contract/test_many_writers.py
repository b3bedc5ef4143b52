"""Many processes commit to one branch at once: nothing is lost, nothing is torn, and every conflict is noticed.

TIDEMILL_TEST_FULL=1 runs it at full size: 8 processes with 100 commits each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.contract import committer
from tidemill.catalog import Catalog
from tidemill.catalog.diff import diff
from tidemill.model.keys import unit_key
from tidemill.model.versions import digest
from tidemill.storage import open_store

WRITERS, COMMITS = (8, 100) if os.environ.get("TIDEMILL_TEST_FULL") else (4, 10)
ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(900)
def test_no_commit_is_lost_or_torn(shared: tuple[str, str]) -> None:
    address, container = shared
    catalog = Catalog(open_store(address, container=container))
    command = [sys.executable, str(Path(committer.__file__)), address, container]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [
        subprocess.Popen([*command, str(number), str(COMMITS)], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for number in range(WRITERS)
    ]
    for each in writers:
        assert each.stdout is not None
        assert each.stdout.readline() == b"ready\n"
    for each in writers:
        assert each.stdin is not None
        each.stdin.write(b"\n")
        each.stdin.flush()
    seen: list[int] = []
    while any(writer.poll() is None for writer in writers):  # a reader meanwhile: every state it sees is whole
        view = catalog.view()
        entries = view.all_entries()
        assert len(entries) - (unit_key("contested") in entries) == view.number  # each commit adds one unit of its own
        seen.append(view.number)
        time.sleep(0.02)
    outputs = [writer.communicate()[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * WRITERS
    assert seen == sorted(seen)

    head = catalog.head()
    assert head.number == WRITERS * COMMITS
    runs = [catalog.position(number).snapshot.run_id for number in range(1, head.number + 1)]  # type: ignore[union-attr]
    assert sorted(runs) == sorted(f"run-{writer}-{number}" for writer in range(WRITERS) for number in range(COMMITS))
    for number in range(1, head.number + 1):  # each entry changed exactly what its run changed
        place = catalog.position(number)
        assert place.snapshot is not None
        writer, _, commit = place.snapshot.run_id.removeprefix("run-").partition("-")
        changed = diff(catalog.nodes, catalog.position(number - 1).root, place.root)
        own, fought_for = unit_key(f"own.writer_{writer}@{int(commit):04d}"), unit_key("contested")
        assert {change.unit for change in changed} == ({own, fought_for} if int(commit) % 5 == 0 else {own})
        assert {change.after.data_version for change in changed if change.after} == {digest(place.snapshot.run_id.encode())}
    assert sum(map(int, outputs)) >= WRITERS - 1, "nobody met anybody: the test did not test"
