"""Who may call what. Without `--enable-auth` every caller counts as administrator, as under `func start`."""

from __future__ import annotations

from devhost.http.message import Reply, Request
from devhost.http.query import read_query
from devhost.keys import KeyHolder, Keys


class Authorization:
    """Checks the key of a request: header `x-functions-key`, else query parameter `code`."""

    def __init__(self, keys: Keys, *, enabled: bool) -> None:
        self._keys = keys
        self._enabled = enabled

    def _holder(self, request: Request, function: str | None) -> KeyHolder | None:
        key = request.headers.get("x-functions-key")
        if key is None:
            key = next((value for name, value in read_query(request.query).items() if name.lower() == "code"), "")
        return self._keys.holder(key, function)

    def refuse_function(self, request: Request, function: str, level: str) -> Reply | None:
        """The refusal of a call to an HTTP function, None when it may pass; a valid key of too low level is a 401 like none."""
        if not self._enabled or level == "anonymous":
            return None
        holder = self._holder(request, function)
        allowed = {"master"} if level == "admin" else {"master", "host", "function"}
        return None if holder is not None and holder.scope in allowed else Reply(status=401)

    def may_call_disabled(self, request: Request, function: str) -> bool:
        """Whether a function that is disabled answers all the same: to whoever presents the master key."""
        holder = self._holder(request, function) if self._enabled else None
        return holder is not None and holder.scope == "master"

    def refuse_admin(self, request: Request) -> Reply | None:
        """The refusal of a call to `/admin`: only the master key opens it."""
        return self._refuse_host(request, None)

    def refuse_web_hook(self, request: Request, system_key: str) -> Reply | None:
        """The refusal of a call to an extension's web hook: its system key or the master key open it."""
        return self._refuse_host(request, system_key)

    def _refuse_host(self, request: Request, system_key: str | None) -> Reply | None:
        if not self._enabled:
            return None
        holder = self._holder(request, None)
        if holder is None or holder.scope == "function":
            return Reply(status=401)
        if holder.scope == "master" or (holder.scope == "system" and holder.name == system_key):
            return None
        return Reply(status=403)
