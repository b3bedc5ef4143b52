"""What the pages say of a running app, tried on a real one: Azurite, and the local host."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.docs.markdown import blocks, text_of
from tests.docs.project import Project, needs_curl
from tests.docs.test_examples import NEEDS_APP
from tidemill.api.routes import ROUTES
from tools.bootstrap import ROOT
from tools.stack import Azurite, Host

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with Azurite.start(log=tmp_path_factory.mktemp("azurite") / "azurite.log") as running:
        yield running


@needs_curl
def test_run_and_follow_does_what_it_says(azurite: Azurite, tmp_path: Path) -> None:
    with Host.start(connection_string=azurite.connection_string, log=tmp_path / "host.log") as host:
        assert Project(tmp_path, {"TIDEMILL_URL": host.url}).follow(blocks(ROOT / NEEDS_APP)) > 10


def test_every_route_but_health_asks_for_a_key(azurite: Azurite, tmp_path: Path) -> None:
    assert "Every route but `GET /api/health` asks for a function key" in text_of(ROOT / "README.md")
    keys = tmp_path / "keys.json"
    options = ["--enable-auth", "--keys", str(keys)]
    with (
        Host.start(connection_string=azurite.connection_string, log=tmp_path / "host.log", options=options) as host,
        httpx.Client(base_url=f"{host.url}/api") as http,
    ):
        asked = {f"{each.method} {each.template}": http.request(each.method, each.template).status_code for each in ROUTES}
        assert asked == dict.fromkeys(asked, 401) | {"GET /health": 200}
        assert http.get("/no/such/route").status_code == 401
        key = json.loads(keys.read_text())["functionKeys"]["default"]
        settings = Project(tmp_path, {"TIDEMILL_URL": host.url, "TIDEMILL_KEY": key}).environment
        status = subprocess.run([sys.executable, "-m", "tidemill", "status"], env=settings, capture_output=True, text=True, check=False)
        assert status.returncode == 0, status.stderr
