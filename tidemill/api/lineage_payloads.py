"""What the API takes about lineage; what it answers is in `tidemill/lineage/values.py`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tidemill.api.payloads import KeyText


class MeasureRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to measure."""

    partition: KeyText = ""
    """The partition whose recorded inputs are sampled; empty: the last one that is materialized."""
    rows: Annotated[int, Meta(ge=20, le=100_000)] = 1000
    """Rows of each input, about. What was measured with as many or more is answered from the record."""
    branch: KeyText = ""
    """A branch; empty: the one the app runs on."""
