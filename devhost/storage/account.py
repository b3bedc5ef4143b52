"""A storage account: its connection string, its signature, and the connections to its three services.

Requests carry an account SAS in the URL instead of a signature in each header: it is made once and kept for hours, which takes signing off
the hot path. Throttling and outages are retried here; what a retried write means is for the caller to find out (see `store.commit`).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import random
import time
from collections.abc import Mapping
from urllib.parse import quote

from devhost.storage.blobs import BlobClient
from devhost.storage.connections import Connections
from devhost.storage.errors import BadConnectionString, StorageError, StorageUnavailable
from devhost.storage.http import Answer
from devhost.storage.queues import QueueClient
from devhost.storage.tables import TableClient

API_VERSION = "2019-02-02"
_DEVELOPMENT = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
    "TableEndpoint=http://127.0.0.1:10002/devstoreaccount1"
)
_SIGNATURE_SECONDS = 24 * 3600
_TRANSIENT = {408, 429, 500, 502, 503, 504}
_ANSWER_SECONDS = 15.0
_LEAST_SILENCE_SECONDS = 5.0
_LONGEST_WAIT_SECONDS = 60.0


class StorageAccount:
    """One account and the connections to it. `tables`, `blobs` and `queues` are its clients."""

    def __init__(self, *, name: str, key: bytes | None, signature: str | None, endpoints: Mapping[str, str]) -> None:
        self.name = name
        self.endpoints = endpoints
        """`blob`, `queue`, `table` → base URL without a trailing slash."""
        self.calls = 0
        """How many requests have been sent, for measurements."""
        self.answer_seconds = _ANSWER_SECONDS
        """For how long the service may be silent before a request counts as lost."""
        self._key = key
        self._given_signature = signature
        self._signature = ""
        self._signature_until = 0.0
        self._connections: dict[str, Connections] = {}
        self._closed = False
        self.tables = TableClient(self)
        self.blobs = BlobClient(self)
        self.queues = QueueClient(self)

    @classmethod
    def from_connection_string(cls, text: str) -> StorageAccount:
        """Parses a connection string, `UseDevelopmentStorage=true` included.

        Raises:
            BadConnectionString: a part is missing or the key is not base64.
        """
        parts = _parts(text)
        if parts.get("usedevelopmentstorage", "").lower() == "true":
            parts = _parts(_DEVELOPMENT)
        signature = parts.get("sharedaccesssignature", "").lstrip("?") or None
        name = parts.get("accountname", "")
        key: bytes | None = None
        if "accountkey" in parts:
            try:
                key = base64.b64decode(parts["accountkey"], validate=True)
            except ValueError:
                raise BadConnectionString("The storage connection string has an AccountKey that is not base64.") from None
        if key is None and signature is None:
            raise BadConnectionString(
                "The storage connection string has neither AccountKey nor SharedAccessSignature. "
                "For Azurite use UseDevelopmentStorage=true or its full connection string."
            )
        if key is not None and not name:
            raise BadConnectionString("The storage connection string has no AccountName.")
        protocol, suffix = parts.get("defaultendpointsprotocol", "https"), parts.get("endpointsuffix", "core.windows.net")
        endpoints = {}
        for service in ("blob", "queue", "table"):
            endpoint = parts.get(f"{service}endpoint") or (f"{protocol}://{name}.{service}.{suffix}" if name else "")
            if not endpoint:
                raise BadConnectionString(f"The storage connection string has neither AccountName nor {service.title()}Endpoint.")
            endpoints[service] = endpoint.rstrip("/")
        return cls(name=name, key=key, signature=signature, endpoints=endpoints)

    async def close(self) -> None:
        """Closes the connections; a later request is refused."""
        self._closed = True
        for connections in self._connections.values():
            await connections.close()

    async def request(
        self,
        service: str,
        method: str,
        path: str,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        expect: tuple[int, ...] = (200, 201, 202, 204),
        patience: float = 30.0,
    ) -> Answer:
        """Sends one request, repeating it while the service is busy or away.

        `path` (with its leading slash) and `query` are percent-encoded already. `patience` is for how many seconds to go on trying after
        the first transient failure; a status in `expect` is an answer. A service that says when to come again (`Retry-After`) is obeyed.

        Raises:
            StorageError: an answer outside `expect` that repeating would not change.
            StorageUnavailable: still no usable answer after `patience` seconds; a write may or may not have happened.
        """
        deadline: float | None = None
        delay = 0.1
        target = f"{method} {path}"
        while True:
            failure: Exception
            told = 0.0
            try:
                answer = await self._send(
                    service, method, path, query, headers, body, silence=min(self.answer_seconds, max(patience, _LEAST_SILENCE_SECONDS))
                )
            except OSError as error:
                failure = StorageUnavailable(
                    f"storage at {self.endpoints[service]} does not answer {target}: {str(error) or type(error).__name__}"
                )
            else:
                if answer.status in expect:
                    return answer
                refused = StorageError(answer.status, *_error(answer), target)
                if answer.status not in _TRANSIENT:
                    raise refused
                failure = StorageUnavailable(str(refused))
                told = _told_to_wait(answer)
            now = time.monotonic()
            deadline = now + patience if deadline is None else deadline
            wait = max(told, delay * random.uniform(0.7, 1.3))  # noqa: S311
            if now + wait > deadline:
                raise failure
            await asyncio.sleep(wait)
            delay = min(delay * 2, 5.0)

    async def _send(
        self, service: str, method: str, path: str, query: str, headers: Mapping[str, str] | None, body: bytes | None, *, silence: float
    ) -> Answer:
        if self._closed:
            raise StorageUnavailable("the connection to storage has been closed")
        connections = self._connections.get(service)
        if connections is None:
            connections = self._connections[service] = Connections(self.endpoints[service])
        self.calls += 1
        target = f"{path}?{query}&{self._sign()}" if query else f"{path}?{self._sign()}"
        return await connections.request(method, target, {"x-ms-version": API_VERSION, **(headers or {})}, body, silence=silence)

    def _sign(self) -> str:
        if self._given_signature is not None:
            return self._given_signature
        now = time.time()
        if now > self._signature_until - _SIGNATURE_SECONDS / 2:
            self._signature_until = now + _SIGNATURE_SECONDS
            self._signature = self._account_signature(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._signature_until)))
        return self._signature

    def _account_signature(self, expires: str) -> str:
        assert self._key is not None
        fields = [self.name, "rwdlacup", "bqt", "sco", "", expires, "", "https,http", API_VERSION, ""]
        digest = hmac.new(self._key, "\n".join(fields).encode(), hashlib.sha256).digest()
        values = {
            "sv": API_VERSION,
            "ss": "bqt",
            "srt": "sco",
            "sp": "rwdlacup",
            "se": expires,
            "spr": "https,http",
            "sig": base64.b64encode(digest).decode(),
        }
        return "&".join(f"{key}={quote(value, safe='')}" for key, value in values.items())


def _parts(text: str) -> dict[str, str]:
    parts = {}
    for item in text.strip().split(";"):
        name, found, value = item.partition("=")
        if found:
            parts[name.strip().lower()] = value.strip()
    return parts


def _told_to_wait(answer: Answer) -> float:
    """The seconds of `Retry-After`; 0 when there are none, or a date."""
    text = answer.headers.get("Retry-After", "")
    return min(float(text), _LONGEST_WAIT_SECONDS) if text.isdecimal() else 0.0


def _error(answer: Answer) -> tuple[str, str]:
    text = answer.body.decode("utf-8", "replace")
    code = answer.headers.get("x-ms-error-code", "")
    if not code:
        for opening, closing in (('"code":"', '"'), ("<Code>", "</Code>")):
            start = text.find(opening)
            if start >= 0:
                start += len(opening)
                code = text[start : text.find(closing, start)]
                break
    return code, " ".join(text.split())[:300]
