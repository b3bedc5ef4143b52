"""Hearing of runs: whoever wants to know is told right after something was put on record, by whichever process did that."""

from __future__ import annotations

from typing import Protocol

from tidemill.model.keys import RunId


class RunListener(Protocol):
    """Hears of runs. Told again whenever an activity is repeated. It must neither raise nor keep the run waiting."""

    def started(self, run: RunId) -> None:
        """The plan of a run is on record, or why there is none."""

    def recorded(self, run: RunId, tranche: int) -> None:
        """The outcomes of a tranche are on record, and what was published with them."""

    def ended(self, run: RunId) -> None:
        """The result of a run is on record, and its last commit made."""


class _Nobody:
    def started(self, run: RunId) -> None: ...
    def recorded(self, run: RunId, tranche: int) -> None: ...
    def ended(self, run: RunId) -> None: ...


NOBODY: RunListener = _Nobody()
"""Does not listen."""
