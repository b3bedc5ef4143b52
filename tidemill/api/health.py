"""Whether the app can do its work, and if not, what is in the way."""

from __future__ import annotations

from collections.abc import Callable

from tidemill.api.app import ApiApp
from tidemill.api.http import ApiResponse, json_response
from tidemill.api.payloads import Health, HealthCheck
from tidemill.api.problems import RETRY_AFTER_SECONDS
from tidemill.api.route import Call, Nothing
from tidemill.errors import TidemillError
from tidemill.redact import redact
from tidemill.version import VERSION


def get_health(app: ApiApp, _: Call[Nothing, Nothing]) -> ApiResponse:
    """Storage answers and the definitions are sound: 200; else 503 with the reasons."""
    checks = (_check("storage", app.runtime.catalog.head), _check("definitions", lambda: app.graph))
    ok = all(check.ok for check in checks)
    health = Health(status="ok" if ok else "unhealthy", version=VERSION, checks=checks)
    return json_response(health, status=200 if ok else 503, headers={} if ok else {"Retry-After": str(RETRY_AFTER_SECONDS)})


def _check(name: str, question: Callable[[], object]) -> HealthCheck:
    try:
        question()
    except TidemillError as error:
        return HealthCheck(name=name, ok=False, detail=redact(str(error)))
    return HealthCheck(name=name, ok=True)
