"""What a run costs on Azure: list prices, which a setting may replace by what is really paid."""

from __future__ import annotations

from typing import Self

import msgspec

from tidemill.errors import SettingsError


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """Prices of the Flex Consumption plan (on demand) and of a storage account (block blobs, hot, locally redundant), in East US.

    Free grants and the capacity that data takes up are left out. They are defaults to start from, not read from a
    price list at run time: prices differ by region, by contract and over time, so set what you pay with `TIDEMILL_PRICES` before you rely on the sum.
    """

    currency: str = "USD"
    as_of: str = "2026-11"
    """When these defaults were written down; `set` if some were given by the setting."""
    gb_second: float = 0.000026
    million_executions: float = 0.40
    ten_thousand_writes: float = 0.065
    ten_thousand_reads: float = 0.005
    memory_gb: float = 2.0
    """Memory of an instance: what an activity is charged for as long as it takes."""

    @classmethod
    def read(cls, text: str) -> Self:
        """Reads `name=value` pairs joined by commas, such as `currency=EUR,gb_second=0.000029`. What is not named keeps its list price.

        Raises:
            SettingsError: it cannot be read so.
        """
        given: dict[str, str | float] = {}
        for pair in filter(None, (each.strip() for each in text.split(","))):
            name, _, value = (part.strip() for part in pair.partition("="))
            try:
                given[name] = value if name == "currency" else float(value)
                valid = name in cls.__struct_fields__ and name != "as_of" and (name == "currency" or 0 <= float(value) < float("inf"))
            except ValueError:
                valid = False
            if not valid:
                names = ", ".join(each for each in cls.__struct_fields__ if each != "as_of")
                raise SettingsError(f"TIDEMILL_PRICES has `{pair}`, which is no price.", hint=f"Write name=value pairs; names are {names}.")
        return cls(**given, as_of="set") if given else cls()  # type: ignore[arg-type]  # checked above


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """What is charged for."""

    gb_seconds: float
    executions: int
    writes: int
    reads: int

    def cost(self, prices: Prices) -> float:
        """In the currency of the prices."""
        return (
            self.gb_seconds * prices.gb_second
            + self.executions / 1e6 * prices.million_executions
            + self.writes / 1e4 * prices.ten_thousand_writes
            + self.reads / 1e4 * prices.ten_thousand_reads
        )
