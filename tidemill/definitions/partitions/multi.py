"""Partitions of several dimensions, such as month × origin."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tidemill.definitions.partitions.base import PartitionsDefinition, Window
from tidemill.definitions.partitions.static import StaticPartitions
from tidemill.definitions.partitions.time import TimePartitions
from tidemill.errors import DefinitionProblem
from tidemill.model import keys as model_keys
from tidemill.model.keys import PartitionKey

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True, init=False, repr=False)
class MultiPartitions(PartitionsDefinition):
    """The product of named dimensions; a key joins their keys with `|` in declared order, the last dimension varying fastest."""

    parts: tuple[tuple[str, PartitionsDefinition], ...]
    """Dimension name and definition, in declared order; two or more."""
    _memo: list[tuple[tuple[Sequence[PartitionKey], ...], tuple[PartitionKey, ...]]] = field(compare=False)

    def __init__(self, dimensions: Mapping[str, PartitionsDefinition]) -> None:
        """Checks the dimensions.

        Raises:
            DefinitionProblem: there are fewer than two, a name breaks its grammar, or one is not a partitions definition with a single dimension.
        """
        parts = tuple(dimensions.items())
        if len(parts) < 2:
            raise DefinitionProblem(
                "MultiPartitions needs two or more dimensions.", place="MultiPartitions", hint="Use the one definition itself."
            )
        for name, definition in parts:
            if not _NAME.fullmatch(name):
                raise DefinitionProblem(
                    f"{name!r} is not a valid dimension name.",
                    place="MultiPartitions",
                    hint="Write a word of a-z, 0-9 and _, such as `month`.",
                )
            if not isinstance(definition, StaticPartitions | TimePartitions):
                raise DefinitionProblem(
                    f"Dimension `{name}` is not a time or static partitions definition.",
                    place="MultiPartitions",
                    hint="Write for example `StaticPartitions(['EWR', 'JFK'])`; dimensions do not nest.",
                )
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "_memo", [])

    def __repr__(self) -> str:
        return f"MultiPartitions({dict(self.parts)!r})"

    def keys(self, now: datetime) -> Sequence[PartitionKey]:
        """All combinations, the last dimension varying fastest."""
        sides = tuple(definition.keys(now) for _, definition in self.parts)
        for known, product in self._memo:
            if all(mine is theirs for mine, theirs in zip(sides, known, strict=True)):
                return product
        product = tuple(map(model_keys.join_dimensions, itertools.product(*sides)))
        self._memo[:] = [(sides, product)]
        return product

    def position(self, key: str, now: datetime) -> int | None:
        """Where `key` stands among all combinations, found by counting, not by building them."""
        values = model_keys.dimensions(PartitionKey(key))
        if len(values) != len(self.parts):
            return None
        position = 0
        for value, (_, definition) in zip(values, self.parts, strict=True):
            step = definition.position(value, now)
            if step is None:
                return None
            position = position * len(definition.keys(now)) + step
        return position

    def count(self, now: datetime) -> int:
        """How many keys there are, without building them."""
        return math.prod(len(definition.keys(now)) for _, definition in self.parts)

    def rule(self) -> str:
        """The rules of the dimensions by name, in order."""
        return " × ".join(f"{name}: {definition.rule()}" for name, definition in self.parts)

    def window(self, key: str) -> Window | None:
        """The window of the time dimension if exactly one dimension is time."""
        timed = [
            (value, definition)
            for value, (_, definition) in zip(model_keys.dimensions(PartitionKey(key)), self.parts, strict=True)
            if isinstance(definition, TimePartitions)
        ]
        return timed[0][1].window(timed[0][0]) if len(timed) == 1 else None

    def dimensions(self, key: str) -> Mapping[str, str]:
        """Dimension name to that dimension's key, in declared order."""
        return dict(zip((name for name, _ in self.parts), model_keys.dimensions(PartitionKey(key)), strict=True))
