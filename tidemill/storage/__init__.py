"""Storage: named bytes, conditional writes and content-addressed objects, in memory, in a folder or in Azure. Knows nothing of orchestration."""

from tidemill.storage.base import BlobStore, Versioned
from tidemill.storage.conditional import put_once
from tidemill.storage.objects import Objects
from tidemill.storage.open import open_store

__all__ = ["BlobStore", "Objects", "Versioned", "open_store", "put_once"]
