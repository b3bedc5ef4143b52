"""A store with something of every kind in it, ways to damage it, and what a reader makes of that."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from tests.contract import stamper
from tests.unit.catalog.world import NOON, minute
from tidemill.catalog import Catalog
from tidemill.catalog.gc import collect
from tidemill.catalog.signing import Signer
from tidemill.errors import IntegrityError, MessageError, NotFound
from tidemill.execution.collecting import held_by_runs
from tidemill.execution.finish import finish_run
from tidemill.execution.local import apply_local
from tidemill.execution.planning import make_plan
from tidemill.execution.run_plans import plan_run
from tidemill.execution.runs import CancelRecord, IdempotencyRecord, key_digest
from tidemill.execution.runtime import Runtime
from tidemill.execution.saved import save_plan
from tidemill.model.facts import Materialization
from tidemill.model.keys import RunId, UnitKey
from tidemill.model.runs import RunRequest
from tidemill.model.versions import digest
from tidemill.storage import BlobStore
from tidemill.storage.formats import parquet
from tidemill.storage.memory import MemoryStore

EXPECTED = (IntegrityError, MessageError, NotFound)
"""What may be raised over a damaged store: each says what is wrong in a sentence."""


def runtime(store: BlobStore) -> Runtime:
    signer = Signer.load("1" * 64)
    return Runtime(store, stamper.definitions, project=Path("/project"), signer=signer, now=lambda: NOON)


@cache
def whole() -> Mapping[str, bytes]:
    """Every name and its bytes: runs that publish once, by window and by unit, branches, a merge, a rollback, a fence, signatures, and collected garbage."""
    store = MemoryStore()
    for stamp, commit in enumerate(["run", "window", "unit"], start=1):
        assert stamper.make(store, stamp, commit=commit) == "succeeded"
    catalog = Catalog(store, signer=Signer.load("1" * 64))
    catalog.change_keys(add=[Signer.load("1" * 64).key], author="a", reason="r", at=minute(1))
    catalog.create_branch("side", author="a", reason="r", at=minute(2))
    side, unit = catalog.on("side"), UnitKey(*next(iter(catalog.view().all_entries())))
    side.commit({unit: None}, base=side.head().number, author="a", reason="r", at=minute(3))
    catalog.merge("side", author="a", reason="r", at=minute(4))
    catalog.rollback(2, author="a", reason="r", at=minute(5))
    at = runtime(store)
    request = RunRequest(run_id="run-x", selection="*", parameters={"stamp": 4}, requested_at=NOON)
    plan = save_plan(at, make_plan(at, request), planned_at=NOON).plan
    at.runs.claim_key("key", IdempotencyRecord(run_id="run-x", request=digest(b"request")))
    applied = msgspec.structs.replace(request, plan=plan, parameters={}, idempotency=key_digest("key"))
    assert apply_local(at, applied, threads=2).status == "succeeded"
    save_plan(at, make_plan(at, msgspec.structs.replace(request, parameters={"stamp": 5})), planned_at=NOON)
    canceled = at.runs.create(msgspec.structs.replace(request, run_id="run-y", parameters={"stamp": 6}))
    plan_run(at, RunId("run-y"))
    catalog.fence(canceled.run_id, author="a", reason="r", at=minute(6))
    at.runs.request_cancel(RunId("run-y"), CancelRecord(author="a", reason="r", requested_at=NOON))
    assert finish_run(at, RunId("run-y")).status == "canceled"
    objects = Catalog(store).objects
    for number in range(2):
        objects.put(b"garbage %d" % number)
        collect(store, now=NOON + timedelta(days=3 * number), extra=held_by_runs(runtime(store)), grace=timedelta(days=1))
    return {name: blob.data for name in store.names("") if (blob := store.get(name))}


def fill(store: BlobStore) -> None:
    for name, data in whole().items():
        assert store.create(name, data)


def kind_of(name: str) -> str:
    """Which class of stored thing a name belongs to, as far as the damage done to it is concerned."""
    parts = name.split("/")
    if parts[0] == "runs":
        return f"runs/{parts[2]}"
    if parts[0] != "objects":
        return "/".join(parts[:2]) if parts[0] == "gc" else parts[0]
    data = whole()[name]
    if data.startswith(b"PAR1"):
        return "objects: file"
    found = data.rpartition(b'"type":"')[2].partition(b'"')[0].decode() if b'"type":"' in data else ""
    return f"objects: {found or 'other'}"


def names_by_kind() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in whole():
        found.setdefault(kind_of(name), []).append(name)
    return found


def ways(data: bytes, chance: random.Random) -> Iterator[tuple[str, bytes | None]]:
    """One damage of every class: bits by position, lengths by how much is left, and the loss of everything."""
    if not data:
        yield "something in it", b"\0"
        yield "deleted", None
        return
    places = {"first": 0, "early": min(20, len(data) - 1), "any": chance.randrange(len(data)), "last": len(data) - 1}
    for where, at in places.items():
        bit = 1 << chance.randrange(8)
        yield f"a bit flipped, {where} byte", data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
    for left in sorted({0, 1, chance.randrange(len(data)), len(data) - 1}):
        yield f"cut to {left} bytes", data[:left]
    yield "something after it", data + b"\n"
    yield "zeros in its place", bytes(len(data))
    yield "deleted", None


def overwrite(store: BlobStore, name: str, data: bytes | None) -> None:
    store.delete(name)
    if data is not None:
        store.create(name, data)


def may_be_lost(name: str) -> bool:
    """What may be lost unnoticed, because nothing leads to it; `docs/reference/catalog-format.md` has the list."""
    if name.startswith("objects/"):
        return kind_of(name) == "objects: other" and b"garbage" in whole()[name]
    return name.startswith(("ended/", "gc/fate/")) or (name.startswith("plans/") and name != f"plans/{applied_plan()}")


def applied_plan() -> str:
    """The saved plan that a run has executed."""
    return str(json.loads(whole()["runs/run-x/request"].splitlines()[0])["plan"])


def is_checked(name: str) -> bool:
    """All but fates: what they say that is neither yes nor no stops the collector and the writer alike."""
    return not name.startswith("gc/fate/")


def reading(store: BlobStore) -> dict[str, Any]:
    """Everything that can be asked of a store, by question; the answer is a value, or the error it was refused with."""
    answers: dict[str, Any] = {}

    def ask(question: str, answer: Any) -> Any:
        try:
            answers[question] = answer()
        except EXPECTED as error:
            answers[question] = error
        return answers[question]

    for branch in ("main", "side"):
        catalog = Catalog(store, branch=branch)
        head = ask(f"{branch}: head", catalog.head)
        if isinstance(head, Exception):
            continue
        ask(f"{branch}: history", catalog.history)
        for number in (1, 2, head.number):
            entries = ask(f"{branch}: state {number}", lambda catalog=catalog, number=number: dict(catalog.view(number).all_entries()))
            for unit, entry in {} if isinstance(entries, Exception) else entries.items():
                record = ask(f"record {entry.record}", lambda catalog=catalog, entry=entry: catalog.record(entry.record))
                for file in record.files if isinstance(record, Materialization) else ():
                    ask(
                        f"{unit} {file.sha256}",
                        lambda catalog=catalog, file=file: parquet.read(catalog.objects.get(file.sha256)).to_pylist(),
                    )
    records = runtime(store)
    for run in sorted({RunId(name.split("/")[1]) for name in whole() if name.startswith("runs/")}):
        ask(f"{run}: request", lambda run=run: records.runs.request(run))
        ask(f"{run}: result", lambda run=run: records.runs.result(run))
        plan = ask(f"{run}: plan", lambda run=run: records.runs.plan(run))
        ask(f"{run}: outcomes", lambda run=run: records.runs.outcomes(run))
        ask(f"{run}: published", lambda run=run: records.runs.all_published(run))
        if plan is not None and not isinstance(plan, Exception):
            ask(f"{run}: units", lambda plan=plan: records.plans.read(plan.plan))
    return answers
