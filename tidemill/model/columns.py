"""How one column may bear on another: the words that queries, declarations and measurements share."""

from __future__ import annotations

from enum import StrEnum


class ColumnUse(StrEnum):
    """How a column came to bear on another. The first three hand on values, the others decide which ones."""

    IDENTITY = "identity"  # the value itself
    TRANSFORMATION = "transformation"  # computed from the value
    AGGREGATION = "aggregation"  # computed from many values
    JOIN = "join"  # rows are matched by it
    FILTER = "filter"  # rows are kept by it
    GROUP_BY = "group_by"  # rows are put together by it
    SORT = "sort"  # rows are ordered by it
    WINDOW = "window"  # it says which rows a window function sees
    CONDITIONAL = "conditional"  # it chooses between values
    ROWS = "rows"  # it decides which rows there are, how many or in which order; by which of the means above is not known

    @property
    def is_direct(self) -> bool:
        """True if values are handed on."""
        return self in (ColumnUse.IDENTITY, ColumnUse.TRANSFORMATION, ColumnUse.AGGREGATION)
