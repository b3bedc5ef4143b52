"""The list of runs: newest first, in pages, and without looking at anything but what is listed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.execution.runs import Runs
from tidemill.model.keys import run_id
from tidemill.model.runs import RunRequest
from tidemill.storage.memory import MemoryStore
from tidemill.testing.faults import Crash, Fault, FaultyStore

AT = datetime(2026, 1, 1, tzinfo=UTC)


def request(run: str) -> RunRequest:
    return RunRequest(run_id=run, selection="*", requested_at=AT)


@settings(max_examples=30)
@given(st.lists(st.from_regex(r"[a-z0-9][a-z0-9\-]{2,12}", fullmatch=True), unique=True, max_size=12), st.integers(1, 5))
def test_runs_come_newest_first_page_by_page(ids: list[str], size: int) -> None:
    runs = Runs(MemoryStore())
    for each in ids:
        runs.create(request(each))
    found: list[str] = []
    while page := runs.recent(size, found[-1] if found else ""):
        found += page
    assert found == sorted(ids, reverse=True)
    assert sorted(runs.every()) == sorted(ids)


def test_listing_costs_one_call_however_much_is_on_record() -> None:
    store = FaultyStore(MemoryStore())
    runs = Runs(store)
    for number in range(300):
        runs.create(request(f"20260101t{number:06d}-00000000"))
        store.inner.create(f"runs/20260101t{number:06d}-00000000/tranches/000000", b"")
    store.calls.clear()
    assert runs.recent(2) == ["20260101t000299-00000000", "20260101t000298-00000000"]
    assert [(call.verb, call.name) for call in store.calls] == [("names", "recent/")]


def test_a_run_that_is_on_record_is_in_the_list_even_if_the_process_died_in_between() -> None:
    store = FaultyStore(MemoryStore(), lambda call: Fault.CRASH_BEFORE if call.name.startswith("runs/") else None)
    with pytest.raises(Crash):
        Runs(store).create(request("20260101t000000-00000000"))
    listed = Runs(store.inner)
    assert listed.recent(5) == ["20260101t000000-00000000"]
    assert list(listed.every()) == []
    listed.create(request("20260101t000000-00000000"))
    assert listed.recent(5) == [run_id("20260101t000000-00000000")] == list(listed.every())
