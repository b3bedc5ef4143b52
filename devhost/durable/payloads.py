"""The JSON that the management API shows: status, history, check-status links, the durable client binding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, quote_plus

from devhost.durable.history import Event, Kind, shown_members
from devhost.durable.jsontext import dumps, value_or_text
from devhost.durable.state import InstanceState
from devhost.durable.times import local_text, whole_seconds

WEBHOOK_PATH: Final = "/runtime/webhooks/durabletask"
_OPERATIONS: Final = (
    ("statusQueryGetUri", "", ""),
    ("sendEventPostUri", "/raiseEvent/{eventName}", ""),
    ("terminatePostUri", "/terminate", "reason={text}&"),
    ("rewindPostUri", "/rewind", "reason={text}&"),
    ("purgeHistoryDeleteUri", "", ""),
    ("restartPostUri", "/restart", ""),
    ("suspendPostUri", "/suspend", "reason={text}&"),
    ("resumePostUri", "/resume", "reason={text}&"),
)


class DuplicateSequenceNumber(Exception):
    """Two scheduled events have one number, which upstream's history view cannot show."""


def status_payload(state: InstanceState, *, show_input: bool = True, history: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The status object."""
    shown = {
        "name": state.name,
        "instanceId": state.instance_id,
        "runtimeStatus": state.status,
        "input": value_or_text(state.input) if show_input else None,
        "customStatus": value_or_text(state.custom_status),
        "output": value_or_text(state.output),
        "createdTime": whole_seconds(state.created),
        "lastUpdatedTime": whole_seconds(state.updated),
    }
    if history is not None:
        shown["historyEvents"] = history
    return shown


def history_payload(events: Sequence[Event], *, show_input: bool, show_output: bool) -> list[dict[str, Any]]:
    """The `historyEvents` of a status object.

    Raises:
        DuplicateSequenceNumber: the history of a non-deterministic orchestration.
    """
    scheduled: dict[str, tuple[int, Event]] = {}
    hidden: set[int] = set()
    shown: list[dict[str, Any]] = []
    for index, event in enumerate(events):
        members = {name: event.members.get(name) for name in shown_members(event.kind)}
        item: dict[str, Any] = {"EventType": event.kind.name, **members}
        kind = event.kind
        if kind in (Kind.TaskScheduled, Kind.SubOrchestrationInstanceCreated):
            key = f"{kind.name}_{event.id}"
            if key in scheduled:
                raise DuplicateSequenceNumber(f"An item with the same key has already been added. Key: {key}")
            scheduled[key] = (index, event)
            del item["Version"]
        elif kind in _ANSWERS:
            del item["TaskScheduledId"]
            is_success = kind in (Kind.TaskCompleted, Kind.SubOrchestrationInstanceCompleted)
            if is_success:
                _show_result(item, show_output=show_output)
            found = scheduled.get(f"{_ANSWERS[kind].name}_{event.task_id}")
            item["Timestamp"] = event.timestamp
            if found is not None:
                position, cause = found
                item |= {
                    "ScheduledTime": local_text(cause.timestamp),
                    "FunctionName": cause.members["Name"],
                    "Input": cause.members.get("Input"),
                }
                hidden.add(position)
        elif kind is Kind.ExecutionStarted:
            for name in ("OrchestrationInstance", "ParentInstance", "Version", "Tags"):
                del item[name]
            item["FunctionName"] = item.pop("Name")
        elif kind is Kind.ExecutionCompleted:
            _show_result(item, show_output=show_output)
        elif kind is Kind.TimerFired:
            del item["TimerId"]
        elif kind in (Kind.OrchestratorStarted, Kind.OrchestratorCompleted):
            hidden.add(index)
        item.setdefault("Timestamp", event.timestamp)
        if not show_input:
            item.pop("Input", None)
        shown.append(item)
    return [item for index, item in enumerate(shown) if index not in hidden]


def _show_result(item: dict[str, Any], *, show_output: bool) -> None:
    if show_output:
        item["Result"] = value_or_text(item["Result"])
    else:
        del item["Result"]


_ANSWERS: Final = {
    Kind.TaskCompleted: Kind.TaskScheduled,
    Kind.TaskFailed: Kind.TaskScheduled,
    Kind.SubOrchestrationInstanceCompleted: Kind.SubOrchestrationInstanceCreated,
    Kind.SubOrchestrationInstanceFailed: Kind.SubOrchestrationInstanceCreated,
}


class Links:
    """Makes management URLs: hub, connection and system key are in every one of them."""

    def __init__(self, *, hub: str, connection: str, system_key: str) -> None:
        self._hub = hub
        self._connection = connection
        self._code = f"code={quote(system_key, safe='')}"

    def check_status(self, origin: str, instance_id: str, hub: str | None = None, connection: str | None = None) -> dict[str, str]:
        """What a start answers: links to the instance, `rewindPostUri` not among them. Hub and connection are spelled as the request has them."""
        links = self._management(origin, _url_encoded(instance_id), hub or self._hub, connection or self._connection)
        del links["rewindPostUri"]
        return links | {"id": instance_id}

    def client_binding(self, origin: str, rpc_base: str, binding: Mapping[str, Any]) -> str:
        """The string that a durable client parameter receives."""
        hub = binding.get("taskHub") or self._hub
        connection = binding.get("connectionName")
        base = origin + WEBHOOK_PATH
        create = f"{base}/orchestrators/{{functionName}}[/{{instanceId}}]?"
        return dumps(
            {
                "taskHubName": hub,
                "connectionName": connection,
                "creationUrls": {
                    "createNewInstancePostUri": create + self._code,
                    "createAndWaitOnNewInstancePostUri": f"{create}timeout={{timeoutInSeconds}}&pollingInterval={{intervalInSeconds}}&{self._code}",
                },
                "managementUrls": self._management(origin, "INSTANCEID", hub, connection or self._connection),
                "baseUrl": base,
                "requiredQueryStringParameters": self._code,
                "rpcBaseUrl": rpc_base,
                "httpBaseUrl": None,
            }
        )

    def _management(self, origin: str, instance: str, hub: str, connection: str) -> dict[str, str]:
        base = f"{origin}{WEBHOOK_PATH}/instances/{instance}"
        ending = f"taskHub={_url_encoded(hub)}&connection={_url_encoded(connection)}&{self._code}"
        return {"id": instance} | {name: f"{base}{path}?{query}{ending}" for name, path, query in _OPERATIONS}


def _url_encoded(text: str) -> str:
    """As the real host encodes: like a form, so a blank in an id becomes `+`, which a path does not turn back (its links do not work)."""
    return quote_plus(text, safe="!*()").replace("~", "%7E")
