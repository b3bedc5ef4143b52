"""What can be wrong with a request as such, before anybody looks at assets or runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tidemill.errors import NotFound, PlanError, TidemillError, did_you_mean


class RequestError(TidemillError):
    """The request cannot be read as what it should be."""

    code = "bad-request"


class InvalidJson(RequestError):
    """The body is not JSON."""

    code = "invalid-json"

    def __init__(self, why: str) -> None:
        super().__init__(f"The body is not valid JSON: {why}.", hint='Send a JSON object, such as {"selection": "flights/*"}.')


class InvalidBody(RequestError):
    """The body is JSON, but not the object that this route takes."""

    code = "invalid-body"

    def __init__(self, problems: Sequence[str], *, hint: str = "") -> None:
        super().__init__(" ".join(problems), hint=hint)
        self.problems = tuple(problems)


class InvalidQuery(RequestError):
    """A query parameter that the route does not have, or a value it cannot take."""

    code = "invalid-query"


class InvalidHeader(RequestError):
    """A header with a value that cannot be taken."""

    code = "invalid-header"


class BodyTooLarge(RequestError):
    """The body is larger than any request of ours needs to be."""

    code = "body-too-large"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"The body has {size:,} bytes; at most {limit:,} are accepted.", hint="Send references, not data.")


class UnsupportedMediaType(RequestError):
    """The body is not declared to be JSON."""

    code = "unsupported-media-type"

    def __init__(self, given: str) -> None:
        what = f"is declared as `{given}`" if given else "has no Content-Type"
        super().__init__(
            f"The body {what}, but only `application/json` is accepted.", hint="Add the header `Content-Type: application/json`."
        )


class NotAcceptable(RequestError):
    """No representation that the caller accepts."""

    code = "not-acceptable"

    def __init__(self, accept: str, offered: Iterable[str]) -> None:
        super().__init__(f"Nothing here can be sent as `{accept}`.", hint=f"Accept one of: {', '.join(f'`{each}`' for each in offered)}.")


class CrossOrigin(RequestError):
    """A web page of another site tried to change something."""

    code = "cross-origin"

    def __init__(self, origin: str) -> None:
        super().__init__(f"Pages of `{origin}` may not change anything here.", hint="Call the API from its own origin, or from a program.")


class UnknownRoute(RequestError):
    """No route has this path."""

    code = "route-not-found"

    def __init__(self, path: str, known: Iterable[str]) -> None:
        super().__init__(f"There is nothing at `{path}`.", hint=did_you_mean(path, known))


class WrongMethod(RequestError):
    """The route exists, but not for this method."""

    code = "method-not-allowed"

    def __init__(self, method: str, path: str, allowed: Sequence[str]) -> None:
        super().__init__(f"`{path}` does not take {method}.", hint=f"It takes {', '.join(allowed)}.")
        self.allowed = tuple(allowed)


class IdempotencyConflict(RequestError):
    """An idempotency key was used before, for another request."""

    code = "idempotency-conflict"

    def __init__(self, run: str) -> None:
        super().__init__(
            f"This idempotency key belongs to run `{run}`, which was started by a different request.",
            hint="Use a new key for a new request; repeat the old request word for word to get its run.",
        )
        self.run = run


class RunAlreadyFinal(RequestError):
    """A run that has ended cannot be cancelled any more."""

    code = "run-already-final"

    def __init__(self, run: str, status: str) -> None:
        super().__init__(f"Run `{run}` has already ended: it {status}.", hint="Start another run if its result has to change.")


class UnknownMoment(PlanError):
    """A log number, snapshot, instant or run that means nothing on the branch."""

    code = "moment-not-found"


class UnknownBranch(PlanError):
    """A branch that does not exist."""

    code = "branch-not-found"


class NotMaterialized(NotFound):
    """The unit exists, but was never materialized, so there are no rows."""

    code = "not-materialized"


class NotStored(PlanError):
    """Rows of an external asset were asked for, which stay where they are."""

    code = "not-stored"


class NotMeasurable(PlanError):
    """An asset whose columns cannot be measured."""

    code = "not-measurable"


class TooMuchData(RequestError):
    """More data than one reply may carry."""

    code = "too-much-data"


class UnknownColumn(RequestError):
    """A column that the data does not have."""

    code = "column-not-found"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no column `{name}`.", hint=did_you_mean(name, known))


class MixedSchemas(RequestError):
    """Partitions of one asset that cannot be put into one table."""

    code = "mixed-schemas"

    def __init__(self, asset: str) -> None:
        super().__init__(
            f"The partitions of `{asset}` have different column types, so they do not fit into one table.",
            hint="Ask for one partition at a time.",
        )
