"""Questions and deletions over many instances: the table is asked, after late rows have been written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from devhost.durable.client import DurableClient, scheduler_state
from devhost.durable.jsontext import loads, value_or_text
from devhost.durable.names import split_entity_id, to_key
from devhost.durable.rows import RowWriter
from devhost.durable.state import TERMINAL_STATES, InstanceState
from devhost.durable.store import HubStore
from devhost.durable.times import now_ticks, to_round_trip_text, to_ticks
from devhost.storage.tables import literal

_LARGEST_PAGE: Final = 1000
_EARLIEST: Final = to_ticks("1601-01-01T00:00:00Z")


class Listing:
    """Lists and purges by filter."""

    def __init__(self, *, store: HubStore, rows: RowWriter, client: DurableClient) -> None:
        self._store = store
        self._rows = rows
        self._client = client

    async def page(
        self, *, prefix: str | None, since: int | None, until: int | None, statuses: Sequence[str], top: int, token: str | None
    ) -> tuple[list[InstanceState], str | None]:
        """One page in the order of escaped ids, and the token of the next one. Times in ticks."""
        await self._rows.flush()
        terms = _created(since, until) + _with_prefix(prefix)
        if statuses:
            terms.append("(" + " or ".join(f"RuntimeStatus eq {literal(status)}" for status in statuses) + ")")
        return await self._store.instance_page(" and ".join(terms), max(1, min(top, _LARGEST_PAGE)), token)

    async def purge(self, since: int, until: int | None, statuses: Sequence[str]) -> int:
        """Deletes the instances created in the range; returns how many.

        Statuses that are not terminal are dropped from the filter, and no filter means everything in the range, running instances and
        entities included: upstream does so, and a kinder host would hide the accident until production.
        """
        wanted = {status for status in statuses if status in TERMINAL_STATES}
        await self._rows.flush()
        terms = _created(since, until if until is not None else now_ticks())
        deleted = 0
        token: str | None = None
        doomed: list[str] = []
        while True:
            found, token = await self._store.instance_page(" and ".join(terms), _LARGEST_PAGE, token)
            doomed += [state.instance_id for state in found if not wanted or state.status in wanted]
            if token is None:
                break
        for instance_id in doomed:
            deleted += await self._client.purge(instance_id)
        return deleted

    async def entities(
        self, *, name: str, since: int | None, until: int | None, with_state: bool, top: int, token: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """One page of entities, of one name or of all."""
        await self._rows.flush()
        terms = _with_prefix(f"@{name.lower()}@" if name else "@")
        page, following = await self._store.instance_page(" and ".join(terms), max(1, min(top, _LARGEST_PAGE)), token)
        return [shown for state in page if (shown := _entity(state, since, until, with_state=with_state)) is not None], following


def _entity(state: InstanceState, since: int | None, until: int | None, *, with_state: bool) -> dict[str, Any] | None:
    updated = to_ticks(state.updated)
    if (since is not None and updated < since) or (until is not None and updated > until):
        return None
    found = scheduler_state(state)
    exists = found is not None if with_state else bool((loads(state.custom_status) or {}).get("entityExists"))
    if not exists:
        return None
    name, key = split_entity_id(state.instance_id)
    shown: dict[str, Any] = {"entityId": {"name": name, "key": key}, "lastOperationTime": state.updated}
    return shown | {"state": value_or_text(found) if with_state else None}


def _created(since: int | None, until: int | None) -> list[str]:
    """Filters by creation; a year that tables do not know asks for nothing."""
    terms = [f"CreatedTime ge datetime'{to_round_trip_text(since)}'"] if since is not None and since > _EARLIEST else []
    return terms + ([f"CreatedTime le datetime'{to_round_trip_text(max(until, _EARLIEST))}'"] if until is not None else [])


def _with_prefix(prefix: str | None) -> list[str]:
    if not prefix:
        return []
    key = to_key(prefix)
    return [f"PartitionKey ge {literal(key)}", f"PartitionKey lt {literal(key[:-1] + chr(ord(key[-1]) + 1))}"]
