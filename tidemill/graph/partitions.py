"""Partition selections: which partitions a request means, as a value.

    partitions = "*" | items | dimension "=" items { "," dimension "=" items }
    items      = item { "," item }
    item       = key | key ".." key | key ".." | ".." key

Ranges include both ends. One selection serves assets with different partitions: `2013-01` also means the days of January for a daily asset,
and for a multi-dimensional asset a plain item means the one dimension that knows it. `keys` answers for one asset and leaves out what it does
not have; `check` makes sure that everything named belongs to some asset of the request.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from tidemill.definitions.partitions import (
    DailyPartitions,
    MonthlyPartitions,
    MultiPartitions,
    PartitionsDefinition,
    TimePartitions,
    WeeklyPartitions,
    Window,
    YearlyPartitions,
)
from tidemill.errors import InvalidKey, InvalidSelection, UnknownPartition
from tidemill.model.keys import AssetKey, PartitionKey, join_dimensions, partition_key

_DIMENSION = re.compile(r"\s*([a-z][a-z0-9_]{0,62})\s*=(.*)", re.DOTALL)
_MAX_LENGTH = 100_000
_GRAINS: tuple[tuple[type[TimePartitions], str], ...] = (
    (YearlyPartitions, "0003"),
    (MonthlyPartitions, "0003-01"),
    (WeeklyPartitions, "0003-W01"),
    (DailyPartitions, "0003-01-01"),
)


@dataclass(frozen=True, slots=True)
class Span:
    """One key, or a range of keys with both ends in it."""

    first: str
    """Empty: from the beginning."""
    last: str
    """Empty: to the end."""

    def keys(self, definition: PartitionsDefinition, now: datetime) -> Sequence[PartitionKey]:
        """The keys of a definition within the span, in order; what the definition does not have is left out."""
        if isinstance(definition, MultiPartitions) and not self._has(definition, now):
            knowing = [name for name, part in definition.parts if self.keys(part, now)]
            return _product(definition, {knowing[0]: (self,)}, now) if len(knowing) == 1 else ()
        if isinstance(definition, TimePartitions):
            first, last = _window(self.first, definition), _window(self.last, definition)
            if (self.first and first is None) or (self.last and last is None):
                return ()
            everything = definition.keys(now)
            if not everything:
                return ()
            start = first.start if first else definition.window(everything[0]).start
            end = last.end if last else definition.window(everything[-1]).end
            return definition.overlapping(Window(start, end), now)
        everything = definition.keys(now)
        return (
            definition.range(self.first or everything[0], self.last or everything[-1], now)
            if everything and self._has(definition, now)
            else ()
        )

    def unknown(self, definition: PartitionsDefinition, now: datetime) -> set[str]:
        """The ends that a definition does not have."""
        return {end for end in (self.first, self.last) if end and not Span(end, end).keys(definition, now)}

    def _has(self, definition: PartitionsDefinition, now: datetime) -> bool:
        return all(definition.contains(end, now) for end in (self.first, self.last) if end)

    def __str__(self) -> str:
        if self.first == self.last:
            return self.first or "*"
        return f"{self.first}..{self.last}"


@dataclass(frozen=True, slots=True)
class PartitionSelection:
    """Spans of keys, or spans by dimension. `str` writes it so that `parse_partitions` reads it back."""

    dimensions: tuple[tuple[str, tuple[Span, ...]], ...]
    """Dimension name to spans; the one name `""` for spans of whole keys. Empty: all partitions."""

    def keys(self, asset: AssetKey, definition: PartitionsDefinition, now: datetime) -> Sequence[PartitionKey]:  # noqa: ARG002 - says whose keys
        """The partitions of one asset that are meant, in order, each once; empty if the asset has none of them.

        Args:
            asset: the asset.
            definition: its partitions.
            now: the moment.
        """
        if not self.dimensions:
            return definition.keys(now)
        spans = dict(self.dimensions)
        if "" in spans:
            return _merged(definition, spans[""], now)
        if not isinstance(definition, MultiPartitions) or not spans.keys() <= {name for name, _ in definition.parts}:
            return ()
        return _product(definition, spans, now)

    def check(self, assets: Iterable[tuple[AssetKey, PartitionsDefinition | None]], now: datetime) -> None:
        """Makes sure that every key that is named belongs to one of the assets.

        Raises:
            UnknownPartition: a key belongs to none of them.
            InvalidSelection: a dimension belongs to none of them.
        """
        if not self.dimensions:
            return
        sides = list(assets)
        for dimension, spans in self.dimensions:
            known = _sides(dimension, sides)
            if dimension and not known:
                names = sorted({name for _, each in sides if isinstance(each, MultiPartitions) for name, _ in each.parts})
                hint = (
                    f"Known: {', '.join(f'`{name}`' for name in names)}."
                    if names
                    else "None of the selected assets has several dimensions."
                )
                raise InvalidSelection(f"No selected asset has a dimension `{dimension}`.", hint=hint)
            for span in spans:
                # A span must fit one asset with both its ends; of the others it may cover a part.
                missing = [(asset, span.unknown(definition, now), definition) for asset, definition in known]
                if known and all(ends for _, ends, _ in missing):
                    asset, ends, definition = min(missing, key=lambda each: (len(each[1]), each[0]))
                    raise UnknownPartition(asset, min(ends), [str(key) for key in definition.keys(now)])
                if known and not any(span.keys(definition, now) for _, definition in known):
                    raise InvalidSelection(f"Range `{span}` ends before it begins.", hint=f"Write `{span.last}..{span.first}`.")
                if not known and sides:
                    raise UnknownPartition(sides[0][0], str(span), [])

    def __str__(self) -> str:
        written = [(f"{name}=" if name else "") + ",".join(map(str, spans)) for name, spans in self.dimensions]
        return ",".join(written) or "*"


_EVERYTHING = Span("", "")

ALL_PARTITIONS = PartitionSelection(())
"""What `*` means."""


def parse_partitions(text: str) -> PartitionSelection:
    """Reads a partition selection.

    Raises:
        InvalidSelection: it breaks the grammar; the message names the item.
    """
    if len(text) > _MAX_LENGTH:
        raise InvalidSelection(f"The partition selection is {len(text)} characters long.", hint=f"The limit is {_MAX_LENGTH}; use ranges.")
    if text.strip() == "*":
        return ALL_PARTITIONS
    found: dict[str, list[Span]] = {}
    dimension = ""
    for item in text.split(","):
        match = _DIMENSION.fullmatch(item)
        if match:
            dimension, item = match[1], match[2]
            if "" in found or dimension in found:
                why = f"names `{dimension}` twice" if dimension in found else "has keys before the first dimension"
                raise InvalidSelection(
                    f"Partition selection `{text}` {why}.",
                    hint="Write either keys, or each dimension once: `month=2013-01..2013-03,origin=EWR,JFK`.",
                )
        span = _span(item.strip(), text)
        if span == _EVERYTHING and not dimension:
            raise InvalidSelection(f"`*` stands beside other keys in partition selection `{text}`.", hint="`*` alone means all partitions.")
        found.setdefault(dimension, []).append(span)
    return PartitionSelection(tuple((name, tuple(spans)) for name, spans in found.items()))


def _span(item: str, text: str) -> Span:
    if item == "*":
        return _EVERYTHING
    first, dots, last = item.partition("..")
    if not item or (dots and not first and not last):
        raise InvalidSelection(
            f"Partition selection `{text}` has an empty item.", hint="Write `*`, keys, or ranges, such as `2013-01..2013-06,2013-09`."
        )
    for end in (first, last):
        try:
            partition_key(end)
        except InvalidKey as error:
            raise InvalidSelection(f"`{end}` in partition selection `{text}` is not a partition key.", hint=error.hint) from None
    return Span(first, last) if dots else Span(first, first)


def _merged(definition: PartitionsDefinition, spans: Sequence[Span], now: datetime) -> Sequence[PartitionKey]:
    """What several spans mean together, in the definition's order."""
    if len(spans) == 1:
        return spans[0].keys(definition, now)
    chosen = dict.fromkeys(key for span in spans for key in span.keys(definition, now))
    return sorted(chosen, key=lambda key: definition.position(key, now) or 0)


def _product(definition: MultiPartitions, spans: Mapping[str, Sequence[Span]], now: datetime) -> Sequence[PartitionKey]:
    sides = [_merged(part, spans[name], now) if name in spans else part.keys(now) for name, part in definition.parts]
    return tuple(map(join_dimensions, itertools.product(*sides)))


def _sides(dimension: str, assets: Iterable[tuple[AssetKey, PartitionsDefinition | None]]) -> list[tuple[AssetKey, PartitionsDefinition]]:
    """What a span is matched against: whole definitions, or one dimension of those that have it."""
    if not dimension:
        return [(asset, definition) for asset, definition in assets if definition is not None]
    return [(asset, part) for asset, each in assets if isinstance(each, MultiPartitions) for name, part in each.parts if name == dimension]


def _window(text: str, definition: TimePartitions) -> Window | None:
    """The time that a key means to a definition: a window of its own, or one of a coarser grain in the same zone."""
    if not text:
        return None
    if definition.ordinal(text) is not None:
        return definition.window(text)
    for coarser, start in _GRAINS:
        if coarser is type(definition):
            return None
        calendar = _calendar(coarser, start, definition.timezone)
        if calendar.ordinal(text) is not None:
            return calendar.window(text)
    return None


@cache
def _calendar(grain: type[TimePartitions], start: str, timezone: str) -> TimePartitions:
    return grain(start, timezone=timezone)
