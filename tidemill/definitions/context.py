"""What an asset function is given and what it may give back.

The context carries everything that may differ between two units of one asset, and nothing else: no clock, no run id, no attempt. A function
that reads only its inputs and its context gives the same result whenever and wherever it runs, which is what makes results reusable.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from tidemill.definitions.partitions import PartitionsDefinition, Window
from tidemill.model.facts import JsonScalar
from tidemill.model.keys import UNPARTITIONED, AssetKey, PartitionKey

_LOG = logging.getLogger("tidemill.asset")


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetContext:
    """The unit a function is asked to make."""

    asset_key: AssetKey
    partition_key: PartitionKey = UNPARTITIONED
    """`""` if the asset is not partitioned."""
    window: Window | None = None
    """The time the partition covers, in UTC; None if it has no time dimension, or more than one."""
    dimensions: Mapping[str, str] = field(default_factory=dict)
    """Dimension name to its key; empty unless the asset has `MultiPartitions`."""
    parameters: Mapping[str, JsonScalar] = field(default_factory=dict)
    """The asset's declared parameters, with the values of this run."""
    log: logging.Logger = _LOG
    """For the people who watch; what is logged is not part of the result."""

    @property
    def window_start(self) -> datetime | None:
        """First instant of the window."""
        return self.window.start if self.window else None

    @property
    def window_end(self) -> datetime | None:
        """First instant after the window."""
        return self.window.end if self.window else None


def context_for(
    asset: AssetKey, partition: PartitionKey, partitions: PartitionsDefinition | None, parameters: Mapping[str, JsonScalar]
) -> AssetContext:
    """The context of one unit.

    Args:
        asset: the asset.
        partition: one of its partitions.
        partitions: the asset's partitions definition; None if it has none.
        parameters: all declared parameters with their values.
    """
    return AssetContext(
        asset_key=asset,
        partition_key=partition,
        window=partitions.window(partition) if partitions else None,
        dimensions=partitions.dimensions(partition) if partitions else {},
        parameters=dict(parameters),
        log=logging.getLogger(f"tidemill.asset.{asset}"),
    )


@dataclass(frozen=True, slots=True)
class Output:
    """A result with something to say about it."""

    value: pa.Table | pa.RecordBatchReader
    metadata: Mapping[str, JsonScalar] = field(default_factory=dict)
    """Figures and remarks that are recorded with the materialization."""
