"""What every partitions definition can answer.

A definition is a value, and its keys are a function of `now` alone: no clock, no catalog. Partitions that are discovered while the system runs
will fit in as a definition that has been bound to the keys recorded so far, before planning starts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from tidemill.model.keys import UNPARTITIONED, PartitionKey


class Window(NamedTuple):
    """The span of time that a time partition covers: from `start` up to, but not including, `end`. Both aware, in UTC."""

    start: datetime
    end: datetime


class PartitionsDefinition(ABC):
    """An ordered set of partition keys. Implementations are immutable and compare by value."""

    @abstractmethod
    def keys(self, now: datetime) -> Sequence[PartitionKey]:
        """All keys that exist at `now`, in order. Remembered: asking again at the same `now` returns the same object."""

    @abstractmethod
    def position(self, key: str, now: datetime) -> int | None:
        """Where `key` stands in `keys(now)`; None if it is not there. Does not build the keys."""

    @abstractmethod
    def rule(self) -> str:
        """What a key means, without saying which keys there are, such as `monthly UTC`. Part of an asset's code version."""

    def contains(self, key: str, now: datetime) -> bool:
        """Whether `key` exists at `now`."""
        return self.position(key, now) is not None

    def range(self, first: str, last: str, now: datetime) -> Sequence[PartitionKey]:
        """The keys from `first` to `last`, both included; empty if `last` comes before `first`.

        Raises:
            KeyError: one of the two does not exist at `now`.
        """
        ends = []
        for key in (first, last):
            position = self.position(key, now)
            if position is None:
                raise KeyError(key)
            ends.append(position)
        return self.keys(now)[ends[0] : ends[1] + 1]

    def window(self, key: str) -> Window | None:  # noqa: ARG002 - the answer for everything that is not time
        """The time that `key` covers; None if that cannot be said. Does not check that the key exists at some `now`."""
        return None

    def dimensions(self, key: str) -> Mapping[str, str]:  # noqa: ARG002 - the answer for everything with one dimension
        """Dimension name to dimension key, in declared order; empty for a definition with a single unnamed dimension."""
        return {}


def partition_keys(definition: PartitionsDefinition | None, now: datetime) -> Sequence[PartitionKey]:
    """The keys of a definition, where None means: not partitioned, one unit with the key `""`."""
    return (UNPARTITIONED,) if definition is None else definition.keys(now)
