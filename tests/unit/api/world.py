"""A small project behind the API: two external months, a bronze and a silver by month, one gold, and one asset that fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from tidemill.api.app import ApiApp
from tidemill.api.dispatch import dispatch
from tidemill.api.engine import Engine
from tidemill.api.http import ApiRequest, ApiResponse
from tidemill.definitions.assets import AssetSpec
from tidemill.definitions.context import AssetContext
from tidemill.definitions.decorators import asset, external_asset
from tidemill.definitions.definitions import Definitions
from tidemill.definitions.partitions import StaticPartitions
from tidemill.execution.runtime import Runtime
from tidemill.storage.base import BlobStore
from tidemill.storage.memory import MemoryStore
from tidemill.testing.engines import RememberingEngine, ThreadEngine

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ORIGIN = "http://127.0.0.1:7071"
MONTHS = StaticPartitions(["2013-01", "2013-02"])


@external_asset(key="raw.orders", partitions=MONTHS)
def raw_orders(context: AssetContext) -> pa.Table:
    return pa.table({"id": [1, 2, 3], "amount": [1.5, 2.5, None], "month": [context.partition_key] * 3})


@asset(key="bronze.orders", inputs={"raw": raw_orders}, partitions=MONTHS, group="bronze", description="Orders as they came.")
def bronze_orders(raw: pa.Table) -> pa.Table:
    return raw


@asset(
    key="silver.orders",
    inputs={"bronze": bronze_orders},
    partitions=MONTHS,
    parameters={"factor": 2},
    owners=["ada"],
    tags={"layer": "silver"},
)
def silver_orders(context: AssetContext, bronze: pa.Table) -> pa.Table:
    return bronze.append_column("factor", pa.array([context.parameters["factor"]] * bronze.num_rows))


@asset(key="gold.total", inputs={"orders": silver_orders})
def gold_total(orders: pa.Table) -> pa.Table:
    return pa.table({"rows": [orders.num_rows]})


@asset(key="gold.broken", inputs={"total": gold_total})
def gold_broken(total: pa.Table) -> pa.Table:
    raise ValueError("no luck with https://x.blob.core.windows.net/c/b?sv=1&sig=SECRET%3D&x=1")


ASSETS: list[AssetSpec[..., Any]] = [raw_orders, bronze_orders, silver_orders, gold_total, gold_broken]


class World:
    """The API over a memory store."""

    def __init__(self, *, store: BlobStore | None = None, executes: bool = False) -> None:
        self.store = store or MemoryStore()
        self.runtime = Runtime(self.store, lambda: Definitions(ASSETS), project=Path.cwd(), now=lambda: NOW)
        self.remembering = RememberingEngine()
        self.threads = ThreadEngine(self.runtime)
        self.tokens = 0
        self.app = ApiApp(runtime=self.runtime, engine=self._engine(executes), token=self._token)

    def _engine(self, executes: bool) -> Engine:
        return self.threads if executes else self.remembering

    def _token(self) -> str:
        self.tokens += 1
        return f"{self.tokens:08x}"

    def ask(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> ApiResponse:
        request = ApiRequest.of(method, f"{ORIGIN}/api{path}", query=query or {}, headers=headers or {}, body=body)
        return asyncio.run(dispatch(self.app, request))

    def get(self, path: str, **query: str) -> ApiResponse:
        return self.ask("GET", path, query=query)

    def post(self, path: str, value: Any = None, **headers: str) -> ApiResponse:
        body = b"" if value is None else json.dumps(value).encode()
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.ask("POST", path, body=body, headers={"content-type": "application/json"} | named)

    def run(self, selection: str = "gold.total+silver.orders", **more: Any) -> dict[str, Any]:
        """Starts a run and waits for its end; needs an engine that executes."""
        started = json_of(self.post("/runs", {"selection": selection, **more}))
        self.threads.join(started["run_id"])
        view: dict[str, Any] = json_of(self.get(f"/runs/{started['run_id']}"))
        return view


def json_of(response: ApiResponse) -> Any:
    return json.loads(response.body)
