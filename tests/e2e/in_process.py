"""Runs in a process of its own: carries out on a folder, without Azure, what each line of its input asks for, and answers with a line.

Every request gets a runtime of its own, as every command does, so that it sees the code and the data as they are then.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from tidemill.execution.local import apply_local
from tidemill.execution.runtime import Runtime
from tidemill.model.facts import Materialization
from tidemill.model.runs import RunRequest

_numbers = count(1)


def answer(project: Path, store: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Makes or merges a branch, or runs something; then what the branch holds."""
    runtime = Runtime.local(project, store)
    now = datetime.now(UTC)
    if asked["do"] == "branch":
        runtime.catalog.create_branch(asked["name"], author="ada", reason="", at=now)
        return {}
    if asked["do"] == "merge":
        return {"changed": runtime.catalog.merge(asked["name"], author="ada", reason="", at=now).changed}
    run = f"run-{next(_numbers)}"
    result = apply_local(runtime, RunRequest(run_id=run, requested_at=now, **asked["request"]))
    view = runtime.catalog_on(asked["request"].get("branch", "main")).view()
    entries = {str(unit): entry for unit, entry in view.all_entries().items()}
    records = {unit: runtime.catalog.record(entry.record) for unit, entry in entries.items()}
    return {
        "status": result.status,
        "units": sum(each.succeeded for each in result.assets),
        "unchanged": sum(each.unchanged for each in result.assets),
        "changed": result.changed,
        "executed": sorted(unit for unit, record in records.items() if isinstance(record, Materialization) and record.run_id == run),
        "versions": {unit: entry.data_version for unit, entry in entries.items()},
    }


def main() -> None:
    """One JSON value a line, in and out."""
    project, store = (Path(each) for each in sys.argv[1:])
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(project, store, json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
