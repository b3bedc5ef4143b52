"""`tidemill keys` and what verification says of signed history, on a local folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.test_local_commands import project  # noqa: F401 - a fixture
from tidemill.cli.main import run


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def keys(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:  # noqa: F811
    """Two key files, each with its public key; two branches."""
    assert run(["apply", "--local", "demo/*"]) == 0
    assert run(["branch", "create", "side", "--local"]) == 0
    capsys.readouterr()
    made = []
    for name in ("one.pem", "two.pem"):
        assert run(["keys", "create", str(tmp_path / name), "--json"]) == 0
        found = told(capsys)
        made.append((found["file"], found["key"]))
    return made


def test_the_first_key_a_rotation_and_what_is_shown_of_them(
    keys: list[tuple[str, str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (one, first), (two, second) = keys
    assert run(["keys", "add", one, "--json"]) == 0
    assert [(each["branch"], each["keys"]) for each in told(capsys)] == [("main", [first]), ("side", [first])]
    assert run(["rollback", "0", "--local", "--reason", "r"]) == 2
    assert "takes signed snapshots only" in capsys.readouterr().err
    monkeypatch.setenv("TIDEMILL_SIGNING_KEY", one)
    assert run(["keys", "rotate", two, "--json"]) == 0
    assert run(["keys", "rotate", two]) == 0  # interrupted or not, it can be said again
    capsys.readouterr()
    assert run(["keys", "list", "--json"]) == 0
    assert [(each["key"], each["by"], bool(each["until"])) for each in told(capsys)["main"]] == [
        (first, first, True),
        (second, first, False),
    ]
    monkeypatch.setenv("TIDEMILL_SIGNING_KEY", two)
    assert run(["rollback", "0", "--local", "--reason", "r"]) == 0
    capsys.readouterr()
    assert run(["history", "--local", "--json"]) == 0
    assert [each["signer"] for each in told(capsys)["entries"]] == [second, first, first, ""]
    for trust, code in ((first, 0), (second, 4), ("0" * 64, 4)):  # nothing on `side` is signed by the second key yet
        assert run(["verify", "--trust", trust, "--json"]) == code
        assert (told(capsys)["problem"] is None) == (code == 0)
    assert run(["verify", "--trust", second, "--branch", "main"]) == 0


def test_mistakes_are_told(keys: list[tuple[str, str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (one, first), (two, second) = keys
    for arguments, told_of in (
        (["keys", "add"], "needs a key"),
        (["keys", "list", "x"], "takes no key"),
        (["keys", "create", one], "File exists"),
        (["keys", "rotate", two], "No signing key is set to rotate from"),
        (["keys", "add", "no/such/file"], "names no file that can be read"),
        (["keys", "add", second], "The first key of branch `main` signs for itself"),
        (["verify", "--trust", "abc"], "is not a public key"),
    ):
        assert run(arguments) == 2, arguments
        assert told_of in " ".join(capsys.readouterr().err.split()), arguments
    monkeypatch.setenv("TIDEMILL_SIGNING_KEY", one)
    assert run(["keys", "add", first]) == 0
    assert run(["keys", "retire", first]) == 2
    assert "is the last key of branch `main`" in " ".join(capsys.readouterr().err.split())
    assert run(["keys", "retire", first, "--off"]) == 0
    monkeypatch.setenv("TIDEMILL_SIGNING_KEY", "a secret with a mistake in it")
    assert run(["history", "--local"]) == 2
    assert "a secret" not in capsys.readouterr().err
