"""An instance that the engine has given up is told to whoever asks, and so is a task hub that is no more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from devhost.storage.account import StorageAccount
from tests.devhost.shell.support import run_command, running, wait_until, write_app

API = "/runtime/webhooks/durabletask"
WAITS = """
import azure.durable_functions as df

@app.orchestration_trigger(context_name="context")
def waits(context):
    return (yield context.wait_for_external_event("go"))
"""
HUB = "ShellAside"


async def scramble(storage: str, instance: str) -> None:
    account = StorageAccount.from_connection_string(storage)
    row = await account.tables.get(f"{HUB}History", instance, "0000000000000001")
    assert row is not None
    await account.tables.put(f"{HUB}History", {**{k: v for k, v in row.items() if not k.startswith("odata")}, "EventType": "Scrambled"})
    await account.close()


async def empty(storage: str) -> None:
    account = StorageAccount.from_connection_string(storage)
    await account.blobs.delete_container(f"{HUB.lower()}-applease")
    await account.close()


@pytest.mark.e2e
def test_what_is_set_aside_is_told_to_whoever_asks(tmp_path: Path, storage: str) -> None:
    app = write_app(tmp_path / "app", WAITS, host={"extensions": {"durableTask": {"hubName": HUB}}})
    with running(app, "--storage", storage) as host:
        for instance in ("broken", "sound"):
            assert host.request("POST", f"{API}/orchestrators/waits/{instance}").status == 202
            wait_until(lambda i=instance: host.get(f"{API}/instances/{i}").json()["runtimeStatus"] == "Running", what="running instance")
        assert "errors" not in host.get("/admin/host/status").json()
        assert host.terminate() == 0
    asyncio.run(scramble(storage, "broken"))
    with running(app, "--storage", storage) as host:
        host.wait_for_log("instance broken is set aside until the host starts anew; no other is affected: history row '0000000000000001'")
        reason = "history row '0000000000000001' of instance 'broken' is not an event: KeyError('Scrambled')"
        assert host.get("/admin/host/status").json()["errors"] == [f"instance 'broken' is set aside: {reason}"]
        url = f"http://127.0.0.1:{host.port}"
        listed = run_command("instances", "--url", url, "list").stdout.splitlines()
        (line,) = [line for line in listed if line.startswith("broken  ")]
        assert line.split()[3:5] == ["(set", "aside)"]
        assert listed[-1] == f"broken is set aside until the host starts anew: {reason}"
        shown = run_command("instances", "--url", url, "show", "broken").stdout.splitlines()
        assert shown[-2:] == [f"  The history cannot be shown: {reason}", f"  SET ASIDE until the host starts anew: {reason}"]
        assert host.request("POST", f"{API}/instances/sound/raiseEvent/go", "1", {"Content-Type": "application/json"}).status == 202
        wait_until(lambda: host.get(f"{API}/instances/sound").json()["output"] == 1, what="end of the sound instance")
        asyncio.run(empty(storage))
        assert host.process.wait(timeout=40) == 5
        assert f"task hub '{HUB}' is gone from storage, as if it had been emptied or replaced by another" in host.log
