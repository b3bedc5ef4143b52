"""What the API must know of a plan: read once per plan and kept, because plans never change and runs are asked about every second."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from tidemill.execution.planning import read_plan
from tidemill.execution.runtime import Runtime
from tidemill.plan.plan import Action

_KEPT = 64


@dataclass(frozen=True, slots=True)
class PlannedUnits:
    """Units of one asset in a plan."""

    asset: str
    total: int
    reused: int
    """Of these: up to date when the plan was made, so nothing is done."""


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """A plan in numbers."""

    base: int
    """Number of the catalog log entry it was made against."""
    assets: tuple[PlannedUnits, ...]
    """In plan order."""


class PlanSummaries:
    """Summaries by plan address. Safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, PlanSummary] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, runtime: Runtime, plan: str) -> PlanSummary:
        """The summary of a stored plan.

        Raises:
            IntegrityError: there is no such plan, or it was altered.
        """
        with self._lock:
            found = self._kept.get(plan)
            if found is not None:
                self._kept.move_to_end(plan)
                return found
        made = read_plan(runtime, plan)
        numbers = [[0, 0] for _ in made.assets]
        for unit in made.units:
            numbers[unit.asset][0] += 1
            numbers[unit.asset][1] += unit.action is Action.REUSE
        assets = tuple(PlannedUnits(asset.key, total, reused) for asset, (total, reused) in zip(made.assets, numbers, strict=True))
        summary = PlanSummary(made.base, assets)
        with self._lock:
            self._kept[plan] = summary
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return summary
