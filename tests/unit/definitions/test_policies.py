from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from tidemill.definitions.policies import NO_RETRY, RetryPolicy
from tidemill.errors import DefinitionProblem
from tidemill.model.outcomes import ErrorInfo

FAILED = ErrorInfo(code="user-code-failed", message="It broke.", types=("KeyError", "LookupError", "Exception"))
POLICY = RetryPolicy(max_attempts=6, first_delay=timedelta(seconds=4), backoff=3, max_delay=timedelta(seconds=60))


def test_waits_grow_to_their_limit_and_stop_after_the_last_attempt() -> None:
    delays = [POLICY.decision(attempt, FAILED, seed="a@1").delay for attempt in range(1, 7)]
    assert delays[-1] is None
    for delay, longest in zip(delays, [4, 12, 36, 60, 60], strict=False):
        assert delay is not None
        assert timedelta(seconds=longest / 2) <= delay <= timedelta(seconds=longest)


def test_decisions_are_the_same_on_every_replay_and_spread_over_units() -> None:
    assert POLICY.decision(2, FAILED, seed="a@1") == POLICY.decision(2, FAILED, seed="a@1")
    assert POLICY.decision(1, FAILED, seed="a@1").delay == timedelta(seconds=3, microseconds=652663)
    assert len({POLICY.decision(2, FAILED, seed=f"a@{unit}").delay for unit in range(50)}) == 50


def test_a_hopeless_error_is_not_retried_by_class_or_base_class() -> None:
    policy = RetryPolicy(max_attempts=5, non_retryable=("LookupError",))
    assert policy.decision(1, FAILED, seed="a").reason == "LookupError is not retried"
    assert policy.decision(1, FAILED, seed="a").delay is None
    assert policy.decision(1, msgspec.structs.replace(FAILED, types=("OSError",)), seed="a").delay is not None


def test_an_error_that_says_so_itself_is_not_retried() -> None:
    wrong = ErrorInfo(code="wrong-type", message="It returned a list.", retryable=False)
    assert POLICY.decision(1, wrong, seed="a").delay is None
    assert POLICY.decision(1, wrong, seed="a").reason == "wrong-type cannot be mended by another attempt"


def test_without_a_policy_there_is_one_attempt() -> None:
    assert NO_RETRY.decision(1, FAILED, seed="a").delay is None


def test_a_long_series_cannot_overflow() -> None:
    policy = RetryPolicy(max_attempts=10_000, first_delay=timedelta(seconds=1), backoff=1e6, max_delay=timedelta(days=1))
    delay = policy.decision(9_000, FAILED, seed="a").delay
    assert delay is not None
    assert delay <= timedelta(days=1)


def test_a_policy_travels_in_messages() -> None:
    assert msgspec.json.decode(msgspec.json.encode(POLICY), type=RetryPolicy) == POLICY


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"max_attempts": 0}, "max_attempts must be at least 1"),
        ({"first_delay": timedelta(seconds=-1)}, "first_delay must not be negative"),
        ({"backoff": 0.5}, "backoff must be at least 1"),
        ({"first_delay": timedelta(hours=1)}, "max_delay must not be shorter than first_delay"),
        ({"non_retryable": "ValueError"}, "non_retryable must be a tuple of names"),
    ],
)
def test_figures_out_of_range_are_refused(options: dict[str, object], wrong: str) -> None:
    with pytest.raises(DefinitionProblem) as caught:
        RetryPolicy(**options)  # type: ignore[arg-type]
    assert str(caught.value) == f"RetryPolicy: {wrong}. For example `RetryPolicy(max_attempts=3, first_delay=timedelta(seconds=5))`."
