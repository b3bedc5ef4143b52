"""Programs that are left out of the comparison because the Durable extension, or its SDK, is known to do something else: that ours does it too."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.differential.interpreter import Outcome, event_value
from tests.differential.on_devhost import DevhostEngine
from tests.differential.on_durabletask import DurableTaskEngine
from tests.differential.programs import Program, Step

pytestmark = pytest.mark.filterwarnings("ignore:Potential duplicate Task completion:UserWarning")


def outcomes(ours: DevhostEngine, theirs: DurableTaskEngine, *steps: Step, order: list[str] | None = None) -> tuple[Outcome, Outcome]:
    program = Program(list(steps), 0, "plain", order or [], early=True)
    return ours.run([program])[0], theirs.run([program])[0]


@pytest.mark.parametrize(
    ("race", "ran"),
    [
        (["as_they_come", [["call", 1, "quick"], ["flaky", 2, 1, 2]]], "flaky:2"),
        (["do", ["any", 3, ["flaky", 2, 1, 2], [["long_timer", 4]], 0]], "flaky:2"),
    ],
    ids=["a task_any loop", "a race against a timer"],
)
def test_a_retry_in_a_race_changes_places_with_what_comes_behind_it(
    race: Step, ran: str, ours: DevhostEngine, theirs: DurableTaskEngine, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "devhost.durable"):
        our, their = outcomes(ours, theirs, race, ["do", ["call", 5, "behind"]])
    assert their.status == "Completed"
    assert their.ran[ran] == 2
    assert our.status == "Failed"
    assert our.output.startswith("Non-Deterministic workflow detected: A previous execution of this orchestration scheduled")
    told = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert any("a call with retry stands in a task_any" in each and "Retry in a sub-orchestration" in each for each in told)


def test_the_way_around_it_works(ours: DevhostEngine, theirs: DurableTaskEngine) -> None:
    in_child: Any = ["sub", 1, [["do", ["flaky", 2, 1, 2]]]]
    our, their = outcomes(ours, theirs, ["as_they_come", [["call", 3, "quick"], in_child]], ["do", ["call", 4, "behind"]])
    assert our == their
    assert our.status == "Completed"


def test_a_task_all_that_failed_completes_again_and_breaks_what_is_around_it(ours: DevhostEngine, theirs: DurableTaskEngine) -> None:
    slow = ["sub", 2, [["do", ["call", key, key]] for key in (3, 4, 5)]]
    around = ["all", 6, [["all", 1, [["boom", 7], slow]], ["call", 8, "beside"]]]
    our, their = outcomes(ours, theirs, ["try", [["do", around]], [["do", ["call", 9, "after"]]]])
    assert (their.status, their.output[0]) == ("Completed", {"caught": "boom:7"})
    assert our.status == "Failed"
    assert "Parent Task -1 does not have pending sub-task with ID -1" in our.output


def test_an_empty_task_all_is_none(ours: DevhostEngine) -> None:
    program = Program([["try", [["do", ["all", 1, []]]], []]], 0, "plain", [], early=True)
    assert ours.run([program])[0].output == [{"caught": "'NoneType' object is not iterable"}]


def test_a_falsy_custom_status_is_lost(ours: DevhostEngine, theirs: DurableTaskEngine) -> None:
    our, their = outcomes(ours, theirs, ["status", 0], ["do", ["call", 1, "x"]])
    assert (our.custom_status, their.custom_status) == (None, 0)


def test_one_early_event_is_given_to_every_wait(ours: DevhostEngine, theirs: DurableTaskEngine) -> None:
    twice: list[Step] = [
        ["do", ["sub", 1, [["do", ["call", 2, "first"]]]]],
        ["do", ["event", 3]],
        ["do", ["any", 4, ["event", 3], [["timer", 5]], 0]],
    ]
    our, their = outcomes(ours, theirs, *twice, order=["event3"])
    assert our.output == [["first"], event_value("event3"), event_value("event3")]
    assert their.output == [["first"], event_value("event3"), None]
