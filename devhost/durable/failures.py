"""The texts that an activity's failure leaves in the history, down to the shape of the .NET exception inside them."""

from __future__ import annotations

from typing import Any, Final

from devhost.durable.history import Event, Kind
from devhost.durable.jsontext import dumps
from devhost.durable.sanitize import sanitize
from devhost.invocation import Failed

_HRESULT: Final = -2146233088


def task_failed(task_id: int, activity: str, failure: Failed) -> Event:
    """`TaskFailed` for user code that raised."""
    said = sanitize(f"{failure.type_name}: {failure.message}")
    stack = sanitize(failure.stack)
    inner: dict[str, Any] = {
        "$type": "Microsoft.Azure.WebJobs.Script.Workers.Rpc.RpcException, Microsoft.Azure.WebJobs.Script",
        "IsUserException": False,
        "RemoteStackTrace": stack,
        "RemoteMessage": said,
        "RemoteTypeName": None,
        "Message": sanitize(failure.rpc_text),
        "Data": {"$type": "System.Collections.ListDictionaryInternal, System.Private.CoreLib"},
        "InnerException": None,
        "HelpLink": None,
        "Source": "System.Private.CoreLib",
        "HResult": _HRESULT,
        "StackTrace": "",
    }
    shown = said.partition("\nStack:")[0]  # upstream reads the message out of a larger text, up to the first label of the stack
    return _failed(task_id, f"Activity function '{activity}' failed:  {shown}", dumps(_exception(f" {shown}", inner)))


def task_failed_in_host(task_id: int, activity: str, text: str) -> Event:
    """`TaskFailed` for a reason of the host's own: an unknown activity, a timeout, a refused connection."""
    return _failed(task_id, f"Activity function '{activity}' failed: {text}", dumps(_exception(text, None)))


def task_failed_bare(task_id: int, text: str) -> Event:
    """`TaskFailed` of the host's built-in activity, which puts no sentence around its reason."""
    members = {"TaskScheduledId": task_id, "Reason": text, "Details": dumps(_exception(text, None)), "FailureDetails": None}
    return Event(Kind.TaskFailed, members)


def _failed(task_id: int, reason: str, details: str) -> Event:
    return Event(Kind.TaskFailed, {"TaskScheduledId": task_id, "Reason": reason, "Details": details, "FailureDetails": None})


def _exception(message: str, inner: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "$type": "System.Exception, System.Private.CoreLib",
        "ClassName": "System.Exception",
        "Message": message,
        "Data": None,
        "InnerException": inner,
        "HelpURL": None,
        "StackTraceString": None,
        "RemoteStackTraceString": None,
        "RemoteStackIndex": 0,
        "ExceptionMethod": None,
        "HResult": _HRESULT,
        "Source": None,
        "WatsonBuckets": None,
    }
