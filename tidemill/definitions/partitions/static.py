"""Partitions that are listed by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tidemill.definitions.partitions.base import PartitionsDefinition
from tidemill.errors import DefinitionProblem, InvalidKey
from tidemill.model.keys import PartitionKey, partition_key


@dataclass(frozen=True, init=False, repr=False)
class StaticPartitions(PartitionsDefinition):
    """A fixed list of keys, in the order given."""

    values: tuple[PartitionKey, ...]
    _positions: dict[str, int] = field(compare=False)

    def __init__(self, values: Iterable[str]) -> None:
        """Checks the keys.

        Raises:
            InvalidKey: a key is empty or breaks the grammar of a partition key.
            DefinitionProblem: there is no key at all, a key is there twice, or the keys are one string.
        """
        if isinstance(values, str):
            raise DefinitionProblem(
                "StaticPartitions needs a list of keys, not one text.",
                place="StaticPartitions",
                hint=f"Write `StaticPartitions([{values!r}])`.",
            )
        keys = tuple(_dimension_key(value) for value in values)
        positions = {str(key): position for position, key in enumerate(keys)}
        if not keys:
            raise DefinitionProblem(
                "StaticPartitions has no keys.", place="StaticPartitions", hint="List at least one, or leave `partitions` out."
            )
        if len(positions) != len(keys):
            twice = sorted({key for position, key in enumerate(keys) if positions[key] != position})
            raise DefinitionProblem(
                f"StaticPartitions lists {', '.join(f'`{key}`' for key in twice)} more than once.",
                place="StaticPartitions",
                hint="Each key may appear once.",
            )
        object.__setattr__(self, "values", keys)
        object.__setattr__(self, "_positions", positions)

    def __repr__(self) -> str:
        return f"StaticPartitions({list(self.values)!r})"

    def keys(self, now: datetime) -> Sequence[PartitionKey]:  # noqa: ARG002 - the list never changes
        """The keys as listed."""
        return self.values

    def position(self, key: str, now: datetime) -> int | None:  # noqa: ARG002 - the list never changes
        """Where `key` stands in the list."""
        return self._positions.get(key)

    def rule(self) -> str:
        """A listed key means what the code makes of it."""
        return "static"


def _dimension_key(value: str) -> PartitionKey:
    if not value or "|" in str(value):
        raise InvalidKey("partition key", str(value), "letters, digits and `_.:+-`, such as `EWR`")
    return partition_key(str(value))
