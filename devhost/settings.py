"""What host.json, local.settings.json and the environment say, checked, with messages that name the place.

Precedence for an app setting: the process environment when non-empty, else `Values` of local.settings.json (empty strings count there, null
does not). Any host.json path can be overridden by `AzureFunctionsJobHost__a__b__c`. Keys of host.json are matched without regard to case.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devhost.document import Document
from devhost.jsonc import MissingConnection, SettingsError, json_type, read_json_object

DEFAULT_PORT = 7071
_OVERRIDE_PREFIX = "AzureFunctionsJobHost__"
_PLACEHOLDER = re.compile(r"%([^%\s]+)%")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """`extensions.http`."""

    route_prefix: str = "api"
    custom_headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """`extensions.queues`; times in seconds."""

    batch_size: int = 16
    new_batch_threshold: int = 8
    max_dequeue_count: int = 5
    visibility_timeout: float = 0.0
    max_polling_interval: float = 60.0
    is_base64: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobSettings:
    """`extensions.blobs`."""

    max_degree_of_parallelism: int = 8
    poison_blob_threshold: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """local.settings.json."""

    values: Mapping[str, str] = field(default_factory=dict)
    """App settings, `ConnectionStrings` among them in their environment form."""
    port: int | None = None
    cors: tuple[str, ...] = ()
    """Origins whose pages may call the app from a browser."""
    cors_credentials: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """Everything the host was told."""

    app_dir: Path
    environment: Mapping[str, str]
    """The app's whole environment: process environment and `Values`."""
    host_json: Mapping[str, Any]
    http: HttpSettings
    queues: QueueSettings
    blobs: BlobSettings
    durable_task: Mapping[str, Any]
    """`extensions.durableTask` as it stands, overrides included."""
    function_timeout: float | None
    """Seconds; None is without limit."""
    functions: frozenset[str] | None
    """The only functions to load; None loads all."""
    log_levels: Mapping[str, str]
    local: LocalSettings

    @property
    def storage_connection(self) -> str:
        """`AzureWebJobsStorage`, empty when not set."""
        return self.environment.get("AzureWebJobsStorage", "")

    @property
    def host_id(self) -> str:
        """Names this app on this machine in locks, timers and receipts; stable, lower case, at most 32 characters."""
        if given := self.environment.get("AzureFunctionsWebHost__hostid"):
            return given.lower()
        machine = re.sub(r"[^a-z0-9]", "", platform.node().lower()) or "host"
        number = int.from_bytes(hashlib.sha256(str(self.app_dir).encode()).digest()[:4], "big")
        return f"{machine[:20]}-{number}"[:32]

    def host_name(self, port: int) -> str:
        """`WEBSITE_HOSTNAME`: what the environment says, else this machine and port."""
        return self.environment.get("WEBSITE_HOSTNAME") or f"localhost:{port}"

    def public_base(self, port: int) -> str:
        """Where web hooks are reached, by the real host's rule: plain HTTP only for `localhost:` and a port."""
        name = self.host_name(port)
        return f"{'http' if name.startswith('localhost:') else 'https'}://{name}"

    def is_disabled(self, function_name: str) -> bool:
        return self.environment.get(f"AzureWebJobs.{function_name}.Disabled", "").lower() in {"true", "1"}

    def expand(self, text: str, place: str) -> str:
        """`text` with every `%NAME%` replaced by the app setting.

        Raises:
            SettingsError: a name is not set; `place` says where it was used.
        """

        def value(match: re.Match[str]) -> str:
            found = self.environment.get(match.group(1))
            if found is None:
                raise SettingsError(
                    f"{place} uses %{match.group(1)}%, but no app setting has that name; set it in local.settings.json or the environment"
                )
            return found

        return _PLACEHOLDER.sub(value, text)

    def connection(self, name: str | None, place: str) -> str:
        """The connection string behind a binding's `connection`: the setting of that name, with or without the prefix `AzureWebJobs`.

        Raises:
            MissingConnection: there is none.
        """
        setting = name or "AzureWebJobsStorage"
        candidates = (f"AzureWebJobs{setting}", setting, f"ConnectionStrings__{setting}", f"ConnectionStrings:{setting}")
        for candidate in candidates:
            if found := self.environment.get(candidate):
                return found
        raise MissingConnection(
            f"{place}: the app setting {setting}, a storage connection string, is not set; "
            "UseDevelopmentStorage=true stands for Azurite on its usual ports"
        )


def load_settings(app_dir: Path, process_environment: Mapping[str, str]) -> HostSettings:
    """Reads and checks an app's settings.

    Raises:
        SettingsError: the folder is no Functions app, or a setting cannot be used.
    """
    if not app_dir.is_dir():
        raise SettingsError(f"{app_dir} is not a folder")
    host_file = app_dir / "host.json"
    if not host_file.is_file():
        raise SettingsError(f"no host.json in {app_dir}; is it a Functions app? --app names another folder")
    local = read_local_settings(app_dir / "local.settings.json")
    environment = dict(process_environment)
    for name, text in local.values.items():
        if not environment.get(name):
            environment[name] = text
    host_json = with_overrides(read_json_object(host_file), environment)
    return _read_host_json(app_dir, host_json, environment, local)


def with_overrides(host_json: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """host.json with what `AzureFunctionsJobHost__a__b` variables say; a value that is JSON (true, 5, {...}) counts as such."""
    merged: dict[str, Any] = json.loads(json.dumps(host_json))
    for name in sorted(environment):
        if not name.lower().startswith(_OVERRIDE_PREFIX.lower()):
            continue
        *parents, last = [part for part in re.split(r"__|:", name[len(_OVERRIDE_PREFIX) :]) if part] or [""]
        place = merged
        for part in parents:
            key = _key_like(place, part)
            if not isinstance(place.get(key), dict):
                place[key] = {}
            place = place[key]
        if last:
            place[_key_like(place, last)] = _scalar(environment[name])
    return merged


def _key_like(place: Mapping[str, Any], key: str) -> str:
    return next((existing for existing in place if existing.lower() == key.lower()), key)


def _scalar(text: str) -> Any:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return text if isinstance(value, str) or value is None else value


def read_local_settings(path: Path) -> LocalSettings:
    """local.settings.json; a missing file is an empty one."""
    if not path.is_file():
        return LocalSettings()
    document = Document(read_json_object(path), path.name)
    if document.boolean("IsEncrypted", default=False):
        raise SettingsError(f"{path.name}: IsEncrypted is true, but encrypted settings can only be read by the machine's own Core Tools")
    values: dict[str, str] = {}
    for name, value in document.section("Values").items():
        if isinstance(value, (dict, list)):
            raise SettingsError(f"{path.name}: Values.{name} has to be a string, not {json_type(value)}")
        if value is not None:
            values[name] = value if isinstance(value, str) else json.dumps(value)
    for name, value in document.section("ConnectionStrings").items():
        text = value.get("ConnectionString") if isinstance(value, dict) else value
        if isinstance(text, str):
            values[f"ConnectionStrings__{name}"] = text
    host = document.section("Host")
    cors = host.text("CORS", default="")
    return LocalSettings(
        values=values,
        port=host.integer("LocalHttpPort", default=None, at_least=0, at_most=65535),
        cors_credentials=host.boolean("CORSCredentials", default=False),
        cors=tuple(origin.strip() for origin in cors.split(",") if origin.strip()),
    )


def _read_host_json(app_dir: Path, host_json: dict[str, Any], environment: Mapping[str, str], local: LocalSettings) -> HostSettings:
    document = Document(host_json, "host.json")
    version = document.get("version")
    if version not in {"2.0", 2.0}:
        raise SettingsError(f'host.json: version has to be "2.0", not {json.dumps(version)}')
    extensions = document.section("extensions")
    http, queues, blobs = (extensions.section(name) for name in ("http", "queues", "blobs"))
    batch_size = queues.integer("batchSize", default=16, at_least=1, at_most=32)
    encoding = queues.text("messageEncoding", default="base64").lower()
    if encoding not in {"base64", "none"}:
        raise SettingsError(f'{queues.place("messageEncoding")} has to be "base64" or "none", not {encoding!r}')
    functions = document.get("functions")
    if functions is not None and not (isinstance(functions, list) and all(isinstance(name, str) for name in functions)):
        raise SettingsError("host.json: functions has to be an array of function names")
    headers = {name: str(value) for name, value in http.section("customHeaders").items()}
    levels = document.section("logging").section("logLevel")
    return HostSettings(
        app_dir=app_dir,
        environment=environment,
        host_json=host_json,
        http=HttpSettings(route_prefix=http.text("routePrefix", default="api").strip("/"), custom_headers=headers),
        queues=QueueSettings(
            batch_size=batch_size,
            new_batch_threshold=queues.integer("newBatchThreshold", default=max(1, batch_size // 2), at_least=0, at_most=1000),
            max_dequeue_count=queues.integer("maxDequeueCount", default=5, at_least=1, at_most=1000),
            visibility_timeout=queues.timespan("visibilityTimeout", default=0.0),
            max_polling_interval=max(0.1, queues.timespan("maxPollingInterval", default=60.0)),
            is_base64=encoding == "base64",
        ),
        blobs=BlobSettings(
            max_degree_of_parallelism=blobs.integer("maxDegreeOfParallelism", default=8, at_least=1, at_most=1000),
            poison_blob_threshold=blobs.integer("poisonBlobThreshold", default=5, at_least=1, at_most=1000),
        ),
        durable_task=extensions.section("durableTask").fields,
        function_timeout=_function_timeout(document),
        functions=frozenset(name.lower() for name in functions) if functions is not None else None,
        log_levels={name: str(level) for name, level in levels.items()},
        local=local,
    )


def _function_timeout(document: Document) -> float | None:
    value = document.get("functionTimeout")
    if value in ("-1", -1):
        return None
    seconds = document.timespan("functionTimeout", default=1800.0)
    if seconds < 1:
        raise SettingsError(
            f'host.json: functionTimeout has to be at least one second ("00:00:01") or "-1" for none, not {json.dumps(value)}'
        )
    return seconds
