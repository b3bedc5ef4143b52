"""Loopback ports: which are free, and which to take."""

from __future__ import annotations

import socket
from collections.abc import Sequence

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now. Somebody may take it a moment later."""
    with socket.socket() as probe:
        # As servers do: connections of a server that has just ended do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose(preferred: Sequence[int]) -> list[int]:
    """The preferred ports if all are free, else as many others that are; they stay together so that a person recognises them."""
    if all(is_free(port) for port in preferred):
        return list(preferred)
    probes = [socket.socket() for _ in preferred]
    try:
        for probe in probes:  # all held at once, so that no port is given twice
            probe.bind((LOOPBACK, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
