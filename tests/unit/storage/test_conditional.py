"""Conditional writes under every fault there is: the answer is right, or it is "unknown"; it is never wrong."""

from __future__ import annotations

from itertools import product

import pytest

from tidemill.errors import StoreUnavailable
from tidemill.storage.conditional import put_once
from tidemill.storage.memory import MemoryStore
from tidemill.testing.faults import Crash, Fault, FaultyStore, at

PASSING = [None, Fault.FAIL_BEFORE, Fault.FAIL_AFTER, Fault.REPEATED]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.storage.conditional.time.sleep", lambda _: None)


@pytest.mark.parametrize("faults", list(product(PASSING, repeat=3)))
@pytest.mark.parametrize("before", [None, b"ours", b"theirs"])
def test_the_answer_is_right_whatever_three_calls_meet(faults: tuple[Fault | None, ...], before: bytes | None) -> None:
    inner = MemoryStore()
    if before is not None:
        inner.create("log/1", before)
    store = FaultyStore(inner, at({number: fault for number, fault in enumerate(faults) if fault}))
    assert put_once(store, "log/1", b"ours") == (before != b"theirs")
    assert inner.get("log/1").data == (before or b"ours")  # type: ignore[union-attr]


def test_a_lost_reply_is_success() -> None:
    store = FaultyStore(MemoryStore(), at({0: Fault.REPEATED}))
    assert put_once(store, "log/1", b"ours")
    assert [fault for _, fault in store.met] == [Fault.REPEATED]


def test_a_store_that_never_answers_leaves_the_outcome_unknown() -> None:
    inner = MemoryStore()
    store = FaultyStore(inner, lambda call: Fault.FAIL_AFTER if call.verb == "create" else Fault.FAIL_BEFORE)
    with pytest.raises(StoreUnavailable, match="Whether `log/1` was written is unknown"):
        put_once(store, "log/1", b"ours")
    assert inner.get("log/1") is not None  # it was, and nothing cleaned it up
    assert put_once(inner, "log/1", b"ours")


def test_it_gives_up_after_a_few_tries() -> None:
    store = FaultyStore(MemoryStore(), lambda _: Fault.FAIL_BEFORE)
    with pytest.raises(StoreUnavailable):
        put_once(store, "log/1", b"ours")
    assert len(store.calls) == 10


@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER])
def test_after_a_crash_the_next_process_gets_the_answer(fault: Fault) -> None:
    inner = MemoryStore()
    with pytest.raises(Crash):
        put_once(FaultyStore(inner, at({0: fault})), "log/1", b"ours")
    assert put_once(inner, "log/1", b"ours")
    assert not put_once(inner, "log/1", b"theirs")
