"""The catalog: git for datasets. Immutable objects, a Merkle tree of what every unit holds, snapshots, and a numbered log per branch.

Start at `catalog.py`; the format is specified byte by byte in `docs/reference/catalog-format.md`.
"""

from tidemill.catalog.catalog import Catalog, CatalogView, Committed, Position
from tidemill.catalog.objects import Snapshot

__all__ = ["Catalog", "CatalogView", "Committed", "Position", "Snapshot"]
