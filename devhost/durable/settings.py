"""The part of host.json that the engine obeys."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from devhost.durable.names import hub_name
from devhost.durations import parse_timespan

DAY = 86400.0


class BadSetting(ValueError):
    """A value in host.json that the host cannot start with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DurableSettings:
    """`extensions.durableTask`, with the documented defaults."""

    hub: str = "TestHubName"
    connection_name: str = "Storage"
    """As it appears in management URLs; `Storage` means the setting `AzureWebJobsStorage`."""
    max_activities: int = 20
    max_orchestrators: int = 20
    max_entities: int = 20
    max_entity_batch: int = 5000
    max_actions: int = 100_000
    store_inputs: bool = False
    overridable: str = "NonRunningStates"
    """`NonRunningStates` or `AnyState`: which existing instances a start with their id replaces."""
    http_sleep_milliseconds: int = 30_000
    use_forwarded_host: bool = False
    """Whether links to an instance follow `X-Forwarded-Host` and `X-Forwarded-Proto`."""
    entity_reorder_minutes: int = 30
    default_version: str = ""
    version_match: str = "None"
    """`None`, `Strict` or `CurrentOrOlder`; upstream's default counts only where a default version is set."""
    version_failure: str = "Reject"
    long_timer_leg_seconds: float = 3 * DAY
    longest_timer_seconds: float = 6 * DAY
    """Above this the SDK waits in legs. Upstream's storage provider fixes both; no setting changes them."""
    warnings: tuple[str, ...] = ()
    """What the section asks for and nobody does, a sentence each."""

    @property
    def connection_setting(self) -> str:
        """The app setting that holds the connection string."""
        return "AzureWebJobsStorage" if self.connection_name == "Storage" else self.connection_name

    @classmethod
    def from_host_json(cls, durable_task: Mapping[str, Any], environment: Mapping[str, str]) -> DurableSettings:
        """Reads the section (keys are matched without regard to case); `%NAME%` is taken from the environment.

        Raises:
            BadSetting: a value of the wrong kind or range.
            BadHubName: the hub cannot have that name.
        """
        section = _Section(durable_task, environment)
        storage = section.section("storageProvider")
        cores = os.cpu_count() or 1
        small = ("CONTAINER_NAME" in environment and "WEBSITE_INSTANCE_ID" not in environment) or environment.get(
            "WEBSITE_SKU"
        ) == "Dynamic"
        version = section.text("defaultVersion", "")
        _check_queues(storage)
        return cls(
            hub=hub_name(section.text("hubName", "") or None, environment),
            connection_name=storage.text("connectionName", "") or storage.text("connectionStringName", "") or "Storage",
            max_activities=section.positive("maxConcurrentActivityFunctions", 10 if small else 10 * cores),
            max_orchestrators=section.positive("maxConcurrentOrchestratorFunctions", 5 if small else 10 * cores),
            max_entities=section.positive("maxConcurrentEntityFunctions", 10 if small else 10 * cores),
            max_entity_batch=section.positive("maxEntityOperationBatchSize", 50 if small else 5000),
            max_actions=section.positive("maxOrchestrationActions", 100_000),
            store_inputs=section.flag("storeInputsInOrchestrationHistory", default=False),
            overridable=section.one_of("overridableExistingInstanceStates", "NonRunningStates", ("NonRunningStates", "AnyState")),
            http_sleep_milliseconds=section.section("httpSettings").positive("defaultAsyncRequestSleepTimeMilliseconds", 30_000),
            use_forwarded_host=section.section("httpSettings").flag("useForwardedHost", default=False),
            entity_reorder_minutes=section.whole("entityMessageReorderWindowInMinutes", 30),
            default_version=version,
            version_match=section.one_of(
                "versionMatchStrategy", "CurrentOrOlder" if version else "None", ("None", "Strict", "CurrentOrOlder")
            ),
            version_failure=section.one_of("versionFailureStrategy", "Reject", ("Reject", "Fail")),
            warnings=tuple(_warnings(section)),
        )


def _warnings(section: _Section) -> Iterator[str]:
    if section.flag("extendedSessionsEnabled", default=False):
        yield "host.json: extensions.durableTask.extendedSessionsEnabled is for .NET functions only; it counts as false, as on the real host."


def _check_queues(storage: _Section) -> None:
    """Refuses what upstream refuses to start with, although there are no queues here."""
    storage.positive("controlQueueBatchSize", 32)
    for name, largest in (("partitionCount", 16), ("controlQueueBufferThreshold", 1000)):
        if storage.positive(name, 1) > largest:
            raise BadSetting(f"host.json: extensions.durableTask.storageProvider.{name} must be between 1 and {largest}.")
    if storage.duration("maxQueuePollingInterval", 30) <= 0:
        raise BadSetting("host.json: extensions.durableTask.storageProvider.maxQueuePollingInterval must be longer than nothing.")
    seconds = storage.duration("controlQueueVisibilityTimeout", 300)
    if not 60 <= seconds <= 3600:
        raise BadSetting(
            "host.json: extensions.durableTask.storageProvider.controlQueueVisibilityTimeout must be between 1 and 60 minutes."
        )


class _Section:
    """Reads typed values and names the path of a wrong one."""

    def __init__(self, values: Mapping[str, Any], environment: Mapping[str, str], path: str = "extensions.durableTask") -> None:
        self._values = {key.lower(): value for key, value in values.items()}
        self._environment = environment
        self._path = path

    def section(self, name: str) -> _Section:
        value = self._values.get(name.lower()) or {}
        if not isinstance(value, Mapping):
            raise self._wrong(name, "an object", value)
        return _Section(value, self._environment, f"{self._path}.{name}")

    def text(self, name: str, default: str) -> str:
        value = self._values.get(name.lower())
        if value is None:
            return default
        if not isinstance(value, str):
            raise self._wrong(name, "a text", value)
        return re.sub(r"%([^%]+)%", lambda match: self._environment.get(match.group(1), match.group(0)), value)

    def whole(self, name: str, default: int) -> int:
        value = self._values.get(name.lower())
        if value is None:
            return default
        try:
            return int(str(value))
        except ValueError:
            raise self._wrong(name, "a whole number", value) from None

    def positive(self, name: str, default: int) -> int:
        value = self.whole(name, default)
        if value < 1:
            raise self._wrong(name, "a number above 0", value)
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._values.get(name.lower())
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise self._wrong(name, "true or false", value)

    def one_of(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        text = self.text(name, default)
        for choice in choices:
            if choice.lower() == text.lower():
                return choice
        raise self._wrong(name, "one of " + ", ".join(choices), text)

    def duration(self, name: str, default: float) -> float:
        text = self.text(name, "")
        if not text:
            return default
        seconds = parse_timespan(text)
        if seconds is None:
            raise self._wrong(name, "a duration such as 00:05:00", text)
        return seconds

    def _wrong(self, name: str, wanted: str, value: object) -> BadSetting:
        return BadSetting(f"host.json: {self._path}.{name} must be {wanted}, not {value!r}.")
