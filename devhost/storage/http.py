"""The seam between the service clients and the account's session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply whose status was expected."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Requester(Protocol):
    """What a service client needs of an account."""

    endpoints: Mapping[str, str]

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
    ) -> Answer: ...
