"""The runtime: what every effect needs, put together once per process and lent to activities, routes and the in-process executor."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tidemill.catalog.catalog import Catalog
from tidemill.catalog.signing import Signer
from tidemill.definitions.collect import load_definitions
from tidemill.definitions.definitions import Definitions
from tidemill.execution.codes import Codes
from tidemill.execution.listening import NOBODY, RunListener
from tidemill.execution.memory import prefer_returnable_memory
from tidemill.execution.plans import Plans
from tidemill.execution.runs import Runs
from tidemill.execution.tables import TableCache
from tidemill.graph.asset_graph import AssetGraph
from tidemill.plan.prices import Prices
from tidemill.settings import Settings
from tidemill.storage.base import BlobStore
from tidemill.storage.objects import Objects
from tidemill.storage.open import open_store

_BRANCHES_KEPT = 16


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Runtime:
    """Definitions, store, catalog and clock.

    Definitions are loaded when first asked for, so that an app with a broken pipeline still starts and can say what is broken.
    """

    def __init__(
        self,
        store: BlobStore,
        definitions: Callable[[], Definitions],
        *,
        project: Path,
        branch: str = "main",
        cache_bytes: int = 64_000_000,
        signer: Signer | None = None,
        prices: Prices | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.store = store
        self.objects = Objects(store)
        self.catalog = Catalog(store, branch=branch, objects=self.objects, signer=signer)
        self.runs = Runs(store)
        self.codes = Codes(store)
        self.plans = Plans(self.objects)
        self.tables = TableCache(self.objects, cache_bytes)
        self.prices = prices or Prices()
        self.project = project
        self.branch = branch
        self.now = now
        self._catalog_on = functools.lru_cache(maxsize=_BRANCHES_KEPT)(self.catalog.on)
        self.listener: RunListener = NOBODY
        """Hears what is put on record about runs."""
        self._load = definitions
        self._lock = threading.Lock()
        self._graph: AssetGraph | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Runtime:
        """The runtime of an app or command.

        Raises:
            SettingsError: the storage setting names nothing that can be opened, or the signing key or the prices cannot be used.
            MissingExtra: it needs a package that is not installed.
        """
        prefer_returnable_memory()
        store = open_store(settings.storage, container=settings.container)
        return cls(
            store,
            lambda: load_definitions(settings.project),
            project=settings.project,
            branch=settings.branch,
            cache_bytes=settings.cache_bytes,
            prices=Prices.read(settings.prices),
            signer=Signer.load(settings.signing_key) if settings.signing_key else None,
        )

    @classmethod
    def local(cls, project: Path, folder: Path, *, branch: str = "main", cache_bytes: int = 256_000_000) -> Runtime:
        """A runtime on a folder: no Azure, no network."""
        return cls.from_settings(Settings(storage=str(folder), container="", branch=branch, project=project, cache_bytes=cache_bytes))

    def catalog_on(self, branch: str) -> Catalog:
        """The catalog of a branch, which may not exist; the runtime's own if the name is empty.

        Raises:
            InvalidKey: it is no branch name.
        """
        return self.catalog if branch in ("", self.branch) else self._catalog_on(branch)

    @property
    def graph(self) -> AssetGraph:
        """Every asset the project defines.

        Raises:
            DefinitionError: something in the definitions is wrong; loading is tried again at the next call.
        """
        with self._lock:
            if self._graph is None:
                self._graph = AssetGraph(self._load())
            return self._graph
