"""Every instance ends as it would have, nothing on record runs again, and every history is sound, whatever is killed and when."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

from tests.chaos.campaign import run_campaign

pytestmark = pytest.mark.e2e


@pytest.mark.slow
def test_a_few_kills(storage: str, tmp_path: Path) -> None:
    report = run_campaign(storage, tmp_path, "7", rounds=1, kills=6, in_flight=10)
    assert report.problems == []
    assert report.kills.total() == 6
    assert report.counts["families in flight at kills"] > 6
    assert report.counts["histories checked"] > 0


@pytest.mark.proof
@pytest.mark.timeout(3600)
def test_two_hundred_kills(storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`CHAOS_SEED` repeats a campaign, `CHAOS_KILLS` sets its length."""
    seed = os.environ.get("CHAOS_SEED") or str(random.SystemRandom().randrange(10**6))
    rounds = -(-int(os.environ.get("CHAOS_KILLS", "200")) // 25)
    with capsys.disabled():
        sys.stdout.write(f"\nCHAOS_SEED={seed}\n")
    report = run_campaign(storage, tmp_path, seed, rounds=rounds, kills=25, in_flight=24)
    with capsys.disabled():
        sys.stdout.write(f"{report}\n")
    assert report.problems == []
    assert report.kills.total() == rounds * 25
    assert report.counts["executions repeated"] > 0, "no kill has met a running activity: nothing has been proved"
    assert len(report.progress) > report.kills.total() / 4
    assert max(report.progress) < 5.0
