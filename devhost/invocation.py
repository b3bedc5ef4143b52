"""One call of one function: what the host hands to a worker and what comes back.

The host never imports user code; it speaks to it through an `Invoker`. A user's exception is an ordinary result (`Failed`); only the loss
of the worker is an exception (`WorkerLost`), because then nobody knows whether the function ran.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequestData:
    """An HTTP request as `azure.functions.HttpRequest` shows it."""

    method: str
    url: str
    headers: Mapping[str, str]
    """Names in lower case; repeated headers joined with `,`."""
    params: Mapping[str, str]
    route_params: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponseData:
    """What a function answered as `HttpResponse`."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class JsonText:
    """JSON that has not been parsed: the payload of activity, orchestration and entity results."""

    text: str


Datum = str | bytes | JsonText | HttpRequestData | HttpResponseData | None


class Exchange(Protocol):
    """An HTTP request that does not travel with its call: the worker takes it in at a port of its own, and answers there."""

    async def forward(self, port: int | None, invocation_id: str) -> str | None:
        """Takes the request to a worker and the reply to the client.

        Returns when the client has all of the reply, or with the reason why it has not.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One call to make."""

    function: str
    arguments: Mapping[str, Datum]
    """One entry for each in-binding, the trigger included, by parameter name."""
    invocation_id: str
    instance_id: str | None = None
    """The orchestration instance the call belongs to, for the logs."""
    trigger_metadata: Mapping[str, str] = field(default_factory=dict)
    retry_count: int = 0
    max_retry_count: int = 0
    retry_failure: Failed | None = None
    """How the attempt before this one failed, in a retry."""
    lost_a_worker: bool = False
    """Whether a worker has ended under this call before: it may be the reason. Known to the host alone."""
    exchange: Exchange | None = None
    """The request and the reply, of a function that is streamed. Known to the host alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """The function returned."""

    return_value: Datum = None
    outputs: Mapping[str, Datum | list[Datum]] = field(default_factory=dict)
    """What out-bindings were set to, by parameter name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """User code raised, or its result could not be converted."""

    type_name: str
    message: str
    """`str(exception)`."""
    stack: str
    """The formatted frames, without the `Traceback` headline."""

    @property
    def rpc_text(self) -> str:
        """The text the real host gives its RpcException."""
        return f"Result: Failure\nException: {self.type_name}: {self.message}\nStack: {self.stack}"


class WorkerLost(Exception):
    """The worker process died, was stopped, or ran past the function timeout: whether the function ran is unknown."""


class TimedOut(WorkerLost):
    """The call ran past `functionTimeout`; its worker has been replaced."""


class Invoker(Protocol):
    """Runs functions somewhere else."""

    async def invoke(self, invocation: Invocation) -> Succeeded | Failed:
        """Runs the function once and returns what became of it.

        Raises:
            WorkerLost: nobody knows whether it ran; the caller decides whether to call again.
        """
        ...
