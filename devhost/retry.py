"""Retry policies of functions (`@app.retry`): how often, and how long to wait."""

from __future__ import annotations

from dataclasses import dataclass

from devhost.durations import parse_timespan
from devhost.functions import FunctionMetadata
from devhost.jsonc import SettingsError

_MAX_INTERVAL = 2.0**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed invocation is tried again; times in seconds."""

    max_retry_count: int
    """-1 is for ever."""
    is_fixed: bool
    delay_interval: float = 0.0
    minimum_interval: float = 0.0
    maximum_interval: float = _MAX_INTERVAL

    @classmethod
    def of(cls, function: FunctionMetadata) -> RetryPolicy | None:
        """A function's policy; None when it has none.

        Raises:
            SettingsError: a part of it cannot be read.
        """
        given = function.retry
        if not given:
            return None
        count = str(given.get("max_retry_count", ""))
        if not count.lstrip("-").isdecimal() or int(count) < -1:
            raise SettingsError(
                f"function {function.name}: max_retry_count of its retry policy has to be a whole number, -1 for ever; not {count!r}"
            )

        def interval(key: str, default: float) -> float:
            text = given.get(key)
            if text is None:
                return default
            seconds = parse_timespan(str(text))
            if seconds is None or seconds >= 86400:
                raise SettingsError(f"function {function.name}: {key} of its retry policy has to be hh:mm:ss below 24 hours, not {text!r}")
            return seconds

        return cls(
            max_retry_count=int(count),
            is_fixed=given.get("strategy") == "fixed_delay",
            delay_interval=interval("delay_interval", 0.0),
            minimum_interval=interval("minimum_interval", 0.0),
            maximum_interval=interval("maximum_interval", _MAX_INTERVAL),
        )

    def delay(self, retries: int, chance: float) -> float:
        """Seconds to wait before retry number `retries + 1`; `chance` from 0 to 1 sets the jitter of +/-20 %."""
        if self.is_fixed:
            return self.delay_interval
        if not retries:
            return self.minimum_interval
        doubled = self.minimum_interval + (2.0 ** min(retries, 60) - 1) * max(self.minimum_interval, 1.0) * (0.8 + 0.4 * chance)
        return min(doubled, self.maximum_interval)
