"""The single door by which user code is entered and user exceptions leave, as data."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tidemill.model.keys import UnitKey
from tidemill.model.outcomes import ErrorInfo

T = TypeVar("T")

_LIBRARY = Path(__file__).resolve().parents[1]


class UserCodeFailed(Exception):
    """User code raised; the error says what, in the author's terms."""

    def __init__(self, error: ErrorInfo) -> None:
        super().__init__(error.message)
        self.error = error


def call_user_code(unit: UnitKey, function: Callable[[], T], *, project: Path | None = None) -> T:
    """Calls user code.

    Raises:
        UserCodeFailed: it raised anything, `SystemExit` included. `KeyboardInterrupt` passes through.
    """
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise UserCodeFailed(describe(unit, error, project=project)) from error


def describe(unit: UnitKey, error: BaseException, *, project: Path | None = None) -> ErrorInfo:
    """A user's exception as data: one sentence with the place in the author's own code, and the frames from there on."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not Path(frame.filename).is_relative_to(_LIBRARY)]
    # Frames of compiled packages carry a path from their build, such as `pyarrow/error.pxi`: relative, and nothing the author wrote.
    own = [frame for frame in frames if "site-packages" not in frame.filename and Path(frame.filename).is_absolute()]
    place = ""
    if own:
        place = f" at {_shown(own[-1].filename, project)}:{own[-1].lineno} in `{own[-1].name}`"
    text = str(error).strip() or "no message"
    return ErrorInfo(
        code="user-code-failed",
        message=f"`{unit}` raised {type(error).__name__}{place}: {text}",
        hint="Mend the function, or declare a retry policy if trying again can help.",
        types=tuple(each.__name__ for each in type(error).__mro__ if each is not object),
        stack="".join(f"{_shown(frame.filename, project)}:{frame.lineno} in {frame.name}\n    {frame.line}\n" for frame in frames),
    )


def _shown(filename: str, project: Path | None) -> str:
    path = Path(filename)
    if project is not None and path.is_relative_to(project):
        return path.relative_to(project).as_posix()
    return path.name if "site-packages" in filename else path.as_posix()
