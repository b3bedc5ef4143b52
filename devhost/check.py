"""`devhost check`: loads the app without serving it and reports everything the real host would refuse or that cannot work there."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from devhost.document import Document
from devhost.durable.names import BadHubName
from devhost.durable.settings import BadSetting, DurableSettings
from devhost.errors import StartError
from devhost.executor import FunctionExecutor
from devhost.functions import FunctionMetadata
from devhost.http.router import make_route
from devhost.http.templates import BadTemplate
from devhost.invocation import Invocation
from devhost.jsonc import SettingsError
from devhost.pool import AppLoadError, WorkerPool
from devhost.retry import RetryPolicy
from devhost.rules import UNSERVED, examine
from devhost.settings import HostSettings, load_settings
from devhost.storage.account import StorageAccount
from devhost.storage.errors import BadConnectionString
from devhost.triggers.listeners import make_triggers
from devhost.worker_process import WorkerLaunch

_DURABLE_NAMES = {"orchestrationTrigger": "orchestrator", "activityTrigger": "activity", "entityTrigger": "entity"}
_CONFIGURATION_ERRORS = (SettingsError, BadTemplate, BadSetting, BadHubName, BadConnectionString)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know: an `error` keeps the app or the function from running, a `warning` does not."""

    severity: str
    function: str | None
    message: str


class _Bindings:
    """The part of a host that triggers are made with; nothing is started."""

    def __init__(self, settings: HostSettings, executor: FunctionExecutor) -> None:
        self.settings = settings
        self.executor = executor

    def account(self, connection: str) -> StorageAccount:
        return StorageAccount.from_connection_string(connection)

    def binding_account(self, binding: Mapping[str, Any], function: str) -> StorageAccount:  # noqa: ARG002 - TriggerHost's signature
        place = f"the {binding['type']} binding {binding['name']!r}"
        return self.account(self.settings.connection(binding.get("connection"), place))


async def check_app(
    app_dir: Path, environment: Mapping[str, str], *, python: str | None = None, load_seconds: float = 60.0
) -> tuple[list[Finding], int]:
    """All findings about an app, and how many functions it has.

    Raises:
        StartError: the settings files cannot be read, so that nothing further can be looked at.
    """
    from devhost.job_host import worker_environment

    try:
        settings = load_settings(app_dir, environment)
    except SettingsError as error:
        raise StartError(str(error)) from None
    pool = WorkerPool(WorkerLaunch(app_dir, worker_environment(settings, 7071), python or sys.executable, load_seconds))
    try:
        await pool.start()
    except AppLoadError as error:
        return [Finding("error", None, problem) for problem in error.problems], 0
    await pool.stop()
    functions = examine(pool.functions, settings)
    findings = [*_function_findings(functions, settings), *_app_findings(functions, settings)]
    if any(function.is_streamed for function in functions) and not pool.serves_streams:
        findings.append(Finding("error", None, UNSERVED))
    return findings, len(functions)


def _function_findings(functions: Sequence[FunctionMetadata], settings: HostSettings) -> Iterator[Finding]:
    host = _Bindings(settings, FunctionExecutor(_Nobody(), (), inputs={}, outputs={}))
    for function in functions:
        yield from (Finding("error", function.name, text) for text in function.errors)
        yield from (Finding("warning", function.name, text) for text in function.warnings)
        try:
            RetryPolicy.of(function)
            if function.kind == "httpTrigger" and not function.errors:
                make_route(function, settings.http.route_prefix)
            make_triggers(host, [function])
            for binding in function.bindings:
                if binding["type"] in {"blob", "queue"}:
                    host.binding_account(binding, function.name)
        except _CONFIGURATION_ERRORS as error:
            yield Finding("error", function.name, str(error).removeprefix(f"function {function.name}: "))


def _app_findings(functions: Sequence[FunctionMetadata], settings: HostSettings) -> Iterator[Finding]:
    if not functions:
        yield Finding("warning", None, "the app has no functions")
    is_durable = any(f.kind in _DURABLE_NAMES or any(b["type"] == "durableClient" for b in f.bindings) for f in functions)
    if is_durable:
        try:
            durable = DurableSettings.from_host_json(settings.durable_task, settings.environment)
            settings.connection(durable.connection_setting, "extensions.durableTask")
            backend = _backend(settings)
            if backend.lower() not in {"", "azurestorage"}:
                yield Finding(
                    "warning",
                    None,
                    f"host.json: extensions.durableTask.storageProvider.type is {backend!r}, but this host keeps its state in Azure Storage",
                )
        except _CONFIGURATION_ERRORS as error:
            yield Finding("error", None, str(error))
    if not settings.storage_connection and any(function.kind != "httpTrigger" for function in functions):
        yield Finding(
            "error", None, "AzureWebJobsStorage is not set, but the app has triggers other than HTTP; UseDevelopmentStorage=true is Azurite"
        )
    taken: dict[tuple[str, str], str] = {}
    for function in functions:
        if function.kind in _DURABLE_NAMES:
            key = (function.kind, function.durable_name.lower())
            if other := taken.get(key):
                kind = _DURABLE_NAMES[function.kind]
                yield Finding(
                    "error", function.name, f"the {kind} name {function.durable_name!r} is taken by the function {other!r} already"
                )
            taken.setdefault(key, function.name)


def _backend(settings: HostSettings) -> str:
    durable_task = Document(settings.host_json, "host.json").section("extensions").section("durableTask")
    return durable_task.section("storageProvider").text("type", default="")


class _Nobody:
    """An invoker for looking only."""

    async def invoke(self, invocation: Invocation) -> Any:
        raise AssertionError(f"a check runs no function, not even {invocation.function}")


async def run_check(app_dir: Path, environment: Mapping[str, str], *, as_json: bool, python: str | None, load_seconds: float) -> int:
    """Prints the findings; 1 when there is an error among them."""
    findings, count = await check_app(app_dir, environment, python=python, load_seconds=load_seconds)
    errors = [finding for finding in findings if finding.severity == "error"]
    if as_json:
        json.dump({"functions": count, "findings": [asdict(finding) for finding in findings]}, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return int(bool(errors))
    for finding in findings:
        where = f"{finding.function}: " if finding.function else ""
        sys.stdout.write(f"{finding.severity}: {where}{finding.message}\n")
    counts = {"function": count, "error": len(errors), "warning": len(findings) - len(errors)}
    sys.stdout.write(", ".join(f"{number} {noun}{'' if number == 1 else 's'}" for noun, number in counts.items()) + "\n")
    return int(bool(errors))
