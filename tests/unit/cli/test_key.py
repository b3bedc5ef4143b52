from __future__ import annotations

import httpx
import pytest

from tidemill.api.route import open_templates
from tidemill.api.routes import ROUTES
from tidemill.cli.client import AppClient
from tidemill.cli.errors import AccessDenied
from tidemill.cli.exits import MISTAKE, exit_code


def locked(request: httpx.Request) -> httpx.Response:
    """A Functions host that asks for a key, in front of an app without runs."""
    if request.headers.get("x-functions-key") != "right":
        return httpx.Response(401)
    return httpx.Response(200, json={"runs": [], "next_cursor": None})


def test_the_key_opens_the_app() -> None:
    with AppClient("http://app", key="right", transport=httpx.MockTransport(locked)) as client:
        assert client.runs().runs == ()


@pytest.mark.parametrize("key", ["", "wrong"])
def test_without_the_right_key_one_sentence_says_what_to_set(key: str) -> None:
    with AppClient("http://app", key=key, transport=httpx.MockTransport(locked)) as client, pytest.raises(AccessDenied) as caught:
        client.runs()
    assert str(caught.value) == "The app at http://app does not let you in (HTTP 401). Set TIDEMILL_KEY to a function key of the app."
    assert exit_code(caught.value) == MISTAKE


def test_only_health_is_open_without_a_key() -> None:
    assert open_templates(ROUTES) == {"health"}
