"""All that planning may know of the world: the catalog as of one moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from tidemill.model.facts import Entry
from tidemill.model.keys import AssetKey, PartitionKey


class CatalogView(Protocol):
    """The catalog, frozen at one snapshot."""

    @property
    def number(self) -> int:
        """Number of the log entry; 0 for an empty catalog."""
        ...

    @property
    def snapshot(self) -> str:
        """Hash of the snapshot; empty for an empty catalog."""
        ...

    def entries(self, asset: AssetKey) -> Mapping[PartitionKey, Entry]:
        """Every materialized or observed partition of an asset."""
        ...
