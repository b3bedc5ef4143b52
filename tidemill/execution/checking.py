"""Verification of what stands beside the catalog: the records of runs, saved plans, claims on results, code versions, and objects that nothing reaches.

None of it is a version of a dataset, but runs go by it. Handed to `catalog.verify`, it is looked at after the branches. What is there has to be whole, and what
something else leads to has to be there: versions lead to the run that made them, to its code and to the claim on their fingerprint, runs to the plan that
they execute and the idempotency key that they came with. What is asked for was always written before the thing that leads to it.

What is written first and led to by nothing may be lost unnoticed; `docs/reference/catalog-format.md` lists it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from tidemill.catalog.findings import Found
from tidemill.catalog.verify import Walk
from tidemill.execution.checking_runs import check_plan, check_runs, decoded
from tidemill.execution.codes import code_name
from tidemill.execution.measurements import FOLDER
from tidemill.execution.reusing import claim_name
from tidemill.execution.saved import KEPT, SavedPlan
from tidemill.model.facts import Entry, Materialization
from tidemill.model.versions import canonical, digest
from tidemill.storage.guard import FATES, OBJECTS, STATE, State

_SEALED = ("idempotency/", f"{FOLDER}/")


def check_records(walk: Walk, *, now: datetime) -> None:
    """Looks at everything that runs go by.

    Args:
        walk: has been through the branches.
        now: the present: what saved plans name may go after a while.

    Raises:
        Found: the first thing that is wrong.
        StoreUnavailable: the store did not answer.
    """
    reran = check_runs(walk)
    for folder in _SEALED:
        for name in walk.store.names(folder):
            walk.sealed(name)
    _check_saved_plans(walk, now)
    _check_claims(walk, reran)
    _check_code(walk)
    check_objects(walk)


def check_objects(walk: Walk) -> None:
    """Looks at objects that nothing leads to, and at what the garbage collector has announced. All there is in a bundle. Errors as `check_records`."""
    if next(iter(walk.store.names(FATES)), None) is not None:
        walk.need(STATE, "what was decided about garbage")
    if walk.store.get(STATE) is not None:
        state = decoded(STATE, walk.sealed(STATE), State)
        for each in filter(None, (state.condemned, state.swept)):
            walk.whole(each, f"`{STATE}`")
    for name in walk.store.names(OBJECTS):
        if name not in walk.good:
            walk.whole(name.rpartition("/")[2], "nothing")


def _check_saved_plans(walk: Walk, now: datetime) -> None:
    for name in walk.store.names("plans/"):
        saved = decoded(name, walk.sealed(name), SavedPlan)
        if now - saved.planned_at <= KEPT:
            check_plan(walk, saved.plan, f"`{name}`")


def _check_claims(walk: Walk, reran: Collection[str]) -> None:
    """Looks at every claim, and for one on each fingerprint that a tree holds, unless it comes from a run that was told to look for none."""
    names = set(walk.store.names("fingerprints/"))
    for name in sorted(names):
        data = walk.read(name)
        entry = decoded(name, data, Entry)
        if canonical(entry) != data or name != claim_name(entry.fingerprint):
            raise Found("altered", name, "it does not speak of the fingerprint that it is a claim on")
        record = walk.record(entry.record, f"claim {name}")
        made_from = record.fingerprint if isinstance(record, Materialization) else ""
        if (record.data_version, made_from) != (entry.data_version, entry.fingerprint):
            raise Found("misplaced", name, "the record that it names is of something else")
    for run, _, fingerprint in sorted(walk.made):
        if run not in reran:
            walk.need(claim_name(fingerprint), f"what run `{run}` made from this fingerprint", names)


def _check_code(walk: Walk) -> None:
    names = set(walk.store.names("code/"))
    for name in sorted(names):
        if digest(walk.read(name)) != name.rpartition("/")[2]:
            raise Found("altered", name, "its bytes have another hash")
    for run, code, _ in sorted(walk.made):
        walk.need(code_name(code), f"what run `{run}` made with this code", names)
