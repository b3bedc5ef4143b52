"""Cross-origin requests from browsers, for the origins that local.settings.json (`Host.CORS`) or `--cors` names; none by default."""

from __future__ import annotations

from dataclasses import dataclass, replace

from devhost.http.message import Reply, Request


@dataclass(frozen=True, slots=True)
class CorsPolicy:
    """Which origins may call; `*` is all of them."""

    origins: tuple[str, ...] = ()
    with_credentials: bool = False

    def preflight(self, request: Request) -> Reply | None:
        """The answer to a preflight request, which no function sees then; None for any other request or without a policy."""
        asked = request.headers.get("access-control-request-method")
        if not self.origins or request.method.upper() != "OPTIONS" or asked is None:
            return None
        reply = Reply(status=204)
        if self._allowed(request) is None:
            return reply
        headers = [("Access-Control-Allow-Methods", asked)]
        if wanted := request.headers.get("access-control-request-headers"):
            headers.append(("Access-Control-Allow-Headers", wanted))
        return replace(reply, headers=headers)

    def apply(self, request: Request, reply: Reply) -> Reply:
        """The reply with the headers that let the calling page read it."""
        allowed = self._allowed(request)
        if allowed is None:
            return reply
        headers = [("Access-Control-Allow-Origin", allowed)]
        if allowed != "*":
            headers.append(("Vary", "Origin"))
        if self.with_credentials:
            headers.append(("Access-Control-Allow-Credentials", "true"))
        names = {name.lower() for name, _ in headers if name != "Vary"}
        return replace(reply, headers=[*(item for item in reply.headers if item[0].lower() not in names), *headers])

    def _allowed(self, request: Request) -> str | None:
        """What `Access-Control-Allow-Origin` says to this caller; None when it may not call."""
        origin = request.headers.get("origin")
        if origin is None:
            return None
        if "*" in self.origins:
            return origin if self.with_credentials else "*"
        return origin if origin.lower() in {allowed.lower().rstrip("/") for allowed in self.origins} else None
