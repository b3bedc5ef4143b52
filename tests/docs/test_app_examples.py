"""The examples that need a running app, against a real Azurite and a real host."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.markdown import blocks
from tests.docs.project import Project
from tests.docs.test_examples import NEEDS_APP
from tools.bootstrap import ROOT
from tools.stack import Azurite, Host


@pytest.mark.e2e
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no `curl` on the PATH; install it to run the examples that use it")
def test_run_and_follow_does_what_it_says(tmp_path: Path) -> None:
    with (
        Azurite.start(log=tmp_path / "azurite.log") as azurite,
        Host.start(connection_string=azurite.connection_string, log=tmp_path / "host.log") as host,
    ):
        assert Project(tmp_path, {"TIDEMILL_URL": host.url}).follow(blocks(ROOT / NEEDS_APP)) > 10
