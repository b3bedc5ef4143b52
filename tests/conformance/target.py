"""A host under test, spoken to over HTTP only: whatever serves `tests/conformance/app` can be behind the address."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tests.devhost.shell.support import Reply

ENDED = ("Completed", "Failed", "Terminated", "Canceled")
WEB_HOOK = "/runtime/webhooks/durabletask"


@dataclass(frozen=True)
class Target:
    """A base URL such as `http://127.0.0.1:7071`, and the key that opens its management API (any, on a host without keys)."""

    base: str
    code: str = "KEY"

    @property
    def authority(self) -> str:
        return urlsplit(self.base).netloc

    def request(
        self, method: str, target: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None, *, timeout: float = 60
    ) -> Reply:
        """One request as it stands; header names of the reply are lower case, of repeated ones the last counts."""
        parts = urlsplit(self.base)
        make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = make(parts.netloc, timeout=timeout)
        try:
            connection.request(method, target, body, dict(headers or {}))
            response = connection.getresponse()
            return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, target: str, **headers: str) -> Reply:
        return self.request("GET", target, headers=headers)

    # The management API

    def manage(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """A request below the web hook; `body` is sent as JSON, `raw` as it is, both as `application/json` unless the headers say otherwise."""
        data = raw if raw is not None else (None if body is None else json.dumps(body).encode())
        sent = {"Content-Type": "application/json"} if data is not None else {}
        separator = "&" if "?" in path else "?"
        target = f"{WEB_HOOK}{path}{separator}{urlencode({'code': self.code})}"
        return self.request(method, target, data, {**sent, **(headers or {})})

    def new_id(self, label: str = "i") -> str:
        return f"{label}-{uuid.uuid4().hex[:12]}"

    def start(self, name: str, instance_id: str | None = None, body: Any = None, *, raw: bytes | None = None) -> str:
        """Starts an orchestration, with a new id unless one is given, and returns the id."""
        instance_id = instance_id or self.new_id(name.replace("_", "-"))
        reply = self.manage("POST", f"/orchestrators/{name}/{quote(instance_id, safe='')}", body, raw=raw)
        assert reply.status == 202, (reply.status, reply.body)
        return instance_id

    def status(self, instance_id: str, **options: Any) -> dict[str, Any]:
        """The status object; empty for an unknown id."""
        reply = self.manage("GET", f"/instances/{quote(instance_id, safe='')}?{urlencode(options)}")
        return dict(reply.json()) if reply.body else {}

    def history(self, instance_id: str) -> list[dict[str, Any]]:
        """Its events, none while it is Pending."""
        return list(self.status(instance_id, showHistory="true", showHistoryOutput="true").get("historyEvents", []))

    def wait(self, instance_id: str, *, until: tuple[str, ...] = ENDED, seconds: float = 30) -> dict[str, Any]:
        """The status once it is one of `until`."""
        found: dict[str, Any] = {}

        def is_there() -> bool:
            nonlocal found
            found = self.status(instance_id)
            return found.get("runtimeStatus") in until

        self.until(is_there, what=f"{instance_id} {until}", seconds=seconds, explain=lambda: str(found))
        return found

    def run(self, name: str, body: Any = None, *, seconds: float = 30) -> dict[str, Any]:
        """Starts and waits for the end."""
        return self.wait(self.start(name, None, body), seconds=seconds)

    def output(self, name: str, body: Any = None, *, seconds: float = 30) -> Any:
        """The output of an orchestration that has to complete."""
        found = self.run(name, body, seconds=seconds)
        assert found["runtimeStatus"] == "Completed", found
        return found["output"]

    def raise_event(self, instance_id: str, name: str, body: Any = None, *, raw: bytes | None = None) -> Reply:
        return self.manage("POST", f"/instances/{quote(instance_id, safe='')}/raiseEvent/{name}", body, raw=raw)

    def post(self, instance_id: str, operation: str) -> Reply:
        """An operation such as `terminate?reason=x`."""
        return self.manage("POST", f"/instances/{quote(instance_id, safe='')}/{operation}")

    def signal(self, entity: str, operation: str, body: Any = None, *, raw: bytes | None = None) -> Reply:
        return self.manage("POST", f"/entities/{entity}?op={operation}", body, raw=raw)

    # The app's own routes

    def count(self, key: str) -> int:
        return int(self.get(f"/api/count/{quote(key, safe='')}").json())

    def mark(self, name: str) -> None:
        assert self.request("POST", f"/api/mark/{quote(name, safe='')}").status == 200

    # Waiting

    def until(self, condition: Callable[[], object], *, what: str, seconds: float = 20, explain: Callable[[], str] = lambda: "") -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"no {what} after {seconds} s: {explain()}"
            time.sleep(0.05)

    def stays(self, instance_id: str, status: str, *, seconds: float) -> dict[str, Any]:
        """Asserts that the instance keeps a status for a while; gives its last state."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.status(instance_id)
            assert found["runtimeStatus"] == status, found
            if time.monotonic() > deadline:
                return found
            time.sleep(0.2)
