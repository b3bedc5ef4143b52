"""Measuring where columns come from: run the code on a sample, change one column of one input, run it again, and see what moves.

A column whose values move while the rows correspond comes from the changed one. If rows appear, vanish or change places, the changed column decides the
rows. A column that moves only when values change places, and not when they become others, is chosen by the changed column and not made from it: that
is how a grouping key bears on a total. Several changes are tried for each column, since one may happen to move nothing.

What moved is proof; that nothing moved proves nothing, because the sample is small and the changes are few.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from tidemill.lineage.perturbation import Change, Rows, changed, changes, is_copied, moved
from tidemill.lineage.values import MeasuredEdge, RefusedColumn
from tidemill.model.columns import ColumnUse

Parts = Sequence[tuple[str, pa.Table]]
"""Tables of one input with their partitions, in order."""

Code = Callable[[Mapping[str, Parts]], pa.Table]
"""Runs the asset's code on tables by input. Raises `Refused` if it does not take them."""


class Refused(Exception):
    """The code does not take these tables; the text is a sentence that says why."""


class NotRepeatable(Exception):
    """The code gives another result each time, so nothing can be told from a difference."""


class Measured(NamedTuple):
    """What was seen."""

    columns: tuple[str, ...]
    row_count: int
    calls: int
    edges: tuple[MeasuredEdge, ...]
    """By column in the result's order, those on the rows last; then by input and its column."""
    refused: tuple[RefusedColumn, ...]


@dataclass
class _Seen:
    """What became of the result while one column was being changed."""

    by_new: set[str] = field(default_factory=set)
    """Columns that moved when values became others."""
    by_place: set[str] = field(default_factory=set)
    """Columns that moved when values changed places."""
    by_place_of_all: set[str] = field(default_factory=set)
    """Columns that moved when values changed places, with nothing to show that the rows were still the same ones."""
    took_new: bool = False
    took_any: bool = False
    rows: bool = False
    not_copies: set[str] = field(default_factory=set)
    because: str = "it holds nothing that could be changed."

    def uses(self) -> dict[str, ColumnUse]:
        """How the column bears on each column of the result; the rows under the empty name."""
        made = self.by_new if self.took_new else self.by_place | self.by_place_of_all
        found = {name: ColumnUse.TRANSFORMATION if name in self.not_copies else ColumnUse.IDENTITY for name in made}
        found |= dict.fromkeys(self.by_place - made, ColumnUse.CONDITIONAL)
        others = self.by_place_of_all - made - self.by_place
        return found | ({"": ColumnUse.ROWS} if self.rows or others else {})


def measure(code: Code, inputs: Mapping[str, Parts]) -> Measured:
    """Measures which columns of the inputs bear on which columns of the result.

    Effects: runs the code, some ten times for each column.

    Args:
        code: the asset's code.
        inputs: the sample, by input.

    Raises:
        Refused: it does not take the sample as it is.
        NotRepeatable: it gives two results for one sample.
    """
    lab = _Lab(code, inputs)
    order = {name: at for at, name in enumerate((*lab.result.column_names, ""))}
    edges: list[MeasuredEdge] = []
    refused: list[RefusedColumn] = []
    for name, parts in inputs.items():
        for column in dict.fromkeys(each for _, table in parts for each in table.column_names):
            seen = lab.watch(name, column)
            if not seen.took_any:
                refused.append(RefusedColumn(input=name, column=column, because=seen.because))
            edges += [MeasuredEdge(column=made, input=name, source_column=column, use=use) for made, use in seen.uses().items()]
    edges.sort(key=lambda edge: (order.get(edge.column, len(order) - 2), edge.input, edge.source_column))
    return Measured(tuple(lab.result.column_names), lab.result.num_rows, lab.calls, tuple(edges), tuple(refused))


class _Lab:
    """The code with its sample and the result that it gives undisturbed."""

    def __init__(self, code: Code, inputs: Mapping[str, Parts]) -> None:
        self._code, self._inputs = code, inputs
        self.calls = 0
        self.result = self._run(inputs)
        again = moved(self.result, self._run(inputs))
        if again.values or again.rows:
            raise NotRepeatable

    def watch(self, name: str, column: str) -> _Seen:
        """Changes one column in every way that fits it."""
        seen = _Seen()
        field = next(table.schema.field(column) for _, table in self._inputs[name] if column in table.column_names)
        for change in changes(field):
            for rows in change.rows:
                if self._try(seen, name, column, change, rows):
                    break
        return seen

    def _try(self, seen: _Seen, name: str, column: str, change: Change, rows: Rows) -> bool:
        """Changes the column in one way; False if the code refuses that, so that fewer rows should be tried."""
        parts = [(key, changed(table, column, change, rows) if column in table.column_names else None) for key, table in self._inputs[name]]
        if all(table is None for _, table in parts):
            return True
        tables = [
            (key, table if table is not None else before) for (key, table), (_, before) in zip(parts, self._inputs[name], strict=True)
        ]
        try:
            result = self._run({**self._inputs, name: tables})
        except Refused as why:
            seen.because = f"the code does not take other values in it: {why}"
            return False
        seen.took_any = True
        # That one row alone moves nothing says too little to call the column a mere chooser.
        seen.took_new = seen.took_new or (change.is_new and rows is not Rows.ONE)
        difference = moved(self.result, result)
        seen.rows = seen.rows or difference.rows
        moved_by = seen.by_new if change.is_new else seen.by_place if difference.anchored else seen.by_place_of_all
        moved_by.update(difference.values)
        given = [table[column] for _, table in tables if column in table.column_names]
        seen.not_copies |= {each for each in difference.values if each not in result.column_names or not is_copied(given, result[each])}
        return True

    def _run(self, inputs: Mapping[str, Parts]) -> pa.Table:
        self.calls += 1
        return self._code(inputs)
