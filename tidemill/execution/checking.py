"""Verification of what stands beside the catalog: the records of runs, saved plans, claims on results, code versions, and objects that nothing reaches.

None of it is a version of a dataset, but runs go by it. Handed to `catalog.verify`, it is looked at after the branches.

What cannot be noticed is the loss of what may come and go: a claim (its unit is made again), a code version (a difference is explained less exactly), an idempotency
key or a saved plan (it has to be sent or made again), and a whole run with all its records.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec

from tidemill.catalog.findings import Found
from tidemill.catalog.verify import Walk
from tidemill.execution.measurements import FOLDER
from tidemill.execution.reusing import claim_name
from tidemill.execution.runs import PlanRecord, index_name
from tidemill.model.facts import Entry, Materialization
from tidemill.model.runs import RunResult, RunStatus
from tidemill.model.versions import canonical, digest
from tidemill.plan.stored import PlanHead
from tidemill.storage.guard import OBJECTS, STATE, State

_SEALED = ("idempotency/", "plans/", f"{FOLDER}/")


def check_records(walk: Walk) -> None:
    """Looks at everything that runs go by.

    Raises:
        Found: the first thing that is wrong.
        StoreUnavailable: the store did not answer.
    """
    _check_runs(walk)
    for folder in _SEALED:
        for name in walk.store.names(folder):
            walk.sealed(name)
    _check_claims(walk)
    _check_announcement(walk)
    for name in walk.store.names("code/"):
        if digest(walk.read(name)) != name.rpartition("/")[2]:
            raise Found("altered", name, "its bytes have another hash")
    for name in walk.store.names(OBJECTS):
        if name not in walk.good:
            walk.whole(name.rpartition("/")[2], "nothing")


def _check_runs(walk: Walk) -> None:
    records: dict[str, dict[str, bytes]] = defaultdict(dict)
    for name in walk.store.names("runs/"):
        _, run, what = name.split("/", 2)
        records[run][what] = walk.sealed(name)
    for run, found in sorted(records.items()):
        result = _decoded(f"runs/{run}/result", found["result"], RunResult) if "result" in found else None
        for what in ("request", *(("plan",) if result is not None and result.plan else ())):
            if what not in found:
                raise Found("missing", f"runs/{run}/{what}", f"other records of run `{run}` are there")
        if walk.read(index_name(run), f"run `{run}`"):
            raise Found("altered", index_name(run), "it is not empty")
        if "plan" in found:
            tranches = _check_plan(walk, run, _decoded(f"runs/{run}/plan", found["plan"], PlanRecord).plan)
            for number in range(tranches if result is not None and result.status is RunStatus.SUCCEEDED else 0):
                if f"tranches/{number:06d}" not in found:
                    raise Found("missing", f"runs/{run}/tranches/{number:06d}", f"run `{run}` succeeded with {tranches} tranches")


def _check_plan(walk: Walk, run: str, plan: str) -> int:
    """Looks at the objects of a plan; how many tranches it has."""
    led = f"run `{run}`"
    data = walk.whole(plan, led)
    try:
        head = msgspec.json.decode(data, type=PlanHead)
    except msgspec.ValidationError:
        return 0  # whole, and of another version
    for each in (*head.work, *head.idle):
        walk.whole(each.address, f"the plan of {led}")
    return len(head.starts)


def _check_claims(walk: Walk) -> None:
    for name in walk.store.names("fingerprints/"):
        data = walk.read(name)
        entry = _decoded(name, data, Entry)
        if canonical(entry) != data or name != claim_name(entry.fingerprint):
            raise Found("altered", name, "it does not speak of the fingerprint that it is a claim on")
        record = walk.record(entry.record, f"claim {name}")
        made_from = record.fingerprint if isinstance(record, Materialization) else ""
        if (record.data_version, made_from) != (entry.data_version, entry.fingerprint):
            raise Found("misplaced", name, "the record that it names is of something else")


def _check_announcement(walk: Walk) -> None:
    """What the garbage collector has announced."""
    if walk.store.get(STATE) is not None:
        state = _decoded(STATE, walk.sealed(STATE), State)
        for each in filter(None, (state.condemned, state.swept)):
            walk.whole(each, f"`{STATE}`")


def _decoded(name: str, data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Found("malformed", name, str(error)) from error
