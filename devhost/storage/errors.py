"""What storage can answer instead of what was asked for."""

from __future__ import annotations


class StorageError(Exception):
    """The service understood the request and refused it."""

    def __init__(self, status: int, code: str, message: str, target: str) -> None:
        super().__init__(f"storage answered {status} {code} for {target}: {message}")
        self.status = status
        """The HTTP status."""
        self.code = code
        """The service's error code, such as `EntityAlreadyExists`; empty when it gave none."""
        self.target = target


class StorageUnavailable(Exception):
    """No usable answer within the caller's patience: whether the request took effect is unknown."""


class BadConnectionString(ValueError):
    """The connection string cannot be used; the message names what is missing, never the key."""
