"""Orchestrators: plain generators that ask the core what comes next and yield durable tasks. No clock, randomness, I/O or SDK import."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrators.context import DurableContext, Steps
from orchestrators.materialize_run import materialize_run

ORCHESTRATORS: Mapping[str, Callable[[DurableContext], Steps[object]]] = {"materialize_run": materialize_run}
"""Every orchestrator by its durable name. Names live in stored history: they are for ever."""
