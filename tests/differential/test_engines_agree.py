"""Our engine and durabletask's come to the same end with every program, and it is the one worked out on paper.

`make differential` runs two thousand programs, new ones each time; TIDEMILL_PROGRAMS says how many. A failure prints the program, and Hypothesis how to
make it again.
"""

from __future__ import annotations

import collections
import json
import os
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.differential.interpreter import Outcome
from tests.differential.on_devhost import DevhostEngine
from tests.differential.on_durabletask import DurableTaskEngine
from tests.differential.on_paper import outcome_on_paper
from tests.differential.programs import Program, programs

pytestmark = pytest.mark.filterwarnings("ignore:Potential duplicate Task completion:UserWarning")  # the SDK's word for an early event

BATCH = 40
"""Programs run side by side, so that their episodes and activities mix."""
MANY = int(os.environ.get("TIDEMILL_PROGRAMS", "2000"))


def settings_for(count: int, *, same_each_time: bool) -> settings:
    """Generation only: what differs is printed, and the small print of a batch tells nothing more."""
    return settings(
        max_examples=count,
        derandomize=same_each_time,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def compare(batch: Sequence[Program], ours: DevhostEngine, theirs: DurableTaskEngine) -> list[Outcome]:
    """Runs programs on both engines and gives what they came to; fails with every program that they disagree on."""
    papers, told = [outcome_on_paper(program) for program in batch], []
    for program, our, their, paper in zip(batch, ours.run(batch), theirs.run(batch), papers, strict=True):
        if not our == their == paper:
            told.append(f"{program}\n  devhost     {our}\n  durabletask {their}\n  on paper    {paper}")
    if told:
        pytest.fail("\n" + "\n".join(told), pytrace=False)
    return papers


@settings_for(2, same_each_time=True)
@given(batch=st.lists(programs(), min_size=BATCH, max_size=BATCH))
def test_generated_orchestrations_end_alike_on_two_engines(batch: list[Program], ours: DevhostEngine, theirs: DurableTaskEngine) -> None:
    compare(batch, ours, theirs)


@pytest.mark.proof
@pytest.mark.timeout(3600)
def test_two_thousand_generated_orchestrations_end_alike_on_two_engines(ours: DevhostEngine, theirs: DurableTaskEngine) -> None:
    ends: collections.Counter[str] = collections.Counter()

    @settings_for(MANY // BATCH, same_each_time=False)
    @given(batch=st.lists(programs(), min_size=BATCH, max_size=BATCH))
    def run(batch: list[Program]) -> None:
        for program, outcome in zip(batch, compare(batch, ours, theirs), strict=True):
            ends[outcome.status] += 1
            ends["suspended and resumed"] += program.mode == "suspend"
            ends["continued as new"] += program.generations > 0
            ends["activities"] += sum(outcome.ran.values())
            text = json.dumps(program.steps)
            for kind in ("all", "any", "as_they_come", "try", "sub", "sub_retry", "flaky", "timer", "long_timer", "event"):
                ends[f"with {kind}"] += f'"{kind}"' in text

    run()
    print(dict(ends))  # noqa: T201 - seen with `-s`: what was compared
    assert min(ends["Completed"], ends["Failed"], ends["Terminated"], ends["suspended and resumed"], ends["continued as new"]) > MANY // 50
