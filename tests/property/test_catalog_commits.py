"""Commits against a sequential model: races, lost replies, 5xx and crashes anywhere, and the log still tells one consistent story."""

from __future__ import annotations

import os
from typing import NamedTuple

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.unit.catalog.world import minute
from tidemill.catalog import Catalog
from tidemill.catalog import tree as tree_module
from tidemill.catalog.verify import verify
from tidemill.errors import CatalogConflict, RunFenced, StoreUnavailable
from tidemill.model.facts import Entry, Observation
from tidemill.model.keys import AssetKey, PartitionKey, UnitKey
from tidemill.model.versions import canonical, digest
from tidemill.storage.base import BlobStore
from tidemill.storage.memory import MemoryStore
from tidemill.storage.objects import Objects
from tidemill.testing.faults import Call, Crash, Fault, FaultyStore, at

DEPTH = 20 if os.environ.get("TIDEMILL_TEST_FULL") else 1
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking takes minutes; the seed is enough to do it by hand

Changes = dict[UnitKey, Entry | None]

units = st.integers(0, 7).map(lambda number: UnitKey(AssetKey("a"), PartitionKey(str(number))))
changes = st.dictionaries(units, st.none() | st.integers(0, 2), min_size=1, max_size=4)
faults = st.dictionaries(st.integers(0, 14), st.sampled_from(list(Fault)), max_size=3)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.storage.conditional.time.sleep", lambda _: None)
    monkeypatch.setattr(tree_module, "RANK_BITS", 1)


def seen(unit: UnitKey, value: int) -> tuple[bytes, Entry]:
    """An observation of a unit, and the entry that refers to it."""
    version = digest(bytes([value]))
    record = canonical(Observation(asset=unit.asset, partition=unit.partition, data_version=version))
    return record, Entry(digest(record), version)


class Run(NamedTuple):
    base: int
    changes: Changes


def commit(store: BlobStore, name: str, run: Run) -> int:
    return Catalog(store).commit(run.changes, base=run.base, run_id=name, author=f"author of {name}", reason="r", at=minute(0)).number


class Story:
    """What the log says, read without faults, checked against what every run wanted."""

    def __init__(self, store: BlobStore, runs: dict[str, Run]) -> None:
        catalog = Catalog(store)
        self.states: list[dict[UnitKey, Entry]] = [{}]
        self.committed: dict[str, int] = {}
        self.fenced: dict[str, int] = {}
        for number in range(1, catalog.head().number + 1):
            snapshot = catalog.position(number).snapshot
            assert snapshot is not None
            state = dict(self.states[-1])
            if snapshot.kind == "fence":
                self.fenced.setdefault(snapshot.run_id, number)
            else:
                name, run = snapshot.run_id, runs[snapshot.run_id]
                assert name not in self.committed, "a run committed twice"
                assert not run.base < self.fenced.get(name, 0) < number, "a fenced run committed"
                assert run.base < number
                for unit, entry in run.changes.items():
                    assert state.get(unit) in (self.states[run.base].get(unit), entry), "a commit went over somebody else's"
                    if entry is None:
                        state.pop(unit, None)
                    else:
                        state[unit] = entry
                self.committed[name] = number
            assert dict(catalog.view(number).all_entries()) == state
            self.states.append(state)

    def conflicts(self, run: Run) -> bool:
        now, base = self.states[-1], self.states[run.base]
        return any(now.get(unit) not in (base.get(unit), entry) for unit, entry in run.changes.items())

    def was_done(self, run: Run, number: int) -> bool:
        return all(self.states[number].get(unit) == entry for unit, entry in run.changes.items())


class Commits(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.runs: dict[str, Run] = {}

    @rule(wanted=changes)
    def plan(self, wanted: dict[UnitKey, int | None]) -> None:
        made = {unit: None if value is None else seen(unit, value) for unit, value in wanted.items()}
        Objects(self.store).put_many(record for record, _ in filter(None, made.values()))
        self.runs[f"run-{len(self.runs)}"] = Run(Catalog(self.store).head().number, {unit: each and each[1] for unit, each in made.items()})

    @rule(pick=st.integers(0, 99), injected=faults)
    def try_to_commit(self, pick: int, injected: dict[int, Fault]) -> None:
        if self.runs:
            name = list(self.runs)[pick % len(self.runs)]
            self._commit(name, FaultyStore(self.store, at(injected)))

    @rule(pick=st.integers(0, 99), other=st.integers(0, 99), moment=st.integers(0, 14), fence=st.booleans(), injected=faults)
    def try_to_commit_while_somebody_else_does(self, pick: int, other: int, moment: int, fence: bool, injected: dict[int, Fault]) -> None:
        """At one storage call of a commit, another process commits, or fences this run."""
        if not self.runs:
            return
        name, rival = list(self.runs)[pick % len(self.runs)], list(self.runs)[other % len(self.runs)]

        def script(call: Call) -> Fault | None:
            if call.number == moment:
                if fence:
                    Catalog(self.store).fence(name, author="f", reason="stop", at=minute(0))
                else:
                    self._commit(rival, self.store)
            return injected.get(call.number)

        self._commit(name, FaultyStore(self.store, script))

    @rule(pick=st.integers(0, 99), injected=faults)
    def fence(self, pick: int, injected: dict[int, Fault]) -> None:
        if self.runs:
            name = list(self.runs)[pick % len(self.runs)]
            try:
                Catalog(FaultyStore(self.store, at(injected))).fence(name, author="f", reason="stop", at=minute(0))
            except (StoreUnavailable, Crash):
                return
            assert name in Story(self.store, self.runs).fenced

    @rule(number=st.integers(0, 30))
    def damage_the_hint(self, number: int) -> None:
        blob = self.store.get("refs/main")
        if blob is not None:
            self.store.replace("refs/main", b'{"type":"ref/1","entry":"%s","number":%d}' % (b"0" * 64, number), blob.etag)

    def _commit(self, name: str, store: BlobStore) -> None:
        run = self.runs[name]
        try:
            number = commit(store, name, run)
        except (StoreUnavailable, Crash):
            return  # unknown: the story must be consistent either way
        except CatalogConflict:
            story = Story(self.store, self.runs)
            assert name not in story.committed
            assert story.conflicts(run)
        except RunFenced:
            story = Story(self.store, self.runs)
            assert run.base < story.fenced[name]
            assert name not in story.committed
        else:
            story = Story(self.store, self.runs)
            assert story.committed.get(name, number) == number
            # A commit that changes nothing is no entry; it tells the place at which everything was as it should be.
            assert name in story.committed or story.was_done(run, number)

    @invariant()
    def the_log_tells_one_story(self) -> None:
        Story(self.store, self.runs)

    def teardown(self) -> None:
        for name in self.runs:  # the faults are over: now every run gets an answer, and the same one twice
            self._commit(name, self.store)
            self._commit(name, self.store)
        entries = Catalog(self.store).head().number
        found = verify(self.store)
        assert found.problem is None
        assert found.entries == entries


@pytest.mark.timeout(120 * DEPTH)
def test_commits_follow_the_sequential_model() -> None:
    Commits.TestCase.settings = settings(max_examples=60 * DEPTH, stateful_step_count=20, deadline=None, phases=PHASES)
    Commits.TestCase("runTest").runTest()
