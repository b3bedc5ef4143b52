"""The pictures in the concept pages are what the commands in them give today."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.docs.markdown import PAGES, links
from tools.bootstrap import ROOT

FOLDER = ROOT / "docs" / "concepts" / "pictures"
PICTURES = sorted(FOLDER.glob("*.svg"))


def name(path: Path) -> str:
    return path.name


@pytest.mark.timeout(240)
def test_they_are_current() -> None:
    done = subprocess.run([sys.executable, "-m", "tools.pictures", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_is_shown_on_a_page() -> None:
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page) if link.endswith(".svg")}
    assert shown == set(PICTURES)
    assert len(shown) > 10


@pytest.mark.parametrize("picture", PICTURES, ids=name)
def test_it_fetches_nothing_and_says_what_it_shows(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    assert re.findall(r"https?://[^\"' ]*", text) == ["http://www.w3.org/2000/svg"]
    assert "@import" not in text
    assert "@font-face" not in text
    title = ET.fromstring(text).findtext("{http://www.w3.org/2000/svg}title")
    assert title
