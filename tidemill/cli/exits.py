"""Exit codes: one table."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill import errors
from tidemill.cli.errors import AppProblem, AppUnreachable, InternalError, Interrupted, NotTidemill, UsageMistake

OK = 0
RUN_FAILED = 1
MISTAKE = 2
UNREACHABLE = 3
DEFECT = 4
INTERRUPTED = 130

MEANINGS: Mapping[int, str] = {
    OK: "Done; a run that was watched has succeeded.",
    RUN_FAILED: "The run failed or was cancelled.",
    MISTAKE: "The command line, the request or the definitions are wrong, or what was asked for does not exist.",
    UNREACHABLE: "The app or the store does not answer.",
    DEFECT: "Stored data is damaged, or Tidemill has a defect.",
    INTERRUPTED: "Interrupted with Ctrl-C; a run in the app goes on.",
}

_CODES: Mapping[type[errors.TidemillError], int] = {
    errors.TidemillError: MISTAKE,
    UsageMistake: MISTAKE,
    AppUnreachable: UNREACHABLE,
    NotTidemill: UNREACHABLE,
    Interrupted: INTERRUPTED,
    InternalError: DEFECT,
    errors.StorageError: DEFECT,
    errors.StoreUnavailable: UNREACHABLE,
    errors.IntegrityError: DEFECT,
    errors.MessageError: DEFECT,
}
"""By error; the nearest class upwards counts."""


def exit_code(error: errors.TidemillError) -> int:
    """The exit code of an error."""
    if isinstance(error, AppProblem):
        status = error.problem.status
        if error.code == "invalid-definitions" or status < 500:
            return MISTAKE
        return UNREACHABLE if status in (502, 503, 504) else DEFECT
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)
