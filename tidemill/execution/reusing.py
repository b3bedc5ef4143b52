"""Results that exist already: finding them by fingerprint, and making them a version of another unit.

A claim `fingerprints/<fp>` says which result was made from a fingerprint, by whichever run, on whichever branch, for whichever unit.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import msgspec

from tidemill.catalog.catalog import Catalog
from tidemill.errors import IntegrityError, MessageError
from tidemill.model.facts import Entry, InputVersion, Materialization
from tidemill.model.keys import UnitKey
from tidemill.model.versions import canonical
from tidemill.plan.build import Candidate
from tidemill.plan.plan import PinnedInput
from tidemill.plan.predict import LOOKUPS
from tidemill.storage.base import BlobStore

log = logging.getLogger("tidemill.reuse")

_READERS = 16


def claim_name(fingerprint: str) -> str:
    """Where the version made from a fingerprint is noted."""
    return f"fingerprints/{fingerprint[:2]}/{fingerprint}"


def find_by_fingerprint(store: BlobStore, fingerprint: str) -> Entry | None:
    """The version that was made from exactly this before; None if there is none."""
    claim = store.get(claim_name(fingerprint))
    if claim is None:
        return None
    try:
        return msgspec.json.decode(claim.data, type=Entry)
    except (msgspec.ValidationError, msgspec.DecodeError):
        log.warning("The claim on fingerprint %s cannot be read and counts for nothing.", fingerprint)
        return None


def result_for(catalog: Catalog, unit: UnitKey, fingerprint: str, inputs: Sequence[PinnedInput]) -> tuple[Entry, Materialization] | None:
    """An earlier result of the same making, as a version of this unit, with its record; None if there is none.

    Where another unit was made from equal content by equal code, its files are ours too; only the record has to speak of this unit. That record is stored. It
    depends on nothing but the result and the inputs, so whoever takes the result over writes the same one.

    Raises:
        IntegrityError: a result is claimed, and its record is missing or damaged.
    """
    entry = find_by_fingerprint(catalog.store, fingerprint)
    if entry is None:
        return None
    record = catalog.record(entry.record)
    if not isinstance(record, Materialization) or (record.data_version, record.fingerprint, entry.fingerprint) != (
        entry.data_version,
        fingerprint,
        fingerprint,
    ):
        log.warning("The claim on fingerprint %s is another's or damaged, and counts for nothing.", fingerprint)
        return None
    if record.unit == unit:
        return entry, record
    # The claim goes on naming that other record for as long as any unit holds what was made from the same.
    if not catalog.objects.hold([entry.record, *(file.sha256 for file in record.files)]):
        return None
    own = msgspec.structs.replace(record, asset=unit.asset, partition=unit.partition, inputs=input_versions(inputs))
    return Entry(record=catalog.objects.put(canonical(own)), data_version=entry.data_version, fingerprint=entry.fingerprint), own


def input_versions(inputs: Iterable[PinnedInput]) -> tuple[InputVersion, ...]:
    """Inputs as a record names them."""
    return tuple(
        InputVersion(name=each.name, asset=each.asset, partition=each.partition, data_version=each.data_version, record=each.record)
        for each in inputs
    )


class Finder:
    """Looks for the results of a plan's candidates, several at a time, up to a limit over the whole plan."""

    def __init__(self, catalog: Catalog, limit: int = LOOKUPS) -> None:
        self._catalog, self._left = catalog, limit

    def __call__(self, candidates: Iterable[Candidate]) -> Mapping[int, Entry]:
        """See `plan.build.Find`.

        Raises:
            StoreUnavailable: the store did not answer.
        """
        wanted = list(islice(candidates, self._left))
        self._left -= len(wanted)
        if len(wanted) < 2:
            found = [self._find(each) for each in wanted]
        else:
            with ThreadPoolExecutor(min(_READERS, len(wanted)), thread_name_prefix="results") as pool:
                found = list(pool.map(self._find, wanted))
        return {each.position: entry for each, entry in zip(wanted, found, strict=True) if entry is not None}

    def _find(self, candidate: Candidate) -> Entry | None:
        try:
            found = result_for(self._catalog, candidate.unit, candidate.fingerprint, candidate.inputs)
        except (IntegrityError, MessageError) as error:
            log.warning("An earlier result of `%s` cannot be taken over: %s", candidate.unit, error)
            return None
        return None if found is None else found[0]
