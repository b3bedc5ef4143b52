"""What the host knows of a function: the metadata the worker reports after indexing the app."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionMetadata:
    """One function of the app, as the worker indexed it."""

    name: str
    """The Functions name: `@app.function_name`, else the Python name."""
    bindings: tuple[Mapping[str, Any], ...]
    """The binding dictionaries in `get_bindings()` order, keys as in function.json; the trigger is one of them."""
    is_async: bool
    script_file: str
    entry_point: str
    retry: Mapping[str, Any] | None = None
    """`get_settings_dict("retry_policy")` as given, or None."""
    errors: tuple[str, ...] = field(default=())
    """Why the host put the function in error; empty for a function that runs."""
    warnings: tuple[str, ...] = field(default=())
    """What loads on the real host too but cannot work."""
    is_streamed: bool = False
    """Whether it is an HTTP function that takes its requests in, and sends its replies out, through its worker's own web server."""
    disabled: bool = False
    """Whether `AzureWebJobs.<name>.Disabled` is set."""

    @property
    def trigger(self) -> Mapping[str, Any]:
        """The binding whose type ends in `Trigger`."""
        return next(binding for binding in self.bindings if str(binding["type"]).endswith("Trigger"))

    @property
    def kind(self) -> str:
        """The trigger's type: `httpTrigger`, `activityTrigger`, `orchestrationTrigger`, `entityTrigger`, `timerTrigger`…"""
        return str(self.trigger["type"])

    @property
    def durable_name(self) -> str:
        """The name orchestrations call it by: the trigger's own property where given, else the Functions name."""
        key = {"orchestrationTrigger": "orchestration", "activityTrigger": "activity", "entityTrigger": "entityName"}.get(self.kind)
        return str((key and self.trigger.get(key)) or self.name)
