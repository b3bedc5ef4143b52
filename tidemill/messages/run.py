"""The messages of a run, in the order in which they are sent: build_plan, materialize_units …, record_tranche …, commit_run."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from tidemill.messages.base import Command
from tidemill.model.facts import JsonScalar
from tidemill.model.outcomes import ErrorInfo, UnitOutcome
from tidemill.plan.progress import Batch
from tidemill.plan.tranche import Tranche, UnitWork


class RunInput(msgspec.Struct, frozen=True, kw_only=True):
    """Input of `materialize_run`, and of each generation after it."""

    run_id: str
    tranche: Tranche | None = None
    """None in the first generation, which has to plan."""
    counts: dict[str, list[int]] = {}
    """Progress of the tranches before, by asset: see `plan.progress.AssetCounts`."""


class PlanReady(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The plan stands."""

    plan: str
    """Its object."""
    tranche: Tranche
    counts: dict[str, int]
    """Units by planned action."""


class PlanRefused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """Nothing can run; the run's result already says why."""

    error: ErrorInfo


class BuildPlanReply(msgspec.Struct, frozen=True, kw_only=True):
    """What planning came to."""

    result: PlanReady | PlanRefused


class BuildPlan(Command[BuildPlanReply], frozen=True, kw_only=True, tag="build_plan/1"):
    """Observe the sources, plan against the catalog, store the plan. Asked again, it answers with the plan it stored first."""

    activity: ClassVar[str] = "build_plan"
    reply: ClassVar[type[msgspec.Struct]] = BuildPlanReply

    run_id: str


class UnitsReply(msgspec.Struct, frozen=True, kw_only=True):
    """One outcome for each unit asked for: `Succeeded` or `Failed`."""

    outcomes: tuple[UnitOutcome, ...]


class MaterializeUnits(Command[UnitsReply], frozen=True, kw_only=True, omit_defaults=True, tag="materialize_units/1"):
    """Materialize some units of one asset, each on its own: one failing does not stop the next."""

    activity: ClassVar[str] = "materialize_units"
    reply: ClassVar[type[msgspec.Struct]] = UnitsReply

    run_id: str
    step: str
    """`<tranche>.<number>`: unique in the run."""
    attempt: int
    asset: str
    code_version: str
    parameters: dict[str, JsonScalar]
    rerun: bool
    units: tuple[UnitWork, ...]
    commit: str = "run"
    """How often the asset's group is published; with `unit`, each of these as soon as it is there."""

    @classmethod
    def of(cls, run_id: str, tranche: Tranche, batch: Batch) -> MaterializeUnits:
        """The command for one batch of a tranche."""
        asset = tranche.assets[batch.asset]
        return cls(
            run_id=run_id,
            step=batch.step,
            attempt=batch.attempt,
            asset=batch.asset,
            code_version=asset.code_version,
            parameters=asset.parameters,
            rerun=tranche.rerun,
            units=batch.units,
            commit=asset.commit,
        )


class RecordTrancheReply(msgspec.Struct, frozen=True, kw_only=True):
    """What comes next."""

    following: Tranche | None
    """None if the plan has been walked to its end."""
    cancel_requested: bool


class RecordTranche(Command[RecordTrancheReply], frozen=True, kw_only=True, tag="record_tranche/1"):
    """Write down the outcomes of a tranche and open the next one."""

    activity: ClassVar[str] = "record_tranche"
    reply: ClassVar[type[msgspec.Struct]] = RecordTrancheReply

    run_id: str
    number: int
    next_position: int
    outcomes: tuple[UnitOutcome, ...]


class CommitRunReply(msgspec.Struct, frozen=True, kw_only=True):
    """How the run ended."""

    status: str
    """`succeeded`, `failed` or `canceled`."""


class CommitRun(Command[CommitRunReply], frozen=True, kw_only=True, tag="commit_run/1"):
    """Commit everything to the catalog, or nothing, and write the run's result."""

    activity: ClassVar[str] = "commit_run"
    reply: ClassVar[type[msgspec.Struct]] = CommitRunReply

    run_id: str
