"""How far a run is: numbers to show while it goes on. Pure; time comes in as an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidemill.api.payloads import AssetProgress, RunView, UnitCounts

WINDOW_SECONDS = 30.0
"""The rate is that of the last half minute: a slow asset shows soon, a short pause does not."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A run at one moment."""

    run_id: str
    status: str
    phase: str
    units: UnitCounts
    assets: tuple[AssetProgress, ...]

    @classmethod
    def of(cls, view: RunView) -> Standing:
        """What the app says."""
        return cls(view.run_id, view.status, view.phase, view.units, view.assets)

    @classmethod
    def counting(cls, run_id: str, counts: Mapping[str, Sequence[int]]) -> Standing:
        """What the in-process executor says: total, succeeded, unchanged, failed and other units by asset."""
        assets = tuple(AssetProgress(asset=asset, units=_units(*numbers)) for asset, numbers in counts.items())
        total = _units(*(sum(numbers[column] for numbers in counts.values()) for column in range(5)))
        return cls(run_id, "running", "running", total, assets)

    @property
    def to_do(self) -> int:
        """Units that the run has to see to; those that were settled when the plan was made are not among them."""
        return self.units.total - self.units.reused - self.units.up_to_date

    @property
    def done(self) -> int:
        """How many of these have their outcome."""
        return self.to_do - self.units.pending


class Pace:
    """How fast a run goes, from what was seen of it."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, standing: Standing, at: float) -> None:
        """Takes in a standing at a time in seconds, by any clock that only goes forward."""
        self._seen.append((at, standing.done))
        while at - self._seen[0][0] > WINDOW_SECONDS and len(self._seen) > 2:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Units a second; 0 as long as that cannot be said."""
        (start, before), (end, now) = self._seen[0], self._seen[-1]
        return (now - before) / (end - start) if end > start else 0.0

    def seconds_left(self, standing: Standing) -> float | None:
        """How long the rest takes at this rate; None if that cannot be said."""
        return standing.units.pending / self.rate if self.rate > 0 else None


def _units(total: int, succeeded: int, unchanged: int, failed: int, other: int) -> UnitCounts:
    pending = total - succeeded - unchanged - failed - other
    return UnitCounts(total=total, succeeded=succeeded, unchanged=unchanged, failed=failed, skipped=other, pending=pending)
