"""Policies: what to do when an asset fails. Decisions are values; whoever runs the asset acts on them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from tidemill.errors import DefinitionProblem
from tidemill.model.outcomes import ErrorInfo


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """Whether to try again, after how long, and why."""

    delay: timedelta | None
    """How long to wait before the next attempt; None: there is none."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how patiently a failed unit is tried again."""

    max_attempts: int = 3
    """Attempts in all, the first one included."""
    first_delay: timedelta = timedelta(seconds=5)
    """Wait before the second attempt."""
    backoff: float = 2.0
    """Each further wait is this many times longer; 1 keeps it constant."""
    max_delay: timedelta = timedelta(minutes=5)
    """No wait is longer."""
    non_retryable: tuple[str, ...] = ()
    """Names of exception classes, such as `ValueError`, that no further attempt can mend. Their subclasses count too."""

    def __post_init__(self) -> None:
        """Checks the figures.

        Raises:
            DefinitionProblem: one is out of its range.
        """
        names: object = self.non_retryable
        wrong = (
            ("max_attempts must be at least 1" if self.max_attempts < 1 else "")
            or ("first_delay must not be negative" if self.first_delay < timedelta() else "")
            or ("backoff must be at least 1" if self.backoff < 1 else "")
            or ("max_delay must not be shorter than first_delay" if self.max_delay < self.first_delay else "")
            or ("non_retryable must be a tuple of names" if not isinstance(names, tuple) else "")
        )
        if wrong:
            raise DefinitionProblem(
                f"RetryPolicy: {wrong}.",
                place="RetryPolicy",
                hint="For example `RetryPolicy(max_attempts=3, first_delay=timedelta(seconds=5))`.",
            )

    def decision(self, attempt: int, error: ErrorInfo, *, seed: str) -> RetryDecision:
        """What to do after a failed attempt. Pure: equal arguments, equal answer, on every replay.

        Args:
            attempt: the attempt that failed; the first one is 1.
            error: why it failed.
            seed: spreads the waits of many units; any text that differs between them. The wait lies between half and the whole of the
                backed-off delay.
        """
        if not error.retryable:
            return RetryDecision(None, f"{error.code} cannot be mended by another attempt")
        hopeless = [name for name in error.types if name in self.non_retryable]
        if hopeless:
            return RetryDecision(None, f"{hopeless[0]} is not retried")
        if attempt >= self.max_attempts:
            return RetryDecision(None, f"attempt {attempt} of {self.max_attempts} failed")
        limit, longest = self.first_delay, self.max_delay
        for _ in range(attempt - 1):
            limit = min(limit * self.backoff, longest)  # capped at each step: no power can overflow
        spread = int.from_bytes(hashlib.sha256(f"{seed}#{attempt}".encode()).digest()[:4]) / 2**32
        return RetryDecision(limit * (0.5 + spread / 2), f"attempt {attempt} of {self.max_attempts} failed")


NO_RETRY = RetryPolicy(max_attempts=1)
"""What an asset without a policy gets: one attempt."""
