"""Errors as HTTP problem details (RFC 9457): one table, no text parsed, no stack trace ever.

What is unexpected is logged with its trace and answered with one sentence, since its text may say more than a caller should read.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from inspect import cleandoc

from tidemill import errors
from tidemill.api import errors as api
from tidemill.api.http import ApiResponse, json_response
from tidemill.api.problem import MEDIA_TYPE, Problem, ProblemPart
from tidemill.execution.saved import PlanDrifted, sentence
from tidemill.redact import redact

log = logging.getLogger("tidemill.api")

STATUS: Mapping[type[errors.TidemillError], int] = {
    api.RequestError: 400,
    api.UnknownRoute: 404,
    api.WrongMethod: 405,
    api.NotAcceptable: 406,
    api.CrossOrigin: 403,
    api.IdempotencyConflict: 409,
    api.RunAlreadyFinal: 409,
    api.NotStored: 409,
    api.NotMeasurable: 409,
    api.BodyTooLarge: 413,
    api.UnsupportedMediaType: 415,
    api.InvalidBody: 422,
    api.TooMuchData: 422,
    errors.InvalidKey: 400,
    errors.PlanError: 422,
    api.UnknownBranch: 404,
    api.UnknownMoment: 404,
    errors.UnknownAsset: 404,
    errors.UnknownPartition: 404,
    errors.NotFound: 404,
    errors.CatalogConflict: 409,
    errors.RunFenced: 409,
    PlanDrifted: 409,
    errors.NotTrusted: 409,
    errors.DefinitionError: 500,
    errors.MessageError: 500,
    errors.StorageError: 500,
    errors.StoreUnavailable: 503,
    errors.MissingExtra: 500,
    errors.SettingsError: 500,
    errors.TidemillError: 500,
}
"""HTTP status by error; the nearest class upwards counts."""

NAMED_IN_BODY = 422
"""A thing that does not exist is 404 where the URL names it, and this where the body does: the route itself was found."""

RETRY_AFTER_SECONDS = 5


def status_of(error: errors.TidemillError, *, in_body: bool = False) -> int:
    """The HTTP status of an error.

    Args:
        error: what was raised.
        in_body: True if names came with the body and not with the URL.
    """
    if in_body and isinstance(error, errors.PlanError | errors.InvalidKey):
        return NAMED_IN_BODY
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def title_of(kind: type[errors.TidemillError]) -> str:
    """What kind of problem a class of errors is: the first sentence of its docstring, without its full stop."""
    return cleandoc(kind.__doc__ or kind.__name__).splitlines()[0].split(". ")[0].rstrip(".")


def problem_response(error: errors.TidemillError, *, in_body: bool = False) -> ApiResponse:
    """The reply to a request that failed as it should."""
    status = status_of(error, in_body=in_body)
    if status >= 500:
        log.warning("answering %d: %s", status, error)
    problem = Problem(
        type=f"urn:tidemill:problem:{error.code}",
        title=title_of(type(error)),
        status=status,
        detail=redact(error.message),
        code=error.code,
        hint=redact(error.hint),
        problems=_parts(error),
    )
    headers: dict[str, str] = {}
    if error.retryable:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if isinstance(error, api.WrongMethod):
        headers["Allow"] = ", ".join(error.allowed)
    return json_response(problem, status=status, headers=headers, media_type=MEDIA_TYPE)


def internal_problem(error: Exception, *, where: str) -> ApiResponse:
    """The reply to a request that met a defect of ours; the trace goes to the log."""
    log.error("unexpected %s in %s", type(error).__name__, where, exc_info=error)
    problem = Problem(
        type="urn:tidemill:problem:internal",
        title=HTTPStatus.INTERNAL_SERVER_ERROR.phrase,
        status=500,
        detail="Tidemill failed in a way it should not.",
        code="internal",
        hint="The app's log has the details; please report them.",
    )
    return json_response(problem, status=500, media_type=MEDIA_TYPE)


def _parts(error: errors.TidemillError) -> tuple[ProblemPart, ...]:
    match error:
        case errors.DefinitionError():
            return tuple(ProblemPart(detail=redact(each.message), hint=redact(each.hint), place=each.place) for each in error.problems)
        case PlanDrifted():
            return tuple(ProblemPart(detail=redact(sentence(each)), place=each.name) for each in error.drifts)
        case api.InvalidBody() if len(error.problems) > 1:
            return tuple(ProblemPart(detail=each) for each in error.problems)
        case _:
            return ()
