"""A lineage backend: a real HTTP server that keeps what is posted to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def backend(refuse_after: int = 1000, *, status: int = 503, recovers: bool = False, key: str = "") -> Iterator[tuple[str, list[Any]]]:
    """A lineage backend that has enough after some events, for good or just once, and may want a key."""
    taken: list[Any] = []
    refused: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            full = len(taken) == refuse_after and not (recovers and refused)
            wrong = bool(key) and self.headers["Authorization"] != f"Bearer {key}"
            if full:
                refused.append(status)
            elif not wrong:
                taken.append(json.loads(body))
            self.send_response(401 if wrong else status if full else 201)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api/v1/lineage", taken
        finally:
            server.shutdown()
            thread.join()
