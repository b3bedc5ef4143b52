"""Words for things whose classes have names only programmers like."""

from __future__ import annotations

import re

from tidemill.definitions.mappings import PartitionMapping


def mapping_in_words(mapping: PartitionMapping) -> str:
    """A mapping in a word or two, from its class name: `identity`, `all partitions`, `time roll up`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(mapping).__name__.removesuffix("Mapping"))
    return words.lower()
