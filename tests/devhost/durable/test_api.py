"""The management API's replies, and what others find in the tables."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest
from aiohttp import web

from devhost.durable.extension import DurableExtension
from devhost.storage.account import StorageAccount
from tests.devhost.durable.rig import ORIGIN, Host, InProcessInvoker, eventually, fresh_hub
from tests.devhost.durable.scenarios import GATES, build, in_host


async def json_of(host: Host, path: str) -> Any:
    return json.loads((await host.ask("GET", path)).body)


def test_status_options(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new("fan", None, {"n": 2})
        await host.wait(instance)
        plain = await json_of(host, f"/instances/{instance}")
        assert list(plain) == ["name", "instanceId", "runtimeStatus", "input", "customStatus", "output", "createdTime", "lastUpdatedTime"]
        assert plain["input"] == {"n": 2}
        assert (await json_of(host, f"/instances/{instance}?showInput=False"))["input"] is None
        bare = (await json_of(host, f"/instances/{instance}?showHistory=true&showInput=false"))["historyEvents"]
        assert not any("Result" in event or "Input" in event for event in bare)
        full = (await json_of(host, f"/instances/{instance}?SHOWHISTORY=true&showHistoryOutput=true"))["historyEvents"]
        assert list(full[1]) == ["EventType", "Result", "Timestamp", "ScheduledTime", "FunctionName", "Input"]
        assert full[1]["ScheduledTime"][-6] in "+-"

    in_host(storage, story)


def test_a_running_instance_answers_202_with_its_own_url(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new("waits", "with space")
        await host.wait("with%20space", until=("Running",))
        reply = await host.ask("GET", "/instances/with%20space?showInput=true")
        assert (reply.status, reply.headers["Retry-After"]) == (202, "5")
        assert f"{ORIGIN}/runtime/webhooks/durabletask/instances/with%20space?showInput=true" == reply.headers["Location"]
        assert instance == "with space"
        host.extension.rpc_base = f"{ORIGIN}/durabletask/"
        reply = await host.ask("GET", "/instances/with%20space")
        assert f"{ORIGIN}/durabletask/instances/with%20space" == reply.headers["Location"]

    in_host(storage, story)


def test_a_failed_instance_can_answer_500(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new("error_empty")
        await host.wait(instance)
        assert (await host.ask("GET", f"/instances/{instance}")).status == 200
        assert (await host.ask("GET", f"/instances/{instance}?returnInternalServerErrorOnFailure=true")).status == 500

    in_host(storage, story)


def test_start_and_wait(storage: str) -> None:
    async def story(host: Host) -> None:
        reply = await host.ask("POST", "/orchestrators/chain?timeout=5&pollingInterval=0.1")
        assert (reply.status, reply.body) == (200, b"[1,2]")
        reply = await host.ask("POST", "/orchestrators/error_empty?timeout=5&pollingInterval=0.1")
        assert (reply.status, json.loads(reply.body)["runtimeStatus"]) == (200, "Failed")
        reply = await host.ask("POST", "/orchestrators/waits?timeout=0.3&pollingInterval=0.1")
        assert (reply.status, reply.headers["Retry-After"]) == (202, "10")
        assert (await host.ask("POST", "/orchestrators/chain?timeout=1&pollingInterval=2")).status == 400

    in_host(storage, story)


def test_lists_are_filtered_and_paged(storage: str) -> None:
    async def story(host: Host) -> None:
        for number in range(5):
            await host.start_new("chain", f"list-{number}")
        await host.start_new("error_empty", "other")
        for instance in ("list-0", "list-1", "list-2", "list-3", "list-4", "other"):
            await host.wait(instance)
        page = await host.ask("GET", "/instances?top=2")
        found = [item["instanceId"] for item in json.loads(page.body)]
        while token := page.headers.get("x-ms-continuation-token"):
            page = await host.ask("GET", "/instances?top=2", headers={"x-ms-continuation-token": token})
            found += [item["instanceId"] for item in json.loads(page.body)]
        assert found == ["list-0", "list-1", "list-2", "list-3", "list-4", "other"]
        assert len(await json_of(host, "/instances?instanceIdPrefix=list-")) == 5
        assert [item["instanceId"] for item in await json_of(host, "/instances?runtimeStatus=Failed,Running")] == ["other"]
        assert len(await json_of(host, "/instances?runtimeStatus=nonsense&top=x&createdTimeFrom=never")) == 6
        assert await json_of(host, "/instances?createdTimeFrom=2999-01-01T00:00:00Z") == []

    in_host(storage, story)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/orchestrators/chain"),
        ("PUT", "/instances"),
        ("GET", "/nothing"),
        ("POST", "/instances/x/nothing"),
        ("GET", "/instances/x/terminate"),
        ("GET", "/"),
    ],
)
def test_wrong_paths_are_404_and_empty(storage: str, method: str, path: str) -> None:
    async def story(host: Host) -> None:
        reply = await host.ask(method, path)
        assert (reply.status, reply.body) == (404, b"")

    in_host(storage, story)


def test_an_encoded_slash_stays_in_the_id_and_other_bad_ids_are_refused(storage: str) -> None:
    async def story(host: Host) -> None:
        reply = await host.ask("POST", "/orchestrators/chain/x%2Fa")
        assert json.loads(reply.body)["id"] == "x%2Fa"
        reply = await host.ask("POST", "/orchestrators/chain/x%3Fa")
        assert (reply.status, json.loads(reply.body)["Message"]) == (400, "One or more of the arguments submitted is incorrect")
        reply = await host.ask("POST", "/orchestrators/chain/%40x")
        assert json.loads(reply.body)["ExceptionMessage"] == "instanceId (Parameter 'Orchestration instance ids must not start with @.')"
        assert (
            await host.ask("POST", "/orchestrators/fan/form", raw=b"lost", headers={"content-type": "application/x-www-form-urlencoded"})
        ).status == 202
        assert (await host.wait("form"))["input"] is None

    in_host(storage, story)


def test_call_http_gives_status_headers_and_content(storage: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=202, text="later", headers={"Location": "/elsewhere"})

    async def story(host: Host) -> None:
        app = web.Application()
        app.router.add_get("/x", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        found = (await host.wait(await host.start_new("calls_http", None, {"uri": f"http://127.0.0.1:{port}/x"})))["output"]
        assert (found["statusCode"], found["content"], found["headers"]["Location"]) == (202, "later", "/elsewhere")
        await runner.cleanup()
        failed = await host.wait(await host.start_new("calls_http", None, {"uri": f"http://127.0.0.1:{port}/x"}))
        assert failed["runtimeStatus"] == "Failed"

    in_host(storage, story)


def test_the_tables_have_upstreams_columns(storage: str) -> None:
    async def story(host: Host) -> None:
        instance = await host.start_new("wide", None, {"size": 70_000})
        await host.wait(instance)
        await host.extension._rows.flush()
        hub, tables = host.extension.settings.hub, host.storage.tables
        row = await tables.get(f"{hub}Instances", instance, "")
        assert row is not None
        assert ("wide", "Completed", 0, hub, "null") == tuple(
            row[name] for name in ("Name", "RuntimeStatus", "Generation", "TaskHubName", "CustomStatus")
        )
        assert row["Output"].startswith("http://")
        rows = [found async for found in tables.query(f"{hub}History", f"PartitionKey eq '{instance}'")]
        assert rows[-1]["RowKey"] == "sentinel"
        assert tuple(rows[0][name] for name in ("RowKey", "EventType", "EventId")) == ("0000000000000000", "OrchestratorStarted", -1)
        done = next(found for found in rows if found.get("EventType") == "TaskCompleted")
        assert done["ResultBlobName"].startswith(f"{instance}/history-{done['RowKey']}-TaskCompleted-")
        blob = await host.storage.blobs.get(f"{hub.lower()}-largemessages", done["ResultBlobName"])
        assert blob is not None
        assert json.loads(gzip.decompress(blob.body)) == "z" * 70_000
        assert all(found.get("Input") is None for found in rows if found.get("EventType") == "TaskScheduled")

    in_host(storage, story)


def test_a_corrupt_row_sets_one_instance_aside(storage: str, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        hub, invoker = fresh_hub(), InProcessInvoker(build())
        host = Host(invoker, storage, hub)
        await host.start()
        broken, sound = await host.start_new("not_waited"), await host.start_new("not_waited")
        await eventually(lambda: len(invoker.calls("gated")) == 2)
        await host.extension._rows.flush()
        await host.kill()
        account = StorageAccount.from_connection_string(storage)
        row = await account.tables.get(f"{hub}History", broken, "0000000000000001")
        assert row is not None
        execution = row["ExecutionId"]
        await account.tables.put(
            f"{hub}History",
            {"PartitionKey": broken, "RowKey": "0000000000000001", "ExecutionId": execution, "EventType": "Scrambled", "EventId": 1},
        )
        await account.close()
        host = Host(invoker, storage, hub)
        await host.start()
        for instance in (broken, sound):
            GATES[instance].set()
        assert sound == (await host.wait(sound))["output"]
        told = f"history row '0000000000000001' of instance '{broken}' is not an event"
        await eventually(lambda: any(told in record.getMessage() for record in caplog.records))
        assert (await host.ask("DELETE", f"/instances/{broken}")).status == 200
        await host.stop()
        invoker.close()

    asyncio.run(run())


def test_no_storage_is_a_clear_error() -> None:
    async def run() -> None:
        invoker = InProcessInvoker(build())
        host = Host(invoker, "UseDevelopmentStorage=true", fresh_hub())
        host.storage.endpoints = dict.fromkeys(("blob", "queue", "table"), "http://127.0.0.1:9/devstoreaccount1")
        with pytest.raises(Exception, match=r"storage at http://127\.0\.0\.1:9/devstoreaccount1 does not answer"):
            await asyncio.wait_for(host.extension._store.storage.request("table", "GET", "/Tables", patience=1.0), 10)
        await host.storage.close()
        invoker.close()

    asyncio.run(run())


def test_the_binding_is_what_the_sdk_expects(storage: str) -> None:
    async def story(host: Host) -> None:
        extension: DurableExtension = host.extension
        extension.rpc_base = "http://127.0.0.1:17071/durabletask/"
        found = json.loads(extension.client_binding({"type": "durableClient", "name": "client"}))
        assert extension.settings.hub == found["taskHubName"]
        assert f"{ORIGIN}/runtime/webhooks/durabletask" == found["baseUrl"]
        assert found["requiredQueryStringParameters"] == "code=KEY"

    in_host(storage, story)
