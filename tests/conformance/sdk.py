"""The Durable SDK alone: orchestrators and entities asked with payloads put together by hand, as the contract spells them."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import azure.durable_functions as df

START = datetime(2026, 1, 1, tzinfo=UTC)


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


class Episodes:
    """A history that grows, and the orchestrator that is asked after every batch."""

    def __init__(self, generator: Callable[..., Any], *, given: Any = None, **context: Any) -> None:
        """`given` is the context's `input`, as the extension hands it over; further names replace keys of the context."""
        app = df.DFApp()
        app.orchestration_trigger(context_name="context")(generator)
        self._call: Callable[..., Any] = app.get_functions()[0].get_user_function()
        self.now = START
        self.context: dict[str, Any] = {
            "history": [],
            "input": given,
            "instanceId": "abc",
            "isReplaying": False,
            "parentInstanceId": None,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 2,
            "longRunningTimerIntervalDuration": "3.00:00:00",
            "maximumShortTimerDuration": "6.00:00:00",
            "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
            **context,
        }
        self.history: list[dict[str, Any]] = self.context["history"]
        self.add(12)
        self.add(0, Name="orchestrator", Version="", Input=None, ParentInstance=None, Tags=None)

    def add(self, kind: int, *, number: int = -1, **members: Any) -> None:
        self.history.append({"EventType": kind, "EventId": number, "IsPlayed": False, "Timestamp": text(self.now), **members})

    def next(
        self, *events: tuple[int, dict[str, Any]], scheduled: Iterable[tuple[int, int, dict[str, Any]]] = (), seconds: float = 1
    ) -> None:
        """Closes the episode with what it scheduled (kind, number, members) and opens the next one with what came."""
        for kind, number, members in scheduled:
            self.add(kind, number=number, **members)
        self.add(13)
        self.now += timedelta(seconds=seconds)
        for event in self.history:
            event["IsPlayed"] = event["EventType"] in (0, 5, 6, 11, 15)
        self.add(12)
        for kind, members in events:
            self.add(kind, **members)

    def ask(self) -> dict[str, Any]:
        """The state that the orchestrator answers."""
        answered: dict[str, Any] = json.loads(self._call(context=types.SimpleNamespace(body=json.dumps(self.context))))
        return answered

    def failure(self) -> str:
        """The text of the exception that it raises instead."""
        try:
            state = self.ask()
        except Exception as error:
            return str(error)
        raise AssertionError(f"it answered {state}")


def completed(number: int, result: Any) -> tuple[int, dict[str, Any]]:
    return 5, {"TaskScheduledId": number, "Result": json.dumps(result)}


def failed(number: int, reason: str, details: str = "details") -> tuple[int, dict[str, Any]]:
    return 6, {"TaskScheduledId": number, "Reason": reason, "Details": details}


def fired(number: int) -> tuple[int, dict[str, Any]]:
    return 11, {"TimerId": number, "FireAt": text(START)}


def raised(name: str, data: str) -> tuple[int, dict[str, Any]]:
    return 15, {"Name": name, "Input": data}


def ask_entity(
    function: Callable[..., Any], batch: list[dict[str, Any]], *, state: str | None = None, exists: bool = False
) -> dict[str, Any]:
    """What an entity answers to a batch."""
    app = df.DFApp()
    app.entity_trigger(context_name="context")(function)
    call = app.get_functions()[0].get_user_function()
    given = {"self": {"name": "notes", "key": "k"}, "exists": exists, "state": state, "batch": batch}
    answered: dict[str, Any] = json.loads(call(context=types.SimpleNamespace(body=json.dumps(given))))
    return answered


def operation(name: str, given: str | None = None, *, signal: bool = False) -> dict[str, Any]:
    return {"name": name, "input": given, "isSignal": signal}
