"""Replies of HTTP-triggered functions, keys and admin routes, held against what the real host answered (`golden/http/`).

No recorded reply is left out: all 223 with the plain host.json and all 13 with the prefixed one have to be equal.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.conftest import given_url
from tests.devhost.shell.support import RunningHost, running

GOLDEN = Path(__file__).parent / "golden"


def app_with(folder: Path, host_json: str) -> Path:
    app = folder / "app"
    app.mkdir()
    shutil.copy(GOLDEN / "http" / "function_app.py", app)
    shutil.copy(GOLDEN / "http" / host_json, app / "host.json")
    return app


def probe_keys(host: RunningHost, keys_file: Path) -> dict[str, object]:
    """The host's keys in the form the probe takes, asked for through the admin API."""
    master = json.loads(keys_file.read_text(encoding="utf-8"))["masterKey"]

    def first_key(path: str) -> str:
        return str(host.request("GET", path, headers={"x-functions-key": master}).json()["keys"][0]["value"])

    functions = {name: first_key(f"/admin/functions/{name}/keys") for name in ("for_function", "for_other")}
    return {"master": master, "function": functions, "host": first_key("/admin/host/keys"), "system": ""}


@pytest.mark.parametrize(
    ("host_json", "replies", "scenarios"),
    [("host.json", "replies.json", []), ("host.prefix.json", "replies.prefix.json", ["prefix_*"])],
    ids=["plain", "prefix"],
)
def test_every_recorded_reply_is_given_again(tmp_path: Path, host_json: str, replies: str, scenarios: list[str]) -> None:
    if given_url():
        pytest.skip("needs control of the host process: an app and keys of its own")
    app = app_with(tmp_path, host_json)
    keys_file, keys, observed = tmp_path / "keys.json", tmp_path / "probe_keys.json", tmp_path / "observed.json"
    with running(app, "--enable-auth", "--keys", str(keys_file)) as host:
        keys.write_text(json.dumps(probe_keys(host, keys_file)), encoding="utf-8")
        probe = [sys.executable, str(GOLDEN / "http" / "probe.py"), f"127.0.0.1:{host.port}", str(keys), str(observed), *scenarios]
        subprocess.run(probe, check=True, capture_output=True, timeout=60)
    compare = [sys.executable, str(GOLDEN / "compare.py"), "replies", str(GOLDEN / "http" / replies), str(observed)]
    result = subprocess.run(compare, check=False, capture_output=True, text=True, timeout=30)
    assert result.returncode == 0, result.stdout
