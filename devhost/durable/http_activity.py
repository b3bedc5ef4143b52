"""The built-in activity behind `call_http`: what it sends, what of an answer it shows, and in which words it fails.

It is .NET's client that apps meet in production, with its own ideas: a content type with parameters is refused, one without content is not
sent, content headers of an answer stay behind, headers with several values come as lists. All of that is done here the same way.
"""

from __future__ import annotations

import os
import re
from typing import Any, Final

import aiohttp

from devhost.durable.failures import task_failed_bare
from devhost.durable.history import Event, Kind
from devhost.durable.jsontext import dumps, loads

_SECONDS: Final = 240
_USER_AGENT: Final = "Microsoft.Azure.WebJobs.Extensions.DurableTask/2.13.7"
_LIBRARY_HEADERS: Final = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
"""What the HTTP library would add to a request by itself."""
_CONTENT_HEADERS: Final = frozenset(
    {
        *("allow", "content-disposition", "content-encoding", "content-language", "content-length", "content-location", "content-md5"),
        *("content-range", "content-type", "expires", "last-modified"),
    }
)
"""Headers that .NET counts to the content: in a request they are misplaced, those of a reply do not reach the orchestrator."""
_LISTS: Final = frozenset(
    {
        *(
            "accept-ranges",
            "connection",
            "pragma",
            "proxy-authenticate",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "vary",
            "via",
            "warning",
        ),
        "www-authenticate",
    }
)
"""Headers of a reply that are read as lists, one line or several."""
_MEDIA_TYPE: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PRODUCT: Final = re.compile(r"\([^)]*\)|\S+")
_FORM: Final = "application/x-www-form-urlencoded"


class HttpActivity:
    """Sends the requests of `call_http`; any answer is a result, no answer is a failure."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def run(self, task_id: int, request_json: str) -> Event:
        """The event that answers the task. `request_json` is the SDK's `httpRequest`."""
        request: dict[str, Any] = loads(request_json)
        if request.get("tokenSource"):
            return task_failed_bare(task_id, "Managed identity tokens are not available on this host.")
        try:
            headers = _request_headers(request)
        except _Unsendable as problem:
            return task_failed_bare(task_id, str(problem))
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS), skip_auto_headers=_LIBRARY_HEADERS)
        try:
            content = request.get("content")
            body = content.encode("utf-8", "replace") if isinstance(content, str) else None
            async with self._session.request(
                str(request.get("method") or "GET"), str(request["uri"]), headers=headers, data=body, max_redirects=50
            ) as response:
                if (response.content_type or "").startswith("multipart/"):
                    return task_failed_bare(task_id, "Multipart responses are not supported.")
                answer = {
                    "statusCode": response.status,
                    "headers": _shown_headers(response),
                    "content": await response.text(errors="replace"),
                }
                return Event(Kind.TaskCompleted, {"TaskScheduledId": task_id, "Result": dumps(answer)})
        except aiohttp.ClientConnectorError as problem:
            number = problem.os_error.errno or 0
            reason = os.strerror(number) if number > 0 else problem.os_error.strerror or str(problem.os_error)
            return task_failed_bare(task_id, f"{reason} ({problem.host}:{problem.port})")
        except TimeoutError:
            return task_failed_bare(
                task_id, f"The request was canceled due to the configured HttpClient.Timeout of {_SECONDS} seconds elapsing."
            )
        except aiohttp.InvalidURL:
            return task_failed_bare(
                task_id, "An invalid request URI was provided. Either the request URI must be an absolute URI or BaseAddress must be set."
            )
        except (aiohttp.ClientError, OSError, ValueError, LookupError, TypeError) as problem:
            return task_failed_bare(task_id, str(problem) or type(problem).__name__)


class _Unsendable(Exception):
    """The request cannot be made; `str()` is .NET's sentence."""


def _request_headers(request: dict[str, Any]) -> dict[str, str]:
    """The headers to send; a value that is neither a text nor a list of texts is left out.

    Raises:
        _Unsendable: a header that .NET refuses.
    """
    content_type, headers = "", {}
    for name, value in (request.get("headers") or {}).items():
        values = [value] if isinstance(value, str) else [str(item) for item in value] if isinstance(value, list) else []
        if not values:
            continue
        if name.lower() == "content-type":
            if any("multipart" in item for item in values):
                raise _Unsendable("Multipart content is not supported with CallHttpAsync.")
            content_type = values[-1]
        elif name.lower() in _CONTENT_HEADERS:
            raise _Unsendable(
                f"Misused header name, '{name}'. Make sure request headers are used with HttpRequestMessage, response headers with "
                "HttpResponseMessage, and content headers with HttpContent objects."
            )
        else:
            headers[name] = ", ".join(values)
    if not any(name.lower() == "user-agent" for name in headers):
        headers["User-Agent"] = _USER_AGENT
    if request.get("content") is None:
        return headers
    content_type = content_type or "text/plain"
    if content_type.lower() == _FORM:
        content_type = f"{content_type}; charset=utf-8"
    elif not _MEDIA_TYPE.fullmatch(content_type):
        raise _Unsendable(f"The format of value '{content_type}' is invalid.")
    return headers | {"Content-Type": content_type}


def _shown_headers(response: aiohttp.ClientResponse) -> dict[str, str | list[str]]:
    """A reply's headers as the orchestrator gets them: a text each, a list for one that has several values."""
    shown: dict[str, str | list[str]] = {}
    for name in dict.fromkeys(response.headers):
        if name.lower() in _CONTENT_HEADERS or name in shown:
            continue
        values = response.headers.getall(name)
        if name.lower() in _LISTS:
            values = [item.strip() for line in values for item in line.split(",") if item.strip()]
        elif name.lower() == "server":
            values = [item for line in values for item in _PRODUCT.findall(line)]
        shown[name] = values[0] if len(values) == 1 else values
    return shown
