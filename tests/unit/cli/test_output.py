from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from rich.text import Text

from tidemill.api.payloads import AssetProgress, UnitCounts
from tidemill.cli.output import JsonOutput, TextOutput
from tidemill.cli.progress import Pace, Standing
from tidemill.cli.run_pictures import moving
from tidemill.errors import DefinitionError, DefinitionProblem, TidemillError


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    written = io.StringIO()
    monkeypatch.setattr("tidemill.cli.output.Console", lambda **_: Console(file=written, force_terminal=True, width=100, markup=False))
    return written


def test_on_a_terminal_progress_is_redrawn_in_place_and_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    written = on_a_terminal(monkeypatch)
    with TextOutput().watch() as show:
        show(Text("one"), "line one")
        show(Text("two"), "line two")
    text = written.getvalue()
    assert "one" in text
    assert "two" in text
    assert "line" not in text
    assert "\x1b[2K" in text  # what was drawn is erased


def test_a_moving_picture_has_a_bar_for_each_asset() -> None:
    units = UnitCounts(total=12, succeeded=3, failed=1, up_to_date=2, pending=6)
    standing = Standing("r", "running", "running", units, (AssetProgress(asset="bronze.flights", units=units),))
    pace = Pace()
    pace.see(standing, 0.0)
    console = Console(file=io.StringIO(), width=100)
    console.print(moving(standing, pace))
    assert isinstance(console.file, io.StringIO)
    first, last = console.file.getvalue().splitlines()
    assert first.split()[0] == "bronze.flights"
    assert "6/12" in first
    assert "2 up to date, 1 failed" in first
    assert last == "r: 4/10 units, 1 failed"


def test_without_a_terminal_only_news_are_told_and_not_too_often(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 0.0, 1.0, 3.0, 3.0])
    monkeypatch.setattr("tidemill.cli.output.time.monotonic", lambda: next(now))
    with TextOutput().watch() as show:
        for line in ("a", "b", "c", "c"):
            show(Text(""), line)
    assert capsys.readouterr().err == "a\nc\n"


def test_markup_in_somebodys_text_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    TextOutput().error(TidemillError("a [bold]b[/bold] [/x]", hint="[red]"))
    err = capsys.readouterr().err
    assert "a [bold]b[/bold] [/x]" in err
    assert "[red]" in err


def test_definition_errors_are_told_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    error = DefinitionError([DefinitionProblem("No.", place="b.py:2", hint="Do."), DefinitionProblem("Never.", place="a.py:1")])
    JsonOutput().error(error)
    assert json.loads(capsys.readouterr().out) == {
        "error": {
            "code": "invalid-definitions",
            "message": "2 problems in the definitions.",
            "hint": "",
            "problems": [{"place": "a.py:1", "detail": "Never."}, {"place": "b.py:2", "detail": "No. Do."}],
        }
    }
    TextOutput().error(error)
    err = capsys.readouterr().err
    assert err.count("Never.") == err.count("No. Do.") == 1
