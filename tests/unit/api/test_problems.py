from __future__ import annotations

from collections import defaultdict

import pytest

from tidemill import errors
from tidemill.api import errors as api
from tidemill.api.problems import STATUS, problem_response, status_of, title_of
from tidemill.errors import TidemillError
from tidemill.redact import redact
from tools.reference.errors import error_classes


def all_errors() -> list[type[TidemillError]]:
    """Every error class that may travel over HTTP; those of the CLI never do."""
    return [kind for kind in error_classes() if not kind.__module__.startswith("tidemill.cli.")]


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_and_a_title(kind: type[TidemillError]) -> None:
    status = next(STATUS[each] for each in kind.__mro__ if each in STATUS)
    assert 400 <= status < 600
    assert (status == 503) == kind.retryable
    assert title_of(kind)
    assert not title_of(kind).endswith(".")


def test_no_two_errors_share_a_code() -> None:
    by_code = defaultdict(set)
    for kind in all_errors():
        if "code" in kind.__dict__:
            by_code[kind.code].add(kind.__name__)
    assert {code: names for code, names in by_code.items() if len(names) > 1} == {}


def test_a_name_in_the_url_is_404_and_in_the_body_422() -> None:
    error = errors.UnknownAsset("x", ["y"])
    assert (status_of(error), status_of(error, in_body=True)) == (404, 422)
    assert status_of(errors.NotFound("no run"), in_body=True) == 404


def test_a_subclass_nobody_listed_takes_the_status_of_its_parent() -> None:
    class Odd(errors.StoreUnavailable):
        """Odd."""

    assert status_of(Odd("x")) == 503


def test_problems_carry_no_secrets() -> None:
    reply = problem_response(
        errors.StorageError("GET https://a.blob.core.windows.net/c/b?sv=2020&sig=SECRET failed", hint="AccountKey=SECRET;x")
    )
    assert b"SECRET" not in reply.body


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("https://h/c/b?comp=list&sig=abc%3D", "https://h/c/b?comp=list&[redacted]"),
        ("https://h/api/x?code=k==&y=1", "https://h/api/x?[redacted]&y=1"),
        ("see http://h:1/runtime/webhooks/durabletask/instances/1?taskHub=x&code=y now", "see [redacted] now"),
        ("AccountName=a;AccountKey=abc==;BlobEndpoint=x", "AccountName=a;[redacted];BlobEndpoint=x"),
        ("https://user:pass@host/x", "https://[redacted]@host/x"),
        ("error code=5 and sig=nal, 12:30:45", "error code=5 and sig=nal, 12:30:45"),
    ],
)
def test_redaction_takes_what_grants_access_and_leaves_the_rest(text: str, kept: str) -> None:
    assert redact(text) == kept


def test_wrong_method_says_what_is_allowed() -> None:
    assert problem_response(api.WrongMethod("PUT", "/x", ["GET", "POST"])).headers["Allow"] == "GET, POST"
