"""Why a host cannot start, in one sentence for its user, with the exit code that goes with it."""

from __future__ import annotations

EXIT_APP = 1
"""The app or its settings cannot be used."""
EXIT_PORT = 3
"""The port is taken."""
EXIT_STORAGE = 4
"""Storage is missing or does not answer."""
EXIT_HUB = 5
"""Another host runs the task hub."""


class StartError(Exception):
    """The host cannot start; the text is for the user."""

    def __init__(self, message: str, exit_code: int = EXIT_APP, details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.details = details
        """Further lines, one for each problem."""
