"""What the API takes and gives, as structs: the one source of the OpenAPI document and of what the CLI reads.

Names are snake_case and carry their unit; `statusQueryGetUri` and its kind are spelled as Durable Functions' clients expect them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tidemill.model.facts import JsonScalar
from tidemill.model.outcomes import ErrorInfo
from tidemill.model.runs import RunCommit, UnitFailure

Limit = Annotated[int, Meta(ge=1, le=200)]
RowLimit = Annotated[int, Meta(ge=0, le=10_000)]
KeyText = Annotated[str, Meta(max_length=200)]


class NewRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What shall run. Defaults are left out when it is written, so that an idempotency key still fits after an upgrade that adds a field."""

    selection: Annotated[str, Meta(max_length=10_000)] = ""
    """Assets, such as `flights/*` or `+gold.carrier_month`. Either this or `plan` has to be given."""
    plan: Annotated[str, Meta(max_length=64)] = ""
    """Id of a saved plan, or its first six digits or more: to execute exactly that, or refuse if anything has changed since. Then nothing else says what to run."""
    partitions: Annotated[str, Meta(min_length=1, max_length=100_000)] = "*"
    """Partitions, such as `2013-01`, `2013-01..2013-06` or `*`."""
    parameters: dict[str, JsonScalar] = {}
    """Values for parameters that the selected assets declare."""
    rerun: bool = False
    """Run units even if nothing they are made from has changed."""
    branch: KeyText = ""
    """The branch to read and to publish on; without it, the one the app runs on."""
    reason: Annotated[str, Meta(max_length=1000)] = ""
    """Why; kept with the run and its commit."""
    author: KeyText = ""
    """Who asks; kept with the run and its commit."""
    idempotency_key: KeyText = ""
    """Repeating a request with the same key gives the same run. The header `Idempotency-Key` says the same."""


class RunStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was accepted."""

    run_id: str
    status: str
    statusQueryGetUri: str  # noqa: N815 - the spelling of Durable Functions' clients
    """Ask here how the run is doing: 202 while it goes on, 200 once it has ended."""
    cancelPostUri: str  # noqa: N815
    """POST here to cancel it."""


class Cancellation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who cancels a run, and why."""

    author: KeyText = ""
    """Who."""
    reason: Annotated[str, Meta(max_length=1000)] = ""
    """Why."""


class CancelRequested(msgspec.Struct, frozen=True, kw_only=True):
    """A request to cancel, as it stands on record."""

    author: str
    reason: str
    requested_at: datetime


class UnitCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Units by state. `found` counts some of the succeeded ones; the others add up to `total`."""

    total: int = 0
    succeeded: int = 0
    found: int = 0
    """Of the succeeded: an activity found an earlier result with the same fingerprint, and ran nothing."""
    unchanged: int = 0
    """Cut off: their inputs ran and came out as before."""
    reused: int = 0
    """The plan took over an earlier result with the same fingerprint, without an activity."""
    up_to_date: int = 0
    """The catalog held them already when the plan was made: nothing was done."""
    failed: int = 0
    skipped: int = 0
    """Not tried, because something they read failed."""
    canceled: int = 0
    pending: int = 0
    """Waiting or running."""


class AssetProgress(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has done with one asset so far."""

    asset: str
    units: UnitCounts
    row_count: int = 0
    """Rows written; 0 until the run has ended."""
    size_bytes: int = 0
    seconds: float = 0.0
    """Sum over its units of the time activities spent on them; 0 until the run has ended."""


class RunOutput(msgspec.Struct, frozen=True, kw_only=True):
    """Where the result of one asset can be read."""

    asset: str
    units: int
    row_count: int
    size_bytes: int
    dataUri: str  # noqa: N815


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One run in a list."""

    run_id: str
    status: str
    selection: str
    partitions: str
    branch: str
    author: str
    reason: str
    requested_at: datetime
    started_at: datetime | None
    """When it was planned; None before that."""
    finished_at: datetime | None
    commit: int
    """Log number of its last commit; 0 if nothing was committed."""
    changed: int
    """Units whose catalog entry it changed."""
    statusQueryGetUri: str  # noqa: N815


class RunList(msgspec.Struct, frozen=True, kw_only=True):
    """Runs, newest first."""

    runs: tuple[RunSummary, ...]
    next_cursor: str | None
    """Pass it as `cursor` to go on; None at the end."""


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one run."""

    run_id: str
    status: str
    """`pending`, `running`, `succeeded`, `failed` or `canceled`."""
    phase: str
    """While it runs: `planning`, `running`, `recording` or `committing`; else empty."""
    selection: str
    partitions: str
    parameters: dict[str, JsonScalar]
    rerun: bool
    branch: str
    author: str
    reason: str
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_seconds: float | None
    """From its plan to its end, or until now; None before it is planned."""
    cancel: CancelRequested | None
    units: UnitCounts
    assets: tuple[AssetProgress, ...]
    """In plan order."""
    failures: tuple[UnitFailure, ...]
    """The first hundred."""
    error: ErrorInfo | None
    """Why the run ended as it did; None if it succeeded or still runs."""
    plan: str
    """The plan's object; empty before it is planned."""
    commit: int
    """Log number of its last commit; 0 if nothing was committed."""
    snapshot: str
    """What that commit made."""
    changed: int
    """Units whose catalog entry it changed, over all its commits."""
    commits: tuple[RunCommit, ...]
    """Its latest commits, a hundred at most, in order, once it has ended. More than one only if groups are published more often than once a run."""
    commit_count: int
    """How many there were."""
    outputs: tuple[RunOutput, ...]
    """Once it has succeeded: what it was asked for."""
    statusQueryGetUri: str  # noqa: N815
    cancelPostUri: str  # noqa: N815


class AssetInput(msgspec.Struct, frozen=True, kw_only=True):
    """One input of an asset."""

    name: str
    """Parameter of the function, or table in the query."""
    asset: str
    mapping: str
    """How partitions correspond."""


class PartitionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The partitions of an asset, in numbers."""

    rule: str
    """What a key means, such as `monthly UTC`; empty: not partitioned."""
    total: int
    materialized: int
    """How many have a version (observed ones included, for an external asset)."""
    first: str
    last: str


class AssetSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One asset in a list."""

    key: str
    kind: str
    """`asset`, `sql` or `external`."""
    pipeline: str
    group: str
    description: str
    inputs: tuple[str, ...]
    """Keys of the assets it reads."""
    partitions: PartitionSummary


class AssetList(msgspec.Struct, frozen=True, kw_only=True):
    """Assets in topological order, as of one snapshot."""

    commit: int
    """Number of the catalog's log entry."""
    assets: tuple[AssetSummary, ...]


class ColumnView(msgspec.Struct, frozen=True, kw_only=True):
    """One column, as it was last stored."""

    name: str
    type: str
    nullable: bool


class AssetView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one asset."""

    key: str
    kind: str
    pipeline: str
    group: str
    description: str
    owners: tuple[str, ...]
    tags: dict[str, str]
    place: str
    """`file:line` of its definition."""
    code_version: str
    parameters: dict[str, JsonScalar]
    inputs: tuple[AssetInput, ...]
    readers: tuple[str, ...]
    """Keys of the assets that read it."""
    partitions: PartitionSummary
    columns: tuple[ColumnView, ...]
    """Of its last materialized partition; empty if there is none."""
    commit: int
    partitionsUri: str  # noqa: N815
    dataUri: str  # noqa: N815


class PartitionView(msgspec.Struct, frozen=True, kw_only=True):
    """One partition of an asset."""

    partition: str
    """Empty: the asset is not partitioned."""
    state: str
    """`materialized`, `observed` or `missing`."""
    data_version: str
    row_count: int | None
    """None unless it is materialized."""
    size_bytes: int | None
    run_id: str
    """The run that computed it."""
    metadata: dict[str, JsonScalar]
    """What the asset function reported about it."""


class PartitionList(msgspec.Struct, frozen=True, kw_only=True):
    """Partitions of an asset in order, as of one snapshot."""

    asset: str
    commit: int
    partitions: tuple[PartitionView, ...]
    next_cursor: str | None


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of an asset, as JSON."""

    asset: str
    partitions: tuple[str, ...]
    """Those the rows come from, in order."""
    row_count: int
    """Rows there are in all; `rows` may hold fewer."""
    columns: tuple[ColumnView, ...]
    rows: tuple[dict[str, Any], ...]
    """Instants are RFC 3339 text, decimals text, bytes base64, NaN null."""


class GraphNode(msgspec.Struct, frozen=True, kw_only=True):
    """One asset in the graph."""

    key: str
    kind: str
    pipeline: str
    group: str
    partitions: str
    """What a partition key means; empty: not partitioned."""


class GraphEdge(msgspec.Struct, frozen=True, kw_only=True):
    """One asset reads another."""

    source: str
    target: str
    input: str
    """The input's name in the target."""
    mapping: str


class GraphView(msgspec.Struct, frozen=True, kw_only=True):
    """The asset graph, in topological order."""

    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]


class HealthCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that must work."""

    name: str
    ok: bool
    detail: str = ""
    """What is wrong and what to do; empty if it works."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the app can do its work."""

    status: str
    """`ok` or `unhealthy`."""
    version: str
    checks: tuple[HealthCheck, ...]
