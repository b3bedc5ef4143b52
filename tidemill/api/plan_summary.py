"""What the API must know of a plan to tell how a run stands: how many units of each asset there are, and how many of them it leaves alone."""

from __future__ import annotations

from dataclasses import dataclass

from tidemill.plan.plan import Action
from tidemill.plan.stored import PlanHead


@dataclass(frozen=True, slots=True)
class PlannedUnits:
    """Units of one asset in a plan."""

    asset: str
    total: int
    reused: int
    """Of these: an earlier result is taken over."""
    up_to_date: int
    """Of these: the catalog held them already."""

    @property
    def to_execute(self) -> int:
        """Units that activities see to, or may have to."""
        return self.total - self.reused - self.up_to_date


def planned_units(head: PlanHead) -> tuple[PlannedUnits, ...]:
    """The units of a plan by asset, in plan order."""
    return tuple(
        PlannedUnits(asset.key, head.count(index, *Action), head.count(index, Action.REUSE), head.count(index, Action.SKIP))
        for index, asset in enumerate(head.assets)
    )
