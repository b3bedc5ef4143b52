"""The API without a network: the same routes over a local store, so that every reading command works after `tidemill apply --local` too.

Imported only when it is asked for, since it brings Arrow and DuckDB with it.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import httpx

from tidemill.api.app import ApiApp
from tidemill.api.dispatch import dispatch
from tidemill.api.engine import EngineStatus
from tidemill.api.http import ApiRequest
from tidemill.execution.runtime import Runtime
from tidemill.model.keys import RunId
from tidemill.settings import Settings

URL = "http://local"


class _NoEngine:
    """Nothing executes runs here: `tidemill apply` does, while it lasts."""

    async def start(self, run: RunId) -> None:
        """Leaves the run as it is."""

    async def status(self, run: RunId) -> EngineStatus | None:  # noqa: ARG002 - the protocol's signature
        """Knows nothing."""
        return None

    async def wake(self, run: RunId) -> None:
        """Has nobody to wake."""


class InProcessTransport(httpx.BaseTransport):
    """Carries requests to the routes of this process."""

    def __init__(self, runtime: Runtime) -> None:
        self._app = ApiApp(runtime=runtime, engine=_NoEngine())

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answers one request."""
        asked = ApiRequest.of(
            request.method, str(request.url), query=dict(request.url.params), headers=dict(request.headers), body=request.read()
        )
        reply = asyncio.run(dispatch(self._app, asked))
        return httpx.Response(reply.status, headers={"Content-Type": reply.media_type, **reply.headers}, content=reply.body)


def open_runtime(project: Path, store: str, branch: str = "main") -> Runtime:
    """The runtime over a store address, with the project's definitions.

    Raises:
        SettingsError: the address says nothing that can be opened, or the signing key or the prices in the environment cannot be used.
        MissingExtra: it needs a package that is not installed.
        StoreUnavailable: nothing answers there.
    """
    return Runtime.from_settings(
        Settings(
            storage=store,
            container="tidemill",
            branch=branch,
            project=project,
            cache_bytes=256_000_000,
            prices=os.environ.get("TIDEMILL_PRICES", ""),
            signing_key=os.environ.get("TIDEMILL_SIGNING_KEY", ""),
        )
    )
