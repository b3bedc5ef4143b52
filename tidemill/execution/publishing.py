"""Publishing: which of a run's results go into the catalog with which commit.

Groups that are published once a run wait for its end (`finish`). The others are published here. *Units* go out one by one, each by the activity that made it, if
all that it was made from can be read by then. Whenever a tranche has been recorded, the *window* goes out, which is what the tranche made of the groups that
ask for that, if all of it succeeded; and before it the units that are still in hand. A window that is not whole is held back, and so is every window after it,
since those may have been made from it.

Everything can be done again: each commit has a name of its own in the log (its *part*), and what came of a tranche is put on record once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tidemill.catalog.catalog import Committed
from tidemill.definitions.groups import Granularity
from tidemill.errors import CatalogConflict, NotFound, NotTrusted, RunFenced
from tidemill.execution.runs import PublishedRecord
from tidemill.execution.runtime import Runtime
from tidemill.model.facts import Entry
from tidemill.model.keys import AssetKey, PartitionKey, RunId, UnitKey
from tidemill.model.outcomes import ErrorInfo, Succeeded, Unchanged, UnitOutcome
from tidemill.model.runs import RunCommit, RunRequest
from tidemill.plan.plan import PinnedInput, PlannedAsset, PlannedUnit
from tidemill.plan.stored import PlanHead
from tidemill.plan.tranche import UnitWork

log = logging.getLogger("tidemill.publish")

REFUSALS = (RunFenced, CatalogConflict, NotFound, NotTrusted)
"""What may keep a commit out for good. Not found: the branch was deleted meanwhile."""


class Share(NamedTuple):
    """What is published with one commit."""

    changes: dict[UnitKey, Entry | None]
    expected: dict[UnitKey, Entry | None]
    """What the catalog must still hold for the commit to stand: the entries that are replaced."""


def share(assets: Sequence[PlannedAsset], units: Iterable[tuple[int, PlannedUnit]], outcomes: Mapping[int, UnitOutcome]) -> Share:
    """The versions that some units of a plan got, made by the run or taken over.

    Args:
        assets: the plan's.
        units: with their positions.
        outcomes: by position.
    """
    found = Share({}, {})
    for position, unit in units:
        outcome = outcomes.get(position)
        entry = outcome.entry if isinstance(outcome, Succeeded) else unit.reuses
        if entry is not None:
            key = UnitKey(AssetKey(assets[unit.asset].key), PartitionKey(unit.partition))
            found.changes[key], found.expected[key] = entry, unit.current
    return found


def observed(observations: Iterable[PinnedInput]) -> dict[UnitKey, Entry | None]:
    """Observations of external units as changes of the catalog."""
    return {
        UnitKey(AssetKey(seen.asset), PartitionKey(seen.partition)): Entry(record=seen.record, data_version=seen.data_version)
        for seen in observations
    }


def publishes_early(assets: Iterable[PlannedAsset]) -> bool:
    """Whether anything of a plan is published before the end of the run."""
    return any(asset.commit != Granularity.RUN for asset in assets)


def publish_tranche(runtime: Runtime, run: RunId, plan: str, number: int) -> PublishedRecord | None:
    """Publishes what a recorded tranche made of groups that do not wait for the end of the run; None if there is no such tranche or group. Idempotent.

    Args:
        runtime: where.
        run: whose.
        plan: its plan's id.
        number: of the tranche; those before it have been published.

    Raises:
        StoreUnavailable: the outcome is unknown; call again.
    """
    head = runtime.plans.head(plan)
    if not head.starts or not publishes_early(head.assets):
        return None
    done = runtime.runs.published(run, number)
    if done is not None:
        return done
    before = runtime.runs.published(run, number - 1) if number else PublishedRecord(seen=head.base)
    assert before is not None, "tranches are published in order"
    publisher = _Publisher(runtime, runtime.runs.request(run), head, before)
    first = head.starts[number] if number else 0
    end = head.starts[number + 1] if number + 1 < len(head.starts) else head.total
    return runtime.runs.record_published(
        run, number, publisher.publish(number, runtime.plans.units(plan, first, end), runtime.runs.outcomes(run, [number]))
    )


def publish_unit(runtime: Runtime, run: RunId, work: UnitWork, outcome: Succeeded) -> None:
    """Publishes a unit that was just made, of a group that is published unit by unit. Idempotent.

    It waits for its tranche to be recorded if something that it was made from is not published yet, such as an earlier result that the run takes over, or if
    it is refused: then that will be refused too, and say so.

    Raises:
        StoreUnavailable: the outcome is unknown; call again.
    """
    planned = runtime.runs.plan(run)
    assert planned is not None, "a run is planned before it makes anything"
    request, head = runtime.runs.request(run), runtime.plans.head(planned.plan)
    catalog = runtime.catalog_on(request.branch)
    made_here = {asset.key for asset in head.assets}
    try:
        view = catalog.view()
        held = [view.entry(UnitKey(AssetKey(each.asset), PartitionKey(each.partition))) for each in work.inputs if each.asset in made_here]
        if [entry and entry.record for entry in held] != [each.record for each in work.inputs if each.asset in made_here]:
            return
        publisher = _Publisher(runtime, request, head, PublishedRecord(seen=head.base))
        publisher.commit(
            unit_part(work.position), runtime.plans.units(planned.plan, work.position, work.position + 1), {work.position: outcome}
        )
    except REFUSALS as refused:
        log.info("Unit %d of run %s is not published yet: %s", work.position, run, refused)


def unit_part(position: int) -> str:
    """The part of a run that is one unit."""
    return f"unit-{position:06d}"


def refusal(error: RunFenced | CatalogConflict | NotFound | NotTrusted) -> ErrorInfo:
    """A refused commit, for the run's result."""
    return ErrorInfo(code=error.code, message=error.message, hint=error.hint)


class _Publisher:
    """Publishes one tranche."""

    def __init__(self, runtime: Runtime, request: RunRequest, head: PlanHead, before: PublishedRecord) -> None:
        self._runtime = runtime
        self._catalog = runtime.catalog_on(request.branch)
        self._request = request
        self._head = head
        self._observations = {(each.asset, each.partition): each for each in head.observations}
        self._whole = before.whole
        self._seen = before.seen
        """Up to this log entry nothing stands in the run's way, and none of these parts is there."""
        self._commits: list[RunCommit] = []

    def publish(self, number: int, units: Sequence[tuple[int, PlannedUnit]], outcomes: Mapping[int, UnitOutcome]) -> PublishedRecord:
        """Publishes what has not been, and tells of what has."""
        error: ErrorInfo | None = None
        try:
            done = self._catalog.commits_of(self._request.run_id, after=self._seen)
            parts = dict(self._parts(number, units, outcomes))
            for part in parts.keys() & done.keys():
                self._note(part, done[part])
            for part, members in parts.items():
                if part not in done:
                    self.commit(part, members, outcomes)
        except REFUSALS as refused:
            error = refusal(refused)
        commits = sorted(self._commits, key=lambda each: each.number)
        return PublishedRecord(
            commits=tuple(commits), seen=max([self._seen, *(each.number for each in commits)]), whole=self._whole, error=error
        )

    def _parts(
        self, number: int, units: Sequence[tuple[int, PlannedUnit]], outcomes: Mapping[int, UnitOutcome]
    ) -> Iterator[tuple[str, list[tuple[int, PlannedUnit]]]]:
        """The commits to make, by part. Units come before the window, which may read them."""
        granularity = [asset.commit for asset in self._head.assets]
        for position, unit in units:
            if granularity[unit.asset] == Granularity.UNIT:
                yield unit_part(position), [(position, unit)]
        window = [(position, unit) for position, unit in units if granularity[unit.asset] == Granularity.WINDOW]
        self._whole &= all(isinstance(outcomes.get(position), Succeeded | Unchanged) for position, unit in window if unit.action.executes)
        if window and self._whole:
            yield f"window-{number:06d}", window

    def commit(self, part: str, members: Sequence[tuple[int, PlannedUnit]], outcomes: Mapping[int, UnitOutcome]) -> None:
        """Publishes one part.

        Raises:
            One of `REFUSALS`.
        """
        changes, expected = share(self._head.assets, members, outcomes)
        if not changes:
            return
        read = {(each.asset, each.partition) for _, unit in members for each in unit.pinned}
        seen = observed(self._observations[each] for each in sorted(read & self._observations.keys()))
        done = self._catalog.commit(
            changes | seen,
            base=self._head.base,
            expected=expected,
            run_id=self._request.run_id,
            author=self._request.author,
            reason=self._request.reason,
            at=self._runtime.now(),
            part=part,
            seen=self._seen,
        )
        self._note(part, done)

    def _note(self, part: str, done: Committed) -> None:
        if done.changed:
            self._commits.append(RunCommit(number=done.number, snapshot=done.snapshot, changed=done.changed, part=part))
