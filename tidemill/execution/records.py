"""Reading many records at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from tidemill.catalog.catalog import Catalog
from tidemill.model.facts import Record

_READERS = 16


def read_records(catalog: Catalog, hashes: Iterable[str]) -> Mapping[str, Record]:
    """Records by their hash, several fetched at a time.

    Raises:
        IntegrityError: one is missing or damaged.
        StoreUnavailable: the store did not answer.
    """
    wanted = sorted(set(hashes))
    if len(wanted) < 2:
        return {each: catalog.record(each) for each in wanted}
    with ThreadPoolExecutor(min(_READERS, len(wanted)), thread_name_prefix="records") as pool:
        return dict(zip(wanted, pool.map(catalog.record, wanted), strict=True))
