"""One of many writers: `python committer.py ADDRESS CONTAINER WRITER COMMITS`. Every commit touches a unit of its own; every fifth also one that all fight for.

It says when it has seen the catalog, and begins when it is told to: writers that begin together meet in their first commit.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from tidemill.catalog import Catalog
from tidemill.errors import CatalogConflict
from tidemill.model.facts import Entry
from tidemill.model.keys import unit_key
from tidemill.model.versions import digest
from tidemill.storage import open_store


def main(address: str, container: str, writer: str, commits: int) -> None:
    catalog = Catalog(open_store(address, container=container))
    conflicts, known = 0, catalog.view()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for number in range(commits):
        run = f"run-{writer}-{number}"
        made = Entry(digest(f"record {run}".encode()), digest(run.encode()), digest(f"print {run}".encode()))
        while True:
            try:
                catalog.commit(
                    {unit_key(f"own.writer_{writer}@{number:04d}"): made} | ({unit_key("contested"): made} if number % 5 == 0 else {}),
                    base=known.number,
                    run_id=run,
                    author=f"writer {writer}",
                    reason="because",
                    at=datetime.now(UTC),
                )
                break
            except CatalogConflict:
                conflicts += 1
            finally:
                known = catalog.view()
    sys.stdout.write(f"{conflicts}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
