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
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tidemill.errors import SettingsError


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
        )
