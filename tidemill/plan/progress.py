"""What comes next in a tranche: the run's state machine.

Pure, and replayed by the durable orchestrator: given the same tranche and the same replies in the same order it takes the same decisions. The
in-process executor drives the very same object. Changing an answer here means a new orchestrator version.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from heapq import heappop, heappush

import msgspec

from tidemill.model.facts import Entry
from tidemill.model.outcomes import Canceled, ErrorInfo, Failed, Skipped, Succeeded, Unchanged, UnitOutcome
from tidemill.plan.plan import PinnedInput, unit_fingerprint
from tidemill.plan.tranche import Tranche, TrancheUnit, UnitWork

BATCH_SECONDS = 0.5
"""Units are coalesced until their expected time reaches this: an activity costs about 10 ms on the real host, so overhead stays near 2 %."""
BATCH_UNITS = 25
INTERRUPTIONS = 5
"""How often a step whose activity broke off without an answer is sent again."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Units of one asset to materialize by one activity."""

    step: str
    attempt: int
    asset: str
    units: tuple[UnitWork, ...]


@dataclass(frozen=True, slots=True)
class Retry:
    """A batch to send again, not before the delay has passed."""

    batch: Batch
    delay: timedelta


class TrancheProgress:
    """Which units of a tranche are ready, open and done."""

    def __init__(self, tranche: Tranche) -> None:
        self.tranche = tranche
        self.outcomes: dict[int, UnitOutcome] = {}
        self._units = {unit.position: unit for unit in tranche.units}
        self._missing = {unit.position: {source.unit for source in unit.inputs} for unit in tranche.units}
        self._readers: dict[int, list[int]] = {}
        for unit in tranche.units:
            for position in sorted(self._missing[unit.position]):
                self._readers.setdefault(position, []).append(unit.position)
        self._ready: list[int] = []
        self._open: set[int] = set()
        self._steps = 0
        self._cost: dict[str, tuple[int, float]] = {}
        for unit in tranche.units:
            if not self._missing[unit.position] and unit.position not in self.outcomes:
                self._arrive(unit)

    @property
    def done(self) -> bool:
        """True once every unit has its outcome."""
        return len(self.outcomes) == len(self._units)

    def take(self, slots: int) -> list[Batch]:
        """The next batches to start, at most `slots`; they count as open from now on.

        Neighbouring ready units of one asset travel together once that asset is known to be quick.
        """
        batches: list[Batch] = []
        while self._ready and len(batches) < slots:
            first = self._units[heappop(self._ready)]
            units = [first]
            room = self._batch_size(first.asset)
            while len(units) < room and self._ready and self._units[self._ready[0]].asset == first.asset:
                units.append(self._units[heappop(self._ready)])
            self._open.update(unit.position for unit in units)
            step = f"{self.tranche.number}.{self._steps}"
            self._steps += 1
            batches.append(Batch(step=step, attempt=1, asset=first.asset, units=tuple(self._work(unit) for unit in units)))
        return batches

    def fold(self, batch: Batch, outcomes: Iterable[UnitOutcome]) -> list[Retry]:
        """Takes in the outcomes of a batch and returns what is to be tried again."""
        retries: list[Retry] = []
        works = {work.position: work for work in batch.units}
        for outcome in outcomes:
            if outcome.unit not in works or outcome.unit in self.outcomes:
                continue
            match outcome:
                case Succeeded():
                    count, seconds = self._cost.get(batch.asset, (0, 0.0))
                    self._cost[batch.asset] = (count + 1, seconds + outcome.seconds)
                    self._settle(msgspec.structs.replace(outcome, attempts=batch.attempt))
                case Failed(error=error):
                    retry = self._retry(batch, works[outcome.unit], error)
                    if retry is None:
                        self._settle(Failed(unit=outcome.unit, error=error, attempts=batch.attempt))
                    else:
                        retries.append(retry)
                case _:
                    self._settle(outcome)
        return retries

    def interrupted(self, batch: Batch, text: str) -> list[Retry]:
        """Takes in that a batch's activity broke off: no outcome is known, so the batch is sent again, a few times."""
        if batch.attempt < INTERRUPTIONS:
            return [Retry(replace(batch, attempt=batch.attempt + 1), timedelta(seconds=2 ** (batch.attempt - 1)))]
        error = ErrorInfo(
            code="activity-interrupted",
            message=f"The activity broke off {batch.attempt} times without an outcome: {first_line(text)}",
            hint="The work is kept up to there; look into the host's log for this step, then run again.",
        )
        for work in batch.units:
            self._settle(Failed(unit=work.position, error=error, attempts=batch.attempt))
        return []

    def cancel(self, abandoned: Iterable[Batch] = ()) -> None:
        """Gives up every unit that is not open, and the abandoned batches: retries that nobody will send."""
        for batch in abandoned:
            self._open.difference_update(work.position for work in batch.units)
        self._ready.clear()
        for position in self._units:
            if position not in self._open:
                self.outcomes.setdefault(position, Canceled(unit=position))

    def _work(self, unit: TrancheUnit) -> UnitWork:
        inputs = self._inputs(unit)
        return UnitWork(unit.position, unit.partition, self._fingerprint(unit, inputs), inputs)

    def _inputs(self, unit: TrancheUnit) -> tuple[PinnedInput, ...]:
        made: list[PinnedInput] = []
        for source in unit.inputs:
            upstream = self._units[source.unit]
            entry = self._entry(source.unit)
            assert entry is not None, "a unit is only asked for its inputs once all of them are there"
            made.append(PinnedInput(source.name, upstream.asset, upstream.partition, entry.data_version, entry.record, source.order))
        return tuple(sorted((*unit.pinned, *made), key=lambda each: each.order))

    def _fingerprint(self, unit: TrancheUnit, inputs: tuple[PinnedInput, ...]) -> str:
        asset = self.tranche.assets[unit.asset]
        return unit_fingerprint(asset, unit.partition, inputs)

    def _entry(self, position: int) -> Entry | None:
        match self.outcomes.get(position):
            case Succeeded(entry=entry) | Unchanged(entry=entry):
                return entry
            case _:
                return None

    def _batch_size(self, asset: str) -> int:
        count, seconds = self._cost.get(asset, (0, 0.0))
        if not count:
            return 1
        return max(1, min(BATCH_UNITS, int(BATCH_SECONDS / max(seconds / count, 0.001))))

    def _retry(self, batch: Batch, work: UnitWork, error: ErrorInfo) -> Retry | None:
        policy = self.tranche.assets[batch.asset].retry
        if policy is None:
            return None
        decision = policy.decision(batch.attempt, error, seed=f"{batch.asset}@{work.partition}")
        if decision.delay is None:
            return None
        step = batch.step if len(batch.units) == 1 else f"{batch.step}.{work.position}"
        return Retry(Batch(step=step, attempt=batch.attempt + 1, asset=batch.asset, units=(work,)), decision.delay)

    def _settle(self, outcome: UnitOutcome) -> None:
        """Writes down an outcome and lets it flow to the units that read this one."""
        flow: list[UnitOutcome] = [outcome]
        while flow:
            settled = flow.pop()
            self.outcomes[settled.unit] = settled
            self._open.discard(settled.unit)
            for position in self._readers.get(settled.unit, ()):
                missing = self._missing[position]
                missing.discard(settled.unit)
                if position in self.outcomes:
                    continue
                match settled:
                    case Failed(unit=source) | Skipped(because=source):
                        flow.append(Skipped(unit=position, because=source))
                    case Canceled():
                        flow.append(Canceled(unit=position))
                    case _ if not missing:
                        self._arrive(self._units[position])

    def _arrive(self, unit: TrancheUnit) -> None:
        """Every input of the unit has its outcome: it is skipped, cut off, or ready."""
        if unit.failed_input >= 0:
            self._settle(Skipped(unit=unit.position, because=unit.failed_input))
            return
        current = unit.current
        if current is not None and not self.tranche.rerun and current.fingerprint == self._fingerprint(unit, self._inputs(unit)):
            self._settle(Unchanged(unit=unit.position, entry=current))
            return
        heappush(self._ready, unit.position)


def first_line(text: str) -> str:
    """The first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
