"""Which trigger goes with which function."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from devhost.functions import FunctionMetadata
from devhost.jsonc import MissingConnection, SettingsError
from devhost.storage.account import StorageAccount
from devhost.triggers.base import Trigger, TriggerHost
from devhost.triggers.blob import BlobPattern, BlobTriggers
from devhost.triggers.queue import QueueTrigger
from devhost.triggers.timer import TimerTrigger

_log = logging.getLogger("Host.Startup")


def trigger_problem(host: TriggerHost, function: FunctionMetadata) -> str | None:
    """Why a function's listener cannot be made: a schedule, a queue's name, a path. Such a function is in error; the others run."""
    try:
        if function.kind == "timerTrigger":
            TimerTrigger(host, function, None)
        elif function.kind == "queueTrigger":
            QueueTrigger(host, function)
        elif function.kind == "blobTrigger":
            BlobPattern(host.settings.expand(str(function.trigger.get("path", "")), "path"), function.name)
    except MissingConnection:
        return None  # which keeps the whole host from starting
    except SettingsError as error:
        return str(error).removeprefix(f"function {function.name}: ")
    return None


def make_triggers(host: TriggerHost, functions: Sequence[FunctionMetadata]) -> list[Trigger]:
    """The listeners of the app's functions.

    Raises:
        SettingsError: a schedule, name or connection of one cannot be used.
    """
    triggers: list[Trigger] = []
    blobs: dict[int, tuple[StorageAccount, list[FunctionMetadata]]] = {}
    timers = [function for function in functions if function.kind == "timerTrigger"]
    connection = host.settings.storage_connection
    timer_account = host.account(connection) if timers and connection else None
    if timers and timer_account is None:
        _log.warning(
            "AzureWebJobsStorage is not set: timers run, but forget missed occurrences over a restart. The real host needs it for timers."
        )
    triggers += [TimerTrigger(host, function, timer_account) for function in timers]
    for function in functions:
        if function.kind == "queueTrigger":
            triggers.append(QueueTrigger(host, function))
        elif function.kind == "blobTrigger":
            account = host.binding_account(function.trigger, function.name)
            blobs.setdefault(id(account), (account, []))[1].append(function)
    return [*triggers, *(BlobTriggers(host, account, group) for account, group in blobs.values())]
