"""Stored plans: writing one, and reading of it only what is needed. Everything is content-addressed, so what was read once is kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from tidemill.definitions.policies import RetryPolicy
from tidemill.model.keys import UnitKey
from tidemill.model.outcomes import UnitOutcome
from tidemill.model.versions import canonical, digest
from tidemill.plan.plan import Plan, PlannedUnit
from tidemill.plan.stored import PlanHead, PlanSlice, SliceRef, head_from, slice_from, to_head, to_plan, unit_at
from tidemill.plan.tranche import Tranche, open_tranche, slice_ref, tranches_read
from tidemill.storage.objects import Objects

PartT = TypeVar("PartT")

_HEADS_KEPT = 32
_SLICES_KEPT = 4
_WRITERS = 8
_WAITING = 32
"""Slices in memory that wait to be written."""


class Plans:
    """The plans in a store. Safe to share between threads."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._heads: OrderedDict[str, PlanHead] = OrderedDict()
        self._slices: OrderedDict[str, PlanSlice] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, plan: Plan) -> str:
        """Stores a plan, slices first; its id. Idempotent.

        Raises:
            StoreUnavailable: the outcome is unknown; put again.
        """
        waiting: list[Future[str]] = []
        with ThreadPoolExecutor(_WRITERS, thread_name_prefix="plans") as pool:

            def put(data: bytes) -> str:
                waiting.append(pool.submit(self._objects.put, data))
                if len(waiting) >= _WAITING:
                    waiting.pop(0).result()
                return digest(data)

            head = to_head(plan, put)
            for each in waiting:
                each.result()
        return self._objects.put(canonical(head))

    def head(self, plan: str) -> PlanHead:
        """Everything of a plan but its units.

        Raises:
            IntegrityError: there is no such plan, or it was altered.
            MessageError: another version of Tidemill wrote it.
        """
        return self._kept(self._heads, _HEADS_KEPT, plan, head_from)

    def read(self, plan: str) -> Plan:
        """A whole plan. Errors as `head`."""
        head = self.head(plan)
        return to_plan(head, map(slice_from, self._objects.get_many(each.address for each in (*head.work, *head.idle))))

    def units(self, plan: str, first: int, end: int) -> list[tuple[int, PlannedUnit]]:
        """The units from one position to another, the latter not included, with their positions. Errors as `head`."""
        found: list[tuple[int, PlannedUnit]] = []
        for part in self._parts(self.head(plan).slices_between(first, end)):
            found += [each for each in zip(part.positions(), part.units, strict=True) if first <= each[0] < end]
        return sorted(found, key=lambda each: each[0])

    def keys(self, plan: str, positions: Iterable[int]) -> dict[int, UnitKey]:
        """The units at some positions, in order. Errors as `head`."""
        head = self.head(plan)
        found: dict[int, UnitKey] = {}
        for position in sorted(positions):
            for part in self._parts(head.slices_between(position, position + 1)):
                if any(first <= position < first + count for first, count in part.ranges):
                    found[position] = unit_at(head, part, position)
        return found

    def addresses(self, plan: str) -> set[str]:
        """The objects that a plan consists of. Errors as `head`."""
        head = self.head(plan)
        return {plan, *(each.address for each in (*head.work, *head.idle))}

    def tranche(
        self,
        plan: str,
        number: int,
        retries: Mapping[str, RetryPolicy | None],
        outcomes: Callable[[Sequence[int]], Mapping[int, UnitOutcome]],
    ) -> Tranche:
        """Opens a tranche. Costs the slice that it is in, if that is not at hand, and the outcomes of the tranches that it reads from.

        Args:
            plan: the plan's id.
            number: of the tranche, from 0.
            retries: retry policy by asset key.
            outcomes: gives the outcomes of some tranches, by plan position.
        """
        head = self.head(plan)
        ref = slice_ref(head, number)
        part = None if ref is None else self._slice(ref.address)
        return open_tranche(head, part, number, retries=retries, outcomes=outcomes(tranches_read(head, part, number)))

    def _parts(self, refs: Iterable[SliceRef]) -> Iterator[PlanSlice]:
        return (self._slice(each.address) for each in refs)

    def _slice(self, address: str) -> PlanSlice:
        return self._kept(self._slices, _SLICES_KEPT, address, slice_from)

    def _kept(self, kept: OrderedDict[str, PartT], most: int, address: str, read: Callable[[bytes], PartT]) -> PartT:
        with self._lock:
            found = kept.get(address)
            if found is not None:
                kept.move_to_end(address)
                return found
        made = read(self._objects.get(address))
        with self._lock:
            kept[address] = made
            while len(kept) > most:
                kept.popitem(last=False)
        return made
