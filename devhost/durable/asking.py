"""Asks Python what an orchestration does next, and makes a decision of the answer: the middle of an episode, which changes nothing."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Final

from devhost.durable.activities import Arguments
from devhost.durable.answers import Answer, failed_answer, read_answer
from devhost.durable.decisions import Decision, Frame, Known
from devhost.durable.episode import context_json, execution_started
from devhost.durable.history import Event
from devhost.durable.replay import replay
from devhost.durable.sessions import Session
from devhost.durable.settings import DurableSettings
from devhost.durable.state import InstanceState
from devhost.durable.versions import VersionRejected, version_problem
from devhost.functions import FunctionMetadata
from devhost.invocation import Invocation, Invoker

_LONG_HISTORY: Final = 10_000
"""From so many events on, an author is told what they cost: every episode reads and replays them all, and Azurite searches them for every new one."""
_LEVELS: Final = {"error": logging.ERROR, "warning": logging.WARNING}

_LONG_NOTE: Final = (
    f"warning: its history has come to {_LONG_HISTORY:,} events, all of which are read and replayed again in every episode, here as on the real host; "
    "give parts of the work to sub-orchestrations, or continue as new"
)


class Asker:
    """Asks orchestrators, as many at a time as the settings allow."""

    def __init__(
        self,
        *,
        settings: DurableSettings,
        functions: Mapping[str, FunctionMetadata],
        known: Known,
        invoker: Invoker,
        arguments: Arguments,
        log: logging.Logger,
    ) -> None:
        self._settings = settings
        self._functions = functions
        """Lower-case durable name → orchestrator."""
        self._known = known
        self._invoker = invoker
        self._arguments = arguments
        self._log = log
        self._slots = asyncio.Semaphore(settings.max_orchestrators)

    async def decide(self, session: Session, state: InstanceState, events: Sequence[Event]) -> Decision:
        """Has the orchestrator run over `events`, the whole history with what is new, and says what follows from its answer.

        Raises:
            WorkerLost, VersionRejected: there is no answer; it is to be asked again.
        """
        decision = replay(events, await self._ask(session, state, events), self._frame(state, events))
        if len(events) + len(decision.scheduled) >= _LONG_HISTORY:
            decision.notes.append(_LONG_NOTE)
        self._report(session, state, decision)
        return decision

    async def _ask(self, session: Session, state: InstanceState, events: Sequence[Event]) -> Answer:
        function = self._functions.get(state.name.lower())
        if function is None:
            return failed_answer(state.name, self._known.unknown_text("orchestrator", state.name))
        problem = version_problem(self._settings, state.version)
        if problem is not None and self._settings.version_failure == "Reject":
            raise VersionRejected(problem)
        if problem is not None:
            return failed_answer(state.name, f"VersionMismatch: {problem}")
        context = context_json(events, state, self._settings)
        invocation = Invocation(
            function=function.name,
            arguments=self._arguments(function, context),
            invocation_id=str(uuid.uuid4()),
            instance_id=state.instance_id,
            lost_a_worker=session.lost_a_worker,
        )
        async with self._slots:
            began = time.monotonic()
            result = await self._invoker.invoke(invocation)
            session.python_seconds = time.monotonic() - began
        return read_answer(state.name, result)

    def _frame(self, state: InstanceState, events: Sequence[Event]) -> Frame:
        parent = execution_started(events).members.get("ParentInstance")
        return Frame(
            instance_id=state.instance_id,
            execution_id=state.execution_id,
            name=state.name,
            parent_id=parent["OrchestrationInstance"]["InstanceId"] if parent else None,
            known=self._known,
            max_actions=self._settings.max_actions,
            default_version=self._settings.default_version,
            store_inputs=self._settings.store_inputs,
        )

    def _report(self, session: Session, state: InstanceState, decision: Decision) -> None:
        """Logs what an author would want to know, once for each execution: every episode decides it anew."""
        for note in decision.notes:
            if (state.execution_id, note) in session.reported:
                continue
            session.reported.add((state.execution_id, note))
            word, _, text = note.partition(": ")
            level = _LEVELS.get(word)
            self._log.log(level or logging.INFO, "%s (%s): %s", state.instance_id, state.name, text if level else note)
