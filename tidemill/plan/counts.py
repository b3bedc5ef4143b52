"""Progress of a run in numbers, by asset: small enough to ride in the custom status of the orchestration."""

from __future__ import annotations

from tidemill.model.outcomes import Failed, Succeeded, Unchanged
from tidemill.plan.progress import TrancheProgress
from tidemill.plan.tranche import Tranche

FIELDS = ("total", "succeeded", "unchanged", "failed", "other")
"""What the five numbers of an asset count, in units. `other` is skipped and cancelled ones."""

MAX_ASSETS = 100
"""With more assets than this only the sum is shown, under `*`: a custom status must stay below 16 KB."""


class Counts:
    """Units by asset and outcome, tranche after tranche."""

    def __init__(self, before: dict[str, list[int]]) -> None:
        self._before = before
        self._now: dict[str, list[int]] = {}

    @classmethod
    def from_lists(cls, lists: dict[str, list[int]]) -> Counts:
        """Starts from the numbers of the tranches before."""
        return cls({asset: list(numbers) for asset, numbers in lists.items()})

    def expect(self, tranche: Tranche) -> None:
        """Takes in how many units each asset has in the whole plan."""
        for key, asset in tranche.assets.items():
            self._before.setdefault(key, [asset.total, 0, 0, 0, 0])

    def fold(self, progress: TrancheProgress) -> None:
        """Counts the outcomes of the current tranche afresh."""
        assets = {unit.position: unit.asset for unit in progress.tranche.units}
        now: dict[str, list[int]] = {}
        for position, outcome in progress.outcomes.items():
            numbers = now.setdefault(assets[position], [0, 0, 0, 0, 0])
            match outcome:
                case Succeeded():
                    numbers[1] += 1
                case Unchanged():
                    numbers[2] += 1
                case Failed():
                    numbers[3] += 1
                case _:
                    numbers[4] += 1
        self._now = now

    def to_lists(self) -> dict[str, list[int]]:
        """All numbers, by asset in plan order: the inverse of `from_lists`."""
        none = (0, 0, 0, 0, 0)
        return {
            asset: [before + now for before, now in zip(numbers, self._now.get(asset, none), strict=True)]
            for asset, numbers in self._before.items()
        }

    def shown(self) -> dict[str, list[int]]:
        """All numbers, or their sum under `*` where there are too many assets for a custom status."""
        lists = self.to_lists()
        return lists if len(lists) <= MAX_ASSETS else {"*": [sum(column) for column in zip(*lists.values(), strict=True)]}
