"""Garbage collection against a model: whatever is reachable is there, always; whatever is not goes in the end."""

from __future__ import annotations

import os
from datetime import timedelta

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.unit.catalog.world import NOON, materialize, unit
from tidemill.catalog import Catalog
from tidemill.catalog import tree as tree_module
from tidemill.catalog.gc import collect
from tidemill.catalog.verify import verify
from tidemill.errors import CatalogConflict, NotFound, PlanError, StoreUnavailable
from tidemill.model.facts import Entry, Materialization
from tidemill.model.versions import canonical
from tidemill.storage.conditional import put_once
from tidemill.storage.guard import object_name
from tidemill.storage.memory import MemoryStore
from tidemill.storage.objects import Objects
from tidemill.testing.faults import Call, Crash, Fault, FaultyStore

DEPTH = 20 if os.environ.get("TIDEMILL_TEST_FULL") else 1
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking takes minutes; the seed is enough to do it by hand
GRACE = timedelta(days=1)
names = st.sampled_from(["a@1", "a@2", "b"])
values = st.lists(st.integers(0, 2), max_size=2)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.storage.conditional.time.sleep", lambda _: None)
    monkeypatch.setattr(tree_module, "RANK_BITS", 1)


class Garbage(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.now = NOON
        self.runs = 0
        self.made: list[tuple[str, Entry]] = []
        """Results of runs that have not committed; a run under way may still commit them."""

    @rule(name=names, rows=values, commit=st.booleans())
    def work(self, name: str, rows: list[int], commit: bool) -> None:
        """A unit is materialized, as the activity does it; sometimes the run commits, sometimes it dies."""
        try:
            entry = self._materialize(name, rows)
        except StoreUnavailable:
            return
        if commit:
            self._commit(name, entry, self.store)
        else:
            self.made.append((name, entry))

    @rule(pick=st.integers(0, 9))
    def commit_later(self, pick: int) -> None:
        if self.made:
            name, entry = self.made.pop(pick % len(self.made))
            self._commit(name, entry, self.store)

    @rule(back=st.integers(1, 3))
    def roll_back(self, back: int) -> None:
        catalog = Catalog(self.store)
        number = catalog.head().number
        if number > back:
            catalog.rollback(number - back, author="a", reason="r", at=self.now)

    @rule(action=st.sampled_from(["create", "merge", "delete", "commit"]), name=names, rows=values)
    def branch(self, action: str, name: str, rows: list[int]) -> None:
        catalog = Catalog(self.store)
        try:
            if action == "create":
                catalog.create_branch("side", author="a", reason="r", at=self.now)
            elif action == "merge":
                catalog.merge("side", author="a", reason="r", at=self.now)
            elif action == "delete":
                catalog.delete_branch("side", author="a", reason="r", at=self.now)
            else:
                self._commit(name, self._materialize(name, rows), self.store, branch="side")
        except (PlanError, NotFound, CatalogConflict, StoreUnavailable):
            pass

    @rule(hours=st.sampled_from([1, 20, 30]))
    def wait(self, hours: int) -> None:
        """Time passes; a run that is older than the grace period is over."""
        self.now += timedelta(hours=hours)
        if timedelta(hours=hours) > GRACE:
            self.made.clear()

    @rule(moment=st.integers(0, 60), name=names, rows=values, fault=st.none() | st.sampled_from(list(Fault)))
    def collect_while_somebody_works(self, moment: int, name: str, rows: list[int], fault: Fault | None) -> None:
        """At one call of the collector, a run finds or makes a unit and commits it; and the collector may die or be refused there."""

        def script(call: Call) -> Fault | None:
            if call.number != moment:
                return None
            if rows and rows[0] == 0 and self.made:
                name_, entry = self.made.pop()
                self._commit(name_, entry, self.store)
            else:
                try:
                    entry = self._materialize(name, rows)
                    self._commit(name, entry, self.store)
                except StoreUnavailable:
                    pass
            return fault

        try:
            found = collect(FaultyStore(self.store, script), now=self.now, extra=(), grace=GRACE)
        except (StoreUnavailable, Crash):
            return
        for sha256 in found.deleted:
            assert sha256 not in found.condemned

    @invariant()
    def all_that_is_reachable_is_there(self) -> None:
        assert verify(self.store, rows=True).problem is None

    @invariant()
    def nothing_is_offered_for_reuse_that_is_gone(self) -> None:
        for name in self.store.names("fingerprints/"):
            entry = self._claim(name)
            if entry is not None and self.store.get(object_name(entry.record)) is not None:
                record = Catalog(self.store).record(entry.record)
                assert isinstance(record, Materialization)

    def teardown(self) -> None:
        for _ in range(3):
            self.now += 2 * GRACE
            collect(self.store, now=self.now, extra=(), grace=GRACE)
        dry = collect(self.store, now=self.now, extra=(), grace=GRACE, dry_run=True)
        listed = {name.rpartition("/")[2] for name in self.store.names("objects/")}
        assert len(listed) - dry.reachable <= 2, "garbage stayed (all but the collector's own latest lists)"
        assert verify(self.store, rows=True).problem is None

    def _materialize(self, name: str, rows: list[int]) -> Entry:
        objects = Objects(self.store)
        entry = materialize(objects, name, rows)
        claim = f"fingerprints/{entry.fingerprint[:2]}/{entry.fingerprint}"
        if not put_once(self.store, claim, canonical(entry)):
            return self._claim(claim) or entry
        return entry

    def _claim(self, name: str) -> Entry | None:
        blob = self.store.get(name)
        return None if blob is None else msgspec.json.decode(blob.data, type=Entry)

    def _commit(self, name: str, entry: Entry, store: MemoryStore, branch: str = "main") -> None:
        catalog = Catalog(store, branch=branch)
        self.runs += 1
        try:
            catalog.commit({unit(name): entry}, base=catalog.head().number, run_id=f"run-{self.runs}", author="a", reason="r", at=self.now)
        except CatalogConflict as conflict:
            if "garbage" not in str(conflict):
                raise


@pytest.mark.timeout(120 * DEPTH)
def test_garbage_goes_and_nothing_else() -> None:
    Garbage.TestCase.settings = settings(max_examples=25 * DEPTH, stateful_step_count=30, deadline=None, phases=PHASES)
    Garbage.TestCase("runTest").runTest()
