"""The boundary's codec: echo, refusal, tolerance for newer writers; and that every command can be answered by a registered activity."""

from __future__ import annotations

import json

import pytest

from activities import ACTIVITIES
from orchestrators import ORCHESTRATORS
from tidemill.errors import MessageError, SettingsError
from tidemill.messages.codec import command_hash, from_json, seal, to_json, unseal
from tidemill.messages.registry import callable_names, prove_registered
from tidemill.messages.run import BuildPlan, CommitRun, CommitRunReply, RunInput


def test_a_reply_is_only_read_by_the_command_it_answers() -> None:
    asked, other = CommitRun(run_id="r-1"), CommitRun(run_id="r-2")
    sealed = json.loads(json.dumps(seal(asked, CommitRunReply(status="succeeded"))))
    assert unseal(asked, sealed) == CommitRunReply(status="succeeded")
    assert unseal(other, sealed) is None


def test_commands_of_two_activities_with_equal_fields_are_told_apart() -> None:
    assert command_hash(CommitRun(run_id="r-1")) != command_hash(BuildPlan(run_id="r-1"))


def test_readers_accept_fields_of_a_newer_writer() -> None:
    assert from_json({**to_json(RunInput(run_id="r-1")), "invented_later": 1}, RunInput) == RunInput(run_id="r-1")


def test_a_message_that_cannot_be_read_says_whose_mistake_it_is() -> None:
    with pytest.raises(MessageError) as refused:
        from_json({"run_id": 5}, RunInput)
    assert str(refused.value) == (
        "A stored message cannot be read as RunInput: Expected `str`, got `int` - at `$.run_id`. "
        "A deployment changed a message that runs in flight still use; deploy the previous version again and let them finish."
    )


def test_everything_an_orchestrator_can_call_is_registered() -> None:
    assert callable_names() == set(ACTIVITIES)
    prove_registered(ACTIVITIES, ORCHESTRATORS)


def test_a_missing_registration_is_refused_at_start_and_named() -> None:
    with pytest.raises(SettingsError, match="does not register `commit_run`, `materialize_run`"):
        prove_registered(set(ACTIVITIES) - {"commit_run"}, set())
