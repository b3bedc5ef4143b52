"""`DurableEngine` on the SDK's own client, which speaks HTTP to a server that gives the replies recorded from the real Durable extension."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import pytest
from aiohttp import test_utils, web
from azure.durable_functions import DurableOrchestrationClient, OrchestrationRuntimeStatus
from azure.durable_functions.models.utils import http_utils

from tidemill.api.durable_engine import DurableEngine
from tidemill.api.engine import EngineState, EngineStatus
from tidemill.errors import InvalidKey, StoreUnavailable
from tidemill.messages.codec import from_json
from tidemill.messages.run import RunInput
from tidemill.model.keys import RunId
from tools.bootstrap import ROOT

RUN = RunId("20260102t030405-00000001")
GOLDEN: Any = json.loads((ROOT / "tests/conformance/golden/replies.json").read_text(encoding="utf-8"))

Reply = tuple[int, Any]
Found = TypeVar("Found")


def recorded(scenario: str, step: str) -> Reply:
    """A reply of the real extension: its code and body, of which times and ids are put back that the recording leaves out."""
    code, body, *_ = GOLDEN[scenario][step][0] if isinstance(GOLDEN[scenario][step][0], list) else GOLDEN[scenario][step]
    text = json.dumps(body).replace('"TIME"', '"2026-01-02T03:04:05Z"').replace("IID", RUN).replace("HEX", "0" * 32)
    return code, json.loads(text)


STARTED = recorded("o_chain", "start")
EXISTS = recorded("start_twice", "b")
NOT_REGISTERED = recorded("start_unknown", "start")
UNKNOWN = recorded("status_unknown", "r")
RUNNING = recorded("event_case", "end")
SUSPENDED = recorded("suspend_resume", "s1")
COMPLETED = recorded("o_status", "end")
FAILED = recorded("o_error", "end")
TERMINATED = recorded("start_twice", "e")
TAKEN = recorded("event_obj", "events")
GONE = recorded("event_after_end", "e")
NOBODY = recorded("event_unknown_instance", "r")


class Extension:
    """The loopback listener of the Durable extension: replies as scripted, one after the other, the last for good."""

    def __init__(self, **replies: list[Reply]) -> None:
        """Replies by `status`, `start` and `event`."""
        self.replies = replies
        self.asked: list[tuple[str, str, str]] = []
        """Method, path and body of each request."""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.raw_path, (await request.read()).decode()))
        kind = "start" if "/orchestrators/" in request.path else "event" if "/raiseEvent/" in request.path else "status"
        script = self.replies[kind]
        code, body = script.pop(0) if len(script) > 1 else script[0]
        return web.Response(status=code) if body is None else web.json_response(body, status=code)

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[DurableOrchestrationClient]:
        app = web.Application()
        app.router.add_route("*", "/durabletask/{path:.*}", self.answer)
        async with test_utils.TestServer(app) as server:
            urls = {"id": "INSTANCEID", "statusQueryGetUri": "http://localhost:7071/instances/INSTANCEID?code=SECRET"}
            rpc = str(server.make_url("/durabletask/"))
            try:
                yield DurableOrchestrationClient(
                    json.dumps({"taskHubName": "Hub", "creationUrls": {}, "managementUrls": urls, "rpcBaseUrl": rpc})
                )
            finally:
                await http_utils._close_session()

    def ask(self, question: Callable[[DurableEngine], Awaitable[Found]]) -> Found:
        async def asked() -> Found:
            async with self.client() as client:
                return await question(DurableEngine(client))

        return asyncio.run(asked())


STATUS = f"/durabletask/instances/{RUN}"


def test_a_run_is_started_under_its_own_id_with_a_message_that_reads_back() -> None:
    extension = Extension(status=[UNKNOWN], start=[STARTED])
    extension.ask(lambda engine: engine.start(RUN))
    (_, asked, _), (method, path, body) = extension.asked
    assert (asked, method, path) == (STATUS, "POST", f"/durabletask/orchestrators/materialize_run/{RUN}")
    # JSON inside a JSON string, as this client has always sent it.
    assert from_json(json.loads(json.loads(body)), RunInput) == RunInput(run_id=RUN)


@pytest.mark.parametrize("known", [RUNNING, SUSPENDED, COMPLETED, FAILED, TERMINATED])
def test_a_run_that_the_engine_has_is_not_started_again_whatever_became_of_it(known: Reply) -> None:
    extension = Extension(status=[known])
    extension.ask(lambda engine: engine.start(RUN))
    assert [method for method, _, _ in extension.asked] == ["GET"]


def test_losing_a_race_to_start_the_same_run_is_no_error() -> None:
    extension = Extension(status=[UNKNOWN, RUNNING], start=[EXISTS])
    extension.ask(lambda engine: engine.start(RUN))
    assert [method for method, _, _ in extension.asked] == ["GET", "POST", "GET"]


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        (NOT_REGISTERED, "Exception: The function 'o_nope' doesn't exist, is disabled, or is not an orchestrator function."),
        (EXISTS, "An Orchestration instance with the status Running already exists."),
        ((503, None), "(Exception: None)"),
    ],
    ids=["not registered", "already there, and gone", "no reason given"],
)
def test_a_start_that_is_refused_says_why_and_to_try_again(reply: Reply, shown: str) -> None:
    extension = Extension(status=[UNKNOWN], start=[reply])
    with pytest.raises(StoreUnavailable) as refused:
        extension.ask(lambda engine: engine.start(RUN))
    assert str(refused.value).startswith("The engine could not start the run (")
    assert shown in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.hint == "Try again; nothing is lost."


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        (RUNNING, EngineState.RUNNING),
        (SUSPENDED, EngineState.RUNNING),
        (COMPLETED, EngineState.COMPLETED),
        (FAILED, EngineState.FAILED),
        (TERMINATED, EngineState.TERMINATED),
    ],
)
def test_what_was_recorded_of_an_instance_is_understood(reply: Reply, state: EngineState) -> None:
    status = Extension(status=[reply]).ask(lambda engine: engine.status(RUN))
    assert status == EngineStatus(state=state, custom_status=reply[1]["customStatus"])


def test_a_custom_status_comes_through_as_it_is() -> None:
    status = Extension(status=[COMPLETED]).ask(lambda engine: engine.status(RUN))
    assert status is not None
    assert status.custom_status == GOLDEN["o_status"]["end"][1]["customStatus"]
    assert status.custom_status is not None


@pytest.mark.parametrize("status", OrchestrationRuntimeStatus)
def test_every_status_that_the_sdk_knows_has_a_meaning(status: OrchestrationRuntimeStatus) -> None:
    code, body = RUNNING
    found = Extension(status=[(code, body | {"runtimeStatus": status.value})]).ask(lambda engine: engine.status(RUN))
    assert found is not None
    assert found.state.is_final == (status.name in ("Completed", "Failed", "Terminated", "Canceled"))


def test_an_instance_that_nobody_has_heard_of_is_none() -> None:
    assert Extension(status=[UNKNOWN]).ask(lambda engine: engine.status(RUN)) is None


def test_waking_sends_one_event_that_carries_nothing() -> None:
    extension = Extension(event=[TAKEN])
    extension.ask(lambda engine: engine.wake(RUN))
    assert extension.asked == [("POST", f"{STATUS}/raiseEvent/cancel_requested", '"null"')]


@pytest.mark.parametrize(("reply", "then"), [(GONE, COMPLETED), (GONE, TERMINATED), (NOBODY, UNKNOWN)])
def test_waking_a_run_that_has_ended_or_was_never_there_is_quiet(reply: Reply, then: Reply) -> None:
    extension = Extension(event=[reply], status=[then])
    extension.ask(lambda engine: engine.wake(RUN))
    assert [method for method, _, _ in extension.asked] == ["POST", "GET"]


def test_a_wake_that_does_not_reach_a_waiting_run_is_told() -> None:
    with pytest.raises(
        StoreUnavailable, match=r"^The engine could not wake the run \(Exception: Webhook returned unrecognized status code 503\)\."
    ):
        Extension(event=[(503, None)], status=[RUNNING]).ask(lambda engine: engine.wake(RUN))


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda engine: engine.start(RUN), "say how the run stands"),
        (lambda engine: engine.status(RUN), "say how the run stands"),
        (lambda engine: engine.wake(RUN), "say how the run stands"),
    ],
    ids=["start", "status", "wake"],
)
def test_an_engine_that_is_not_there_is_unavailable(call: Callable[[DurableEngine], Awaitable[Any]], what: str) -> None:
    async def asked() -> None:
        extension = Extension()
        async with extension.client() as client:
            engine = DurableEngine(client)
        await call(engine)  # the listener is closed now

    with pytest.raises(StoreUnavailable) as told:
        asyncio.run(_closing(asked()))
    assert str(told.value).startswith(f"The engine could not {what} (Client")


async def _closing(work: Awaitable[None]) -> None:
    try:
        await work
    finally:
        await http_utils._close_session()


@pytest.mark.parametrize("reply", [(200, "<html>"), (403, None), (200, {"runtimeStatus": "Melted", "createdTime": "2026-01-02T03:04:05Z"})])
def test_an_answer_that_makes_no_sense_is_unavailable_and_no_crash(reply: Reply) -> None:
    extension = Extension(status=[reply])
    try:
        found = extension.ask(lambda engine: engine.status(RUN))
    except StoreUnavailable:
        return
    assert found is None
    assert reply == (200, "<html>")  # the SDK makes an empty status of any text


def test_no_url_and_no_key_gets_into_a_message() -> None:
    class Leaking:
        async def get_status(self, instance_id: str) -> Any:
            raise OSError("cannot reach http://localhost:7071/runtime/webhooks/durabletask/instances/x?code=SECRET")

        async def start_new(self, orchestration_function_name: str, instance_id: str | None = None, client_input: Any = None) -> str:
            raise NotImplementedError

        async def raise_event(self, instance_id: str, event_name: str) -> None:
            raise NotImplementedError

    with pytest.raises(StoreUnavailable) as told:
        asyncio.run(DurableEngine(Leaking()).status(RUN))
    assert str(told.value).startswith("The engine could not say how the run stands (OSError).")


@pytest.mark.parametrize("forged", ["x/terminate?", f"{RUN}/terminate?reason=x", "..", "", f"{RUN} "])
@pytest.mark.parametrize("call", [DurableEngine.start, DurableEngine.status, DurableEngine.wake])
def test_a_forged_id_never_becomes_a_request(call: Callable[[DurableEngine, RunId], Awaitable[Any]], forged: str) -> None:
    extension = Extension(status=[COMPLETED], start=[STARTED], event=[TAKEN])
    with pytest.raises(InvalidKey):
        extension.ask(lambda engine: call(engine, RunId(forged)))
    assert extension.asked == []
