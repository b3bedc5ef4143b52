"""Settings: everything the environment may decide, read once, in one place.

| variable | meaning | default |
|---|---|---|
| `TIDEMILL_STORAGE` | where Tidemill remembers: a connection string, an account URL (`https://…`, with the app's identity), or a folder | the value of `AzureWebJobsStorage` |
| `TIDEMILL_CONTAINER` | the blob container | `tidemill` |
| `TIDEMILL_BRANCH` | the branch the app reads and commits to | `main` |
| `TIDEMILL_PROJECT` | the folder that holds `pipelines/` | the app's own folder |
| `TIDEMILL_CACHE_MB` | memory for decoded inputs in a worker, in MB | `64` |
| `TIDEMILL_SIGNING_KEY` | the private key that signs what is committed, where a branch asks for that: a file, its text (PEM), or 64 hex digits; a secret | none |
| `TIDEMILL_PRICES` | what is paid on Azure, for predictions: `name=value` pairs joined by commas, such as `currency=EUR,gb_second=0.000029`; names are `currency`, `gb_second`, `million_executions`, `ten_thousand_writes`, `ten_thousand_reads`, `memory_gb` | list prices in USD |
| `TIDEMILL_OPENLINEAGE` | where runs send their OpenLineage events as they go: the whole address of a lineage backend (`http://…`), `file:` and a path, or `off` | see `OPENLINEAGE_URL` |
| `TIDEMILL_OPENLINEAGE_KEY` | that backend's key, sent as `Authorization: Bearer …`; a secret | `OPENLINEAGE_API_KEY` |
| `OPENLINEAGE_URL` | a lineage backend, as OpenLineage's own clients read it: `OPENLINEAGE_ENDPOINT` is added, or else `api/v1/lineage`; `OPENLINEAGE_DISABLED=true` turns it off | none: nothing is sent |
| `OPENLINEAGE_NAMESPACE` | namespace of the jobs and datasets in events | `tidemill` |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tidemill.errors import SettingsError

DEFAULT_NAMESPACE = "tidemill"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageBackend:
    """Where OpenLineage events go."""

    address: str
    """A whole HTTP address, or `file:` and a path."""
    key: str = field(default="", repr=False)
    """Sent with every event; empty: none. Never shown."""
    namespace: str = DEFAULT_NAMESPACE
    """Of the jobs and datasets."""

    @property
    def path(self) -> Path | None:
        """The file that events go to; None for a backend."""
        return Path(self.address.removeprefix("file://").removeprefix("file:")) if self.address.startswith("file:") else None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """Reads the settings; None: nowhere.

        Raises:
            SettingsError: it is no address.
        """
        own, base = environment.get("TIDEMILL_OPENLINEAGE", ""), environment.get("OPENLINEAGE_URL", "")
        if own == "off" or (not own and (not base or environment.get("OPENLINEAGE_DISABLED", "").lower() in ("true", "1"))):
            return None
        address = own or f"{base.rstrip('/')}/{environment.get('OPENLINEAGE_ENDPOINT', 'api/v1/lineage').lstrip('/')}"
        if not re.match(r"https?://[^/]|file:.", address):
            raise SettingsError(
                f"`{address}` is not where OpenLineage events can go.",
                hint=f"Set {'TIDEMILL_OPENLINEAGE' if own else 'OPENLINEAGE_URL'} to an address such as http://localhost:5000{'/api/v1/lineage' if own else ''}"
                f"{', to file:/some/events.jsonl, or to off' if own else ''}.",
            )
        return cls(address=address, key=cls.key_in(environment), namespace=cls.namespace_in(environment))

    @staticmethod
    def key_in(environment: Mapping[str, str]) -> str:
        """The key of a backend, wherever that is; empty: none."""
        return environment.get("TIDEMILL_OPENLINEAGE_KEY") or environment.get("OPENLINEAGE_API_KEY") or ""

    @staticmethod
    def namespace_in(environment: Mapping[str, str]) -> str:
        """The namespace of jobs and datasets."""
        return environment.get("OPENLINEAGE_NAMESPACE") or DEFAULT_NAMESPACE


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment decided."""

    storage: str
    container: str
    branch: str
    project: Path
    cache_bytes: int
    prices: str = ""
    """What is paid instead of the list prices; empty: the list prices."""
    signing_key: str = field(default="", repr=False)
    """Names or holds a private key; empty: nothing can be signed. Never shown."""
    lineage: LineageBackend | None = None
    """Where runs send their OpenLineage events; None: nowhere."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], *, project: Path) -> Settings:
        """Reads the settings.

        Args:
            environment: usually `os.environ`.
            project: used where `TIDEMILL_PROJECT` does not say otherwise.

        Raises:
            SettingsError: no storage is set, or a number is not one.
        """
        storage = environment.get("TIDEMILL_STORAGE") or environment.get("AzureWebJobsStorage") or ""
        account = environment.get("AzureWebJobsStorage__accountName")
        if not storage and account:
            storage = f"https://{account}.blob.core.windows.net"
        if not storage:
            raise SettingsError(
                "No storage is set.",
                hint="Set TIDEMILL_STORAGE (or AzureWebJobsStorage) to a connection string, an account URL or a folder.",
            )
        cache = environment.get("TIDEMILL_CACHE_MB", "64")
        if not cache.isdigit():
            raise SettingsError(
                f"TIDEMILL_CACHE_MB is `{cache}`, which is not a number of megabytes.", hint="Write a whole number, such as 64."
            )
        return cls(
            storage=storage,
            container=environment.get("TIDEMILL_CONTAINER") or "tidemill",
            branch=environment.get("TIDEMILL_BRANCH") or "main",
            project=Path(environment.get("TIDEMILL_PROJECT") or project),
            cache_bytes=int(cache) * 1_000_000,
            prices=environment.get("TIDEMILL_PRICES") or "",
            signing_key=environment.get("TIDEMILL_SIGNING_KEY") or "",
            lineage=LineageBackend.from_environment(environment),
        )
