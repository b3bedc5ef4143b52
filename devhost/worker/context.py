"""What a function sees as its `context` parameter, and the holder behind `azure.functions.Out`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from devhost.worker.logs import thread_local_storage


@dataclass
class TraceContext:
    """Empty, as upstream's is while no telemetry is configured."""

    trace_parent: str = ""
    trace_state: str = ""
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def Traceparent(self) -> str:  # noqa: N802 - older spelling, still public upstream
        return self.trace_parent

    @property
    def Tracestate(self) -> str:  # noqa: N802
        return self.trace_state


@dataclass
class RpcException:
    """How the attempt before this one failed."""

    source: str
    stack_trace: str
    message: str


@dataclass
class RetryContext:
    """Where a function with a retry policy stands."""

    retry_count: int
    max_retry_count: int
    exception: RpcException | None = None


@dataclass
class Context:
    """The invocation context; the class has to be called `Context`, since annotations are checked by that name."""

    invocation_id: str
    function_name: str
    function_directory: str
    retry_context: RetryContext
    trace_context: TraceContext = field(default_factory=TraceContext)
    thread_local_storage: Any = thread_local_storage


class Out:
    """Holds what a function sets on an out-binding."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        self._value = val

    def get(self) -> Any:
        return self._value
