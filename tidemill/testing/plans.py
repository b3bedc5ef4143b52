"""A plan in memory, cut as it would be stored."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.definitions.policies import RetryPolicy
from tidemill.model.outcomes import UnitOutcome
from tidemill.model.versions import digest
from tidemill.plan.plan import Plan
from tidemill.plan.stored import TRANCHE_UNITS, slice_from, to_head, to_plan
from tidemill.plan.tranche import Tranche, open_tranche, slice_ref


class SlicedPlan:
    """A plan and its slices.

    Args:
        plan: the plan.
        limit: units to execute in a tranche.
    """

    def __init__(self, plan: Plan, *, limit: int = TRANCHE_UNITS) -> None:
        self.slices: dict[str, bytes] = {}
        self.head = to_head(plan, self._put, limit=limit)

    def tranche(self, number: int, retries: Mapping[str, RetryPolicy | None], outcomes: Mapping[int, UnitOutcome]) -> Tranche:
        """Opens a tranche; all outcomes so far may be given."""
        ref = slice_ref(self.head, number)
        part = None if ref is None else slice_from(self.slices[ref.address])
        return open_tranche(self.head, part, number, retries=retries, outcomes=outcomes)

    def read(self) -> Plan:
        """The plan, put together again."""
        return to_plan(self.head, map(slice_from, self.slices.values()))

    def _put(self, data: bytes) -> str:
        self.slices[digest(data)] = data
        return digest(data)
