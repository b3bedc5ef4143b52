"""An instance's status: the row of the instances table, in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from devhost.durable.jsontext import dumps, loads
from devhost.durable.names import to_key

RUNNING_STATES: Final = frozenset({"Pending", "Running", "ContinuedAsNew", "Suspended"})
TERMINAL_STATES: Final = frozenset({"Completed", "Failed", "Terminated", "Canceled"})
_DATES: Final = ("CreatedTime", "LastUpdatedTime", "CompletedTime", "ScheduledStartTime")


@dataclass(slots=True, kw_only=True)
class InstanceState:
    """Everything the instances table says of one instance. Texts are JSON unless said otherwise."""

    instance_id: str
    name: str
    execution_id: str
    status: str
    created: str
    updated: str
    version: str = ""
    input: str | None = None
    output: str | None = None
    """JSON, or the plain text of a failure, terminate, suspend or resume reason."""
    custom_status: str = "null"
    completed: str | None = None
    scheduled: str | None = None
    generation: int | None = 0
    """How often the id has been started over; None for sub-orchestrations and after continue-as-new."""
    parent: Mapping[str, Any] | None = None
    """The `ParentInstance` member of the start event, for a sub-orchestration."""

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL_STATES

    @property
    def is_entity(self) -> bool:
        return self.instance_id.startswith("@")

    def copy(self) -> InstanceState:
        return replace(self)

    def to_row(self, hub: str) -> dict[str, Any]:
        """The entity of the instances table; long values are still in place."""
        row: dict[str, Any] = {
            "PartitionKey": to_key(self.instance_id),
            "RowKey": "",
            "Name": self.name,
            "Version": self.version,
            "CustomStatus": self.custom_status,
            "RuntimeStatus": self.status,
            "ExecutionId": self.execution_id,
            "TaskHubName": hub,
        }
        optional = {
            "Input": self.input,
            "Output": self.output,
            "Generation": self.generation,
            "ParentInstance": dumps(self.parent) if self.parent else None,
        }
        row |= {name: value for name, value in optional.items() if value is not None}
        for name, moment in zip(_DATES, (self.created, self.updated, self.completed, self.scheduled), strict=True):
            if moment is not None:
                row[name] = moment
                row[f"{name}@odata.type"] = "Edm.DateTime"
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any], instance_id: str) -> InstanceState:
        """Inverse of `to_row`; spilled values must be back in place."""
        parent = row.get("ParentInstance")
        created = str(row.get("CreatedTime") or row.get("Timestamp") or "1601-01-01T00:00:00Z")
        generation = row.get("Generation")
        return cls(
            instance_id=instance_id,
            name=row.get("Name") or "",
            version=row.get("Version") or "",
            execution_id=row.get("ExecutionId") or "",
            status=row.get("RuntimeStatus") or "Pending",
            created=created,
            updated=str(row.get("LastUpdatedTime") or created),
            input=row.get("Input"),
            output=row.get("Output"),
            custom_status=row.get("CustomStatus") or "null",
            completed=row.get("CompletedTime"),
            scheduled=row.get("ScheduledStartTime"),
            generation=None if generation is None else int(generation),
            parent=_parent(parent),
        )


def _parent(text: str | None) -> Mapping[str, Any] | None:
    try:
        parent = loads(text) if text else None
    except ValueError:
        return None  # the history has it too, and that is what counts
    return parent if isinstance(parent, dict) else None
