"""What goes into a replay besides the history, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from devhost.durable.history import Event, Kind


@dataclass(frozen=True, slots=True)
class Known:
    """The durable names the app has, lower-cased → as registered."""

    orchestrators: dict[str, str]
    activities: dict[str, str]
    entities: dict[str, str]

    def unknown_text(self, kind: str, name: str) -> str:
        """Upstream's sentence about a name that is not registered; `kind` is `orchestrator`, `activity` or `entity`."""
        names: dict[str, str] = {"orchestrator": self.orchestrators, "activity": self.activities, "entity": self.entities}[kind]
        listed = "', '".join(sorted(names.values()))
        are_there_any = self.orchestrators if kind == "entity" else names  # upstream's slip: an app without entities lists one, ''
        known = (
            f"The following are the known {kind} functions: '{listed}'."
            if are_there_any
            else f"No {kind} functions are currently registered!"
        )
        return f"The function '{name}' doesn't exist, is disabled, or is not an {kind} function. Additional info: {known}"


@dataclass(frozen=True, slots=True)
class Frame:
    """What the engine knows of an instance besides its history."""

    instance_id: str
    execution_id: str
    name: str
    parent_id: str | None
    known: Known
    max_actions: int = 100_000
    default_version: str = ""
    """What a sub-orchestration gets for a version unless the call names one."""
    store_inputs: bool = False
    """Whether the history keeps the inputs of what is scheduled (`storeInputsInOrchestrationHistory`)."""


@dataclass(slots=True)
class Decision:
    """What to append to the history and do."""

    scheduled: list[Event] = field(default_factory=list)
    """New events in the order of their sequence numbers, the completion included."""
    completion: Event | None = None
    """The `ExecutionCompleted` among them, whatever its status."""
    new_input: str | None = None
    """The next generation's input, when the status is `ContinuedAsNew`."""
    carried: list[Event] = field(default_factory=list)
    """Events that arrived after the continue-as-new and belong to the next generation."""
    custom_status: str | None = None
    """JSON text, when the answer set one."""
    suspended: bool = False
    reason: str | None = None
    """The last suspend or resume reason."""
    quiet: frozenset[int] = frozenset()
    """Open tasks all of which must succeed before the orchestrator can possibly answer anything else: see `_quiet`."""
    notes: list[str] = field(default_factory=list)
    """Sentences for the log: what happened here that an app's author would want to know."""


def cut_off(events: Sequence[Event], terminated: Event) -> Decision:
    """The end of an execution that is terminated while its orchestrator cannot be asked."""
    number = 1 + max((event.id for event in events), default=-1)
    members = {"OrchestrationStatus": "Terminated", "Result": terminated.members.get("Input"), "FailureDetails": None}
    completion = Event(Kind.ExecutionCompleted, members, id=number)
    return Decision(scheduled=[completion], completion=completion)
