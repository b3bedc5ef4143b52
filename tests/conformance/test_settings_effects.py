"""Beside the checklist: settings of host.json that change what the engine does, one host with all of them changed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.conformance.conftest import app_settings, copy_of_app
from tests.conformance.target import WEB_HOOK, Target
from tests.devhost.shell.support import RunningHost, running

pytestmark = [pytest.mark.conformance, pytest.mark.e2e, pytest.mark.timeout(120)]

DURABLE = {
    "storeInputsInOrchestrationHistory": True,
    "defaultVersion": "1.1",
    "overridableExistingInstanceStates": "AnyState",
    "maxOrchestrationActions": 30,
    "httpSettings": {"useForwardedHost": True, "defaultAsyncRequestSleepTimeMilliseconds": 1000},
}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, storage: str) -> Iterator[RunningHost]:
    app = copy_of_app(tmp_path_factory.mktemp("settings"))
    host_json = json.loads((app / "host.json").read_text())
    host_json["extensions"]["durableTask"] |= DURABLE
    host_json["functionTimeout"] = "00:00:03"
    (app / "host.json").write_text(json.dumps(host_json))
    with running(app, settings=app_settings(storage)) as host:
        yield host


@pytest.fixture
def changed(host: RunningHost) -> Target:
    return Target(f"http://127.0.0.1:{host.port}")


def test_inputs_are_kept_in_the_history(changed: Target) -> None:
    activity = changed.start("c_calls", None, {"activity": "echo", "input": {"a": "é"}})
    changed.wait(activity)
    done = next(event for event in changed.history(activity) if event["EventType"] == "TaskCompleted")
    assert done["Input"] == json.dumps([json.dumps({"a": "é"})], ensure_ascii=False, separators=(",", ":"))
    family = changed.start("c_family")
    changed.wait(family)
    children = [event for event in changed.history(family) if event["EventType"] == "SubOrchestrationInstanceCompleted"]
    assert [event["Input"] for event in children] == ['"\\"input\\""', '"null"']


def test_the_default_version_reaches_instances_and_their_children(changed: Target) -> None:
    assert changed.output("c_version") == "1.1"
    older = changed.new_id("older")
    assert changed.manage("POST", f"/orchestrators/c_version/{older}?version=0.9").status == 202
    assert changed.wait(older)["output"] == "0.9"
    newer = changed.new_id("newer")
    assert changed.manage("POST", f"/orchestrators/c_version/{newer}?version=2.0").status == 202
    changed.stays(newer, "Pending", seconds=1)  # rejected: it waits for a host of its version
    assert changed.manage("DELETE", f"/instances/{newer}").status == 200
    parent = changed.start("c_version_of_child")
    assert changed.wait(parent)["output"] == ["1.1", "0.5"]


def test_any_state_can_be_overridden(changed: Target) -> None:
    instance = changed.start("o_event")
    changed.wait(instance, until=("Running",))
    assert changed.manage("POST", f"/orchestrators/o_chain/{instance}").status == 202
    assert changed.wait(instance)["output"] == [1, 2, 3]


def test_too_many_actions_are_a_rejected_call(changed: Target, host: RunningHost) -> None:
    instance = changed.start("c_for_ever")
    host.wait_for_log("Maximum amount of orchestration actions (30) has been reached")
    changed.stays(instance, "Running", seconds=0.5)
    changed.post(instance, "terminate?reason=end")
    assert changed.wait(instance)["runtimeStatus"] == "Terminated"


def test_an_activity_past_the_function_timeout_fails(changed: Target) -> None:
    found = changed.run("c_calls", {"activity": "timed", "input": 30})
    assert found["runtimeStatus"] == "Failed"
    text = "Activity function 'timed' failed: Timeout value of 00:00:03 was exceeded by function: Functions.timed"
    assert found["output"].startswith(f"Orchestrator function 'c_calls' failed: {text} \n ")


def test_links_follow_the_proxy(changed: Target) -> None:
    headers = {"X-Forwarded-Host": "public.example", "X-Forwarded-Proto": "https"}
    links = changed.manage("POST", "/orchestrators/o_chain", headers=headers).json()
    port = changed.authority.rpartition(":")[2]
    assert links["statusQueryGetUri"].startswith(f"https://public.example:{port}{WEB_HOOK}/instances/")
    one = changed.manage("POST", "/orchestrators/o_chain", headers={"X-Forwarded-Host": "public.example"}).json()
    assert one["statusQueryGetUri"].startswith(changed.base)
