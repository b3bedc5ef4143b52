"""What can go wrong between a terminal and the app."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from typer.exceptions import TyperException

from tidemill.errors import TidemillError

if TYPE_CHECKING:
    from tidemill.api.problem import Problem


class UsageMistake(TidemillError):
    """A command line that cannot be read."""

    code = "usage"

    @classmethod
    def of(cls, error: TyperException) -> UsageMistake:
        """Typer's own error, in our form."""
        context = getattr(error, "ctx", None)
        where = f"Try `{context.command_path} --help`." if context is not None else "Try `tidemill --help`."
        message = error.format_message()
        return cls(message if message.endswith((".", "?")) else f"{message}.", hint=where)


class AppUnreachable(TidemillError):
    """Nothing answers at the app's address."""

    code = "app-unreachable"
    retryable: ClassVar[bool] = True

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            f"The app at {url} does not answer ({why}).",
            hint="Start it with `make run`, or say where it is with --url or TIDEMILL_URL.",
        )


class AccessDenied(TidemillError):
    """The host in front of the app wants a key, or another one."""

    code = "access-denied"

    def __init__(self, url: str, status: int) -> None:
        super().__init__(f"The app at {url} does not let you in (HTTP {status}).", hint="Set TIDEMILL_KEY to a function key of the app.")


class NotTidemill(TidemillError):
    """Something answers at the app's address, but it does not speak our API."""

    code = "not-tidemill"

    def __init__(self, url: str, what: str) -> None:
        super().__init__(f"What answers at {url} is not a Tidemill app: {what}.", hint="Say where the app is with --url or TIDEMILL_URL.")


class AppProblem(TidemillError):
    """The app refused, and said why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail, hint=problem.hint)
        self.code = problem.code  # type: ignore[misc]  # the app's own code, of which the CLI knows no class
        self.problem = problem


class ExportFailed(TidemillError):
    """Events could not be written or posted."""

    code = "export-failed"

    def __init__(self, to: str, why: str, *, sent: int) -> None:
        done = f" {sent} events were taken before." if sent else ""
        super().__init__(
            f"The events could not be handed to `{to}`: {why.rstrip('.')}.{done}",
            hint="Mend that and export again: the events keep their ids.",
        )


class NotWritten(TidemillError):
    """A file that was asked for could not be written."""

    code = "not-written"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            f"`{path}` could not be written: {why.rstrip('.')}.", hint="Name a file in a folder that exists and may be written to."
        )


class Interrupted(TidemillError):
    """Ctrl-C."""

    code = "interrupted"

    def __init__(self) -> None:
        super().__init__("Interrupted.", hint="Nothing was published by this command; finished units are kept and will be reused.")


class InternalError(TidemillError):
    """A defect of Tidemill."""

    code = "internal"

    def __init__(self, error: Exception, trace: str) -> None:
        super().__init__(
            f"Tidemill failed in a way it should not: {type(error).__name__}: {error}",
            hint="Please report it. With TIDEMILL_TRACE=1 the command prints where it happened.",
        )
        self.trace = trace
