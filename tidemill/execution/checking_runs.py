"""Verification of the records of runs: each is whole, and none is missing that another one, the log or a version leads to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from tidemill.catalog.findings import Found
from tidemill.catalog.verify import Walk
from tidemill.execution.finish import CANCELED
from tidemill.execution.publishing import publishes_early
from tidemill.execution.runs import ENDED, PlanRecord, TrancheRecord, index_name
from tidemill.model.outcomes import Failed, Skipped, Succeeded, Unchanged
from tidemill.model.runs import RunRequest, RunResult, RunStatus
from tidemill.plan.stored import PlanHead

_TOLD = {Succeeded: "succeeded", Unchanged: "unchanged", Failed: "failed", Skipped: "skipped"}
"""What a result says of outcomes, by their kind."""

Records = Mapping[str, bytes]
"""The records of one run by the rest of their names, whole."""


def check_runs(walk: Walk) -> Collection[str]:
    """Looks at the records of all runs; the runs that were told to take no earlier results over.

    Raises:
        Found: the first thing that is wrong.
        StoreUnavailable: the store did not answer.
    """
    marks = sorted(walk.store.names(ENDED))  # before the records: whoever has a mark by now has its result by now
    runs: dict[str, dict[str, bytes]] = defaultdict(dict)
    for name in walk.store.names("runs/"):
        _, run, what = name.split("/", 2)
        runs[run][what] = walk.sealed(name)
    listed = {f"runs/{run}/{what}" for run, found in runs.items() for what in found}
    for name in marks:
        if walk.read(name):
            raise Found("altered", name, "it is not empty")
        walk.need(f"runs/{name.removeprefix(ENDED)}/result", f"the mark `{name}`", listed)
    for run, _, _ in sorted(walk.made):
        walk.need(f"runs/{run}/request", f"a version that run `{run}` made", listed)
    parts: dict[str, set[str]] = defaultdict(set)
    for entry in walk.commits:
        for what in ("request", "plan"):
            walk.need(f"runs/{entry.run_id}/{what}", f"entry {entry.number} of `{entry.branch}`", listed)
        parts[entry.run_id].add(entry.part)
    return {run for run, found in sorted(runs.items()) if _check_run(walk, run, found, parts[run]).rerun}


def _check_run(walk: Walk, run: str, found: Records, parts: Collection[str]) -> RunRequest:
    """Looks at what the records of a run lead to; its request."""
    folder, led = f"runs/{run}", f"another record of run `{run}`"
    result = decoded(f"{folder}/result", found["result"], RunResult) if "result" in found else None
    tranches = sorted(int(what.rpartition("/")[2]) for what in found if what.startswith("tranches/"))
    published = any(what.startswith("published/") for what in found)
    for what in ("request", *(("plan",) if tranches or published or (result is not None and result.plan) else ())):
        walk.need(f"{folder}/{what}", led, {f"{folder}/{each}" for each in found})
    request: RunRequest = decoded(f"{folder}/request", found.get("request") or walk.sealed(f"{folder}/request"), RunRequest)
    if walk.read(index_name(run), f"run `{run}`"):
        raise Found("altered", index_name(run), "it is not empty")
    for name, leads in ((f"plans/{request.plan}", request.plan), (f"idempotency/{request.idempotency}", request.idempotency)):
        if leads:
            walk.need(name, f"the request of run `{run}`")
    if result is not None and result.error is not None and result.error.code == CANCELED:
        walk.need(f"{folder}/cancel", f"the result of run `{run}`")
    if "plan" in found:
        head = check_plan(walk, decoded(f"{folder}/plan", found["plan"], PlanRecord).plan, f"run `{run}`")
        if head is not None:
            _check_tranches(walk, folder, found, result, head, parts)
    return request


def _check_tranches(walk: Walk, folder: str, found: Records, result: RunResult | None, head: PlanHead, parts: Collection[str]) -> None:
    """Tranches are recorded, and what they publish, one after another: a later one leads to all before, and so do the result and the log."""
    recorded = {int(what.rpartition("/")[2]) for what in found if what.startswith("tranches/")}
    last = max(recorded, default=-1)
    outcomes: Counter[type] = Counter()
    for number in recorded:
        record = decoded(f"{folder}/tranches/{number:06d}", found[f"tranches/{number:06d}"], TrancheRecord)
        outcomes.update(type(each) for each in record.outcomes)
    wanted = set(range(len(head.starts))) if result is not None and result.status is RunStatus.SUCCEEDED else set(range(last + 1))
    if result is not None:
        told = {kind: sum(getattr(each, field) for each in result.assets) for kind, field in _TOLD.items()}
        if any(outcomes[kind] < count for kind, count in told.items()):
            wanted.add(min(set(range(len(head.starts) + 1)) - recorded))
    for number in sorted(wanted - recorded):
        walk.need(f"{folder}/tranches/{number:06d}", f"a later record of `{folder}`")
    if not publishes_early(head.assets):
        return
    settled = set(wanted) if result is not None and result.status is RunStatus.SUCCEEDED else set(range(last))
    if result is not None:
        settled |= {_tranche_of(part, head) for part in parts if part}
    for number in sorted(settled):
        walk.need(f"{folder}/published/{number:06d}", f"a later record of `{folder}`, or the log", {f"{folder}/{each}" for each in found})


def _tranche_of(part: str, head: PlanHead) -> int:
    """The tranche with which a part of a run was published."""
    kind, _, number = part.partition("-")
    return head.tranche_of(int(number)) if kind == "unit" else int(number)


def check_plan(walk: Walk, plan: str, led: str) -> PlanHead | None:
    """Looks at the objects of a plan; its head, or None if it is whole and of another version."""
    try:
        head = msgspec.json.decode(walk.whole(plan, led), type=PlanHead)
    except msgspec.ValidationError:
        return None
    for each in (*head.work, *head.idle):
        walk.whole(each.address, f"the plan of {led}")
    return head


def decoded(name: str, data: bytes, kind: Any) -> Any:
    """A record.

    Raises:
        Found: it is none.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Found("malformed", name, str(error)) from error
