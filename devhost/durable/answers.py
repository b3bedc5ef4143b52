"""What an orchestrator answered: the state JSON, or the failure that carries one, or a failure without one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from devhost.durable.jsontext import dumps, loads
from devhost.durable.sanitize import sanitize
from devhost.invocation import Failed, JsonText, Succeeded

_MARKER: Final = "$OutOfProcData$:"
_SCHEMAS: Final = (1, 2)
_BROKEN_STATE: Final = "Out of proc orchestrators must return a valid JSON schema"


@dataclass(slots=True)
class Answer:
    """One call of an orchestrator, understood."""

    actions: list[dict[str, Any]] = field(default_factory=list)
    is_done: bool = False
    output: str | None = None
    """Compact JSON text; None when nothing was returned."""
    error: str | None = None
    custom_status: str | None = None
    """Compact JSON text; None when the state has none."""
    details: str | None = None
    """For a failure: what the history keeps besides the reason."""
    reason: str | None = None
    """The whole failure text, when there is no state to execute."""

    @property
    def no_actions(self) -> bool:
        """Whether the call failed without a state: nothing is replayed, the instance fails with `reason`."""
        return self.reason is not None


def failed_answer(name: str, text: str) -> Answer:
    """The answer of an orchestrator that could not be asked."""
    return Answer(reason=f"Orchestrator function '{name}' failed: {text}", details=f"Message: {text}, StackTrace: ")


def read_answer(name: str, result: Succeeded | Failed) -> Answer:
    """Understands what a worker returned for the orchestrator `name`."""
    if isinstance(result, Failed):
        return _from_failure(name, result)
    value = result.return_value
    text = value.text if isinstance(value, JsonText) else value
    if not isinstance(text, str):
        return failed_answer(name, f"The orchestrator returned {type(text).__name__} instead of its state.")
    try:
        return _from_state(name, loads(text), None)
    except (ValueError, TypeError, KeyError) as problem:
        return failed_answer(name, f"The orchestrator did not return its state: {problem}. Is it decorated and a generator function?")


def _from_failure(name: str, failure: Failed) -> Answer:
    text = sanitize(failure.rpc_text)
    at = text.find(_MARKER)
    if at >= 0:
        end = text.find("\nStack:", at)
        try:
            state = loads(text[at + len(_MARKER) : end if end > at else len(text)])
        except ValueError:  # most likely the sanitizer has taken a quotation mark out of it
            return Answer(
                reason=_BROKEN_STATE,
                details=f"Unhandled exception while executing orchestration: System.ArgumentException: {_BROKEN_STATE}",
            )
        try:
            return _from_state(name, state, failure.stack)
        except (ValueError, TypeError, KeyError):
            pass
    return failed_answer(name, f"One or more errors occurred. ({text})")


def _from_state(name: str, state: Any, stack: str | None) -> Answer:
    if not isinstance(state, dict):
        raise TypeError(f"it returned a JSON {type(state).__name__}")
    schema = state.get("schemaVersion", 0)
    if schema not in _SCHEMAS:
        return failed_answer(name, f'The OOProc schema of of version "{schema}" is unsupported by this host.')
    outer = state["actions"]
    if len(outer) != 1:
        return failed_answer(
            name, f"With OOProc schema {schema}, expected actions array to be of length 1 in outer layer but got size: {len(outer)}"
        )
    error = state.get("error") or None
    return Answer(
        actions=outer[0],
        is_done=bool(state.get("isDone")),
        output=dumps(state["output"]) if "output" in state else None,
        error=error,
        custom_status=dumps(state["customStatus"]) if state.get("customStatus") is not None else None,
        details=f"Message: {error}, StackTrace: {stack or ''}" if error else None,
    )
