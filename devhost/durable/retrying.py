"""A task with a retry policy, as a replay executes it: attempts, the timers between them, and the idle timer after the last failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from devhost.durable.times import TICKS_PER_SECOND, to_text, to_ticks
from devhost.durable.waiting import Node

LONGEST_RETRY_MILLISECONDS: Final = 6 * 86400 * 1000


class Retry:
    """Attempts, waits and the dummy timer after the last failure."""

    def __init__(
        self, options: Mapping[str, Any], *, attempt: Callable[[], Node], timer: Callable[[str], Node], now: Callable[[], str]
    ) -> None:
        self.make = attempt
        self.timer = timer
        self.now = now
        self.options = options
        self.node = Node()
        """Done when it has succeeded, or has failed for good."""
        self.count = 0
        self.first_at = now()
        self.attempt()

    def attempt(self) -> None:
        self.wait_for(self.make(), self.attempted)

    def wait_for(self, node: Node, then: Callable[[Node], None]) -> None:
        self.node.ids.extend(node.ids)
        if node.done:
            then(node)
        else:
            node.then.append(lambda: then(node))

    def attempted(self, node: Node) -> None:
        if not node.failed:
            self.node.finish()
            return
        options, now = self.options, to_ticks(self.now())
        self.count += 1
        if self.count >= options["maxNumberOfAttempts"]:
            self.wait_for(self.timer(to_text(now)), lambda _: self.node.finish(failed=True))
            return
        timeout = options.get("retryTimeoutInMilliseconds")
        if timeout is not None and now >= to_ticks(self.first_at) + timeout * TICKS_PER_SECOND // 1000:
            self.node.finish(failed=True)
            return
        delay = options["firstRetryIntervalInMilliseconds"] * (options.get("backoffCoefficient") or 1) ** (self.count - 1)
        delay = min(delay, options.get("maxRetryIntervalInMilliseconds") or LONGEST_RETRY_MILLISECONDS)
        self.wait_for(self.timer(to_text(now + int(delay * TICKS_PER_SECOND / 1000))), lambda _: self.attempt())
