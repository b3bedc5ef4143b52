"""Left joins to small tables whose rows have unique keys: every row keeps its place, and none is lost or doubled.

A general join may reorder rows and multiplies them when a key repeats. Looking the key up and taking the row found can do neither, and is
several times faster.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def positions(keys: pa.ChunkedArray, among: pa.ChunkedArray) -> pa.Array:
    """Where each key stands in `among`; null where it does not, or is null itself.

    Raises:
        ValueError: a key occurs twice in `among`, so that a lookup would have to choose.
    """
    counts = pc.value_counts(among.drop_null())
    repeated = pc.index(pc.greater(counts.field("counts"), 1), True).as_py()
    if repeated >= 0:
        raise ValueError(
            f"Key {counts.field('values')[repeated]} occurs {counts.field('counts')[repeated]} times in a table to be looked up. Keep one row for each key."
        )
    found = pc.index_in(keys, value_set=among, skip_nulls=True)
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def pair(first: pa.ChunkedArray, instant: pa.ChunkedArray, known: pa.Array) -> pa.ChunkedArray:
    """One integer for each (text, instant to the second): equal exactly where both are equal; null where the text is not among `known`."""
    seconds = pc.divide(instant.cast(pa.int64()), 1_000_000)
    return pc.add(pc.multiply(seconds, len(known)), pc.index_in(first, value_set=known).cast(pa.int64()))
