"""Keys: how assets, partitions, units, runs and branches are written down, everywhere.

A key owns all its spellings. Nobody else splits on `@`, `.` or `|`. Grammars are strict because keys travel into blob names, URLs and Durable
instance ids, where a stray `/`, `?` or control character becomes another address (reliability: D1).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple, NewType

from tidemill.errors import InvalidKey

AssetKey = NewType("AssetKey", str)
"""Dotted lower-case name of an asset, such as `gold.carrier_month`; unique in the whole project."""

PartitionKey = NewType("PartitionKey", str)
"""One partition, such as `2013-01`; dimensions of a multi-dimensional one are joined with `|` in their declared order. `""` means: not partitioned."""

RunId = NewType("RunId", str)
"""One run; also its Durable instance id, so it never needs escaping."""

UNPARTITIONED = PartitionKey("")

_ASSET = re.compile(r"[a-z][a-z0-9_]{0,62}(\.[a-z][a-z0-9_]{0,62}){0,4}")
_DIMENSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+\-]{0,79}")
_RUN = re.compile(r"[a-z0-9][a-z0-9\-]{2,79}")
_BRANCH = re.compile(r"[a-z0-9][a-z0-9_\-]{0,62}")
_PARTITION_MAX = 200


class UnitKey(NamedTuple):
    """One asset partition: what a plan runs, a materialization describes and the catalog maps."""

    asset: AssetKey
    partition: PartitionKey

    def __str__(self) -> str:
        return f"{self.asset}@{self.partition}" if self.partition else self.asset


def asset_key(text: str) -> AssetKey:
    """Checks the spelling of an asset key.

    Raises:
        InvalidKey: it is not one to five lower-case words joined by dots.
    """
    if not _ASSET.fullmatch(text):
        raise InvalidKey(
            "asset key",
            text,
            "one to five words of a-z, 0-9 and _ joined by dots, each starting with a letter, such as `gold.daily_orders`",
        )
    return AssetKey(text)


def partition_key(text: str) -> PartitionKey:
    """Checks the spelling of a partition key; `""` is the key of an asset without partitions.

    Raises:
        InvalidKey: a dimension is empty, holds a character outside A-Z a-z 0-9 _ . : + - or is too long.
    """
    if text and (len(text) > _PARTITION_MAX or not all(_DIMENSION.fullmatch(part) for part in text.split("|"))):
        raise InvalidKey(
            "partition key",
            text,
            "letters, digits and `_.:+-`, dimensions joined by `|`, at most 200 characters, such as `2013-01` or `2013-01|EWR`",
        )
    return PartitionKey(text)


def run_id(text: str) -> RunId:
    """Checks the spelling of a run id.

    Raises:
        InvalidKey: it is not 3 to 80 characters of a-z, 0-9 and `-`.
    """
    if not _RUN.fullmatch(text):
        raise InvalidKey("run id", text, "3 to 80 characters of a-z, 0-9 and `-`")
    return RunId(text)


def new_run_id(now: datetime, token: str) -> RunId:
    """An id for a run that is asked for now: ids sort by time, to a quarter of a millisecond.

    Args:
        now: in UTC.
        token: five random hex digits or more; the last five are used.
    """
    return run_id(f"{now:%Y%m%dt%H%M%S}-{now.microsecond * 4096 // 1_000_000:03x}{token[-5:]}")


def branch_name(text: str) -> str:
    """Checks the spelling of a branch name.

    Raises:
        InvalidKey: it is not 1 to 63 characters of a-z, 0-9, `_` and `-`.
    """
    if not _BRANCH.fullmatch(text):
        raise InvalidKey("branch name", text, "1 to 63 characters of a-z, 0-9, `_` and `-`, starting with a letter or digit")
    return text


def unit_key(text: str) -> UnitKey:
    """Reads `asset` or `asset@partition`; the inverse of `str(UnitKey)`.

    Raises:
        InvalidKey: either half is misspelled.
    """
    asset, at, partition = text.partition("@")
    if at and not partition:
        raise InvalidKey("unit", text, "`asset@partition`, or the asset alone if it has no partitions")
    return UnitKey(asset_key(asset), partition_key(partition))


def dimensions(partition: PartitionKey) -> tuple[str, ...]:
    """The dimension values of a multi-dimensional key, in declared order; one value for any other key."""
    return tuple(partition.split("|"))


def join_dimensions(values: tuple[str, ...]) -> PartitionKey:
    """The inverse of `dimensions`."""
    return PartitionKey("|".join(values))
