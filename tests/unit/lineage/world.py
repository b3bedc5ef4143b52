"""A project with everything lineage has to follow: months, a query over them, a yearly query over that, and a Python total."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from tests.unit.api.world import World
from tidemill.definitions.assets import AssetSpec
from tidemill.definitions.context import AssetContext
from tidemill.definitions.decorators import asset, external_asset, sql_asset
from tidemill.definitions.definitions import Definitions
from tidemill.definitions.partitions import StaticPartitions
from tidemill.execution.runtime import Runtime
from tidemill.storage.memory import MemoryStore

MONTHS = StaticPartitions(["2013-01", "2013-02"])
AMOUNTS = {"2013-01": [1.0, 2.0, 4.0], "2013-02": [8.0, 16.0, 32.0]}


class Shop(World):
    """The API over a memory store, with a source whose content and encoding of rows tests may change."""

    def __init__(self) -> None:
        super().__init__(executes=True)
        self.store = MemoryStore()
        self.amounts = {month: list(values) for month, values in AMOUNTS.items()}
        self.version = dict.fromkeys(AMOUNTS, "1")
        self.broken = False
        self.runtime = Runtime(self.store, lambda: Definitions(self._assets()), project=self.runtime.project, now=self.runtime.now)
        self.threads = type(self.threads)(self.runtime)
        self.app = type(self.app)(runtime=self.runtime, engine=self.threads, token=self._token)

    def _assets(self) -> list[AssetSpec[..., Any]]:
        shop = self

        def seen(context: AssetContext) -> str:
            return f"{context.partition_key} {shop.version[context.partition_key]}"

        @external_asset(key="raw.orders", partitions=MONTHS, observe=seen)
        def raw_orders(context: AssetContext) -> pa.Table:
            return pa.table({"id": [1, 2, 3], "shop": ["a", "b", "a"], "amount": shop.amounts[context.partition_key]})

        @asset(key="bronze.orders", inputs={"raw": raw_orders}, partitions=MONTHS, code_version="1")
        def bronze_orders(raw: pa.Table) -> pa.Table:
            return raw

        per_shop = sql_asset(
            sql="select shop, sum(amount) as total, count(*) from orders where id > 0 group by shop order by shop",
            key="silver.per_shop",
            inputs={"orders": bronze_orders},
            partitions=MONTHS,
        )

        @asset(key="gold.total", inputs={"shops": per_shop}, code_version="1")
        def gold_total(shops: pa.Table) -> pa.Table:
            if shop.broken:
                raise ValueError("no luck with https://x.blob.core.windows.net/c/b?sv=1&sig=SECRET%3D&x=1")
            return pa.table({"rows": [shops.num_rows]})

        return [raw_orders, bronze_orders, per_shop, gold_total]
