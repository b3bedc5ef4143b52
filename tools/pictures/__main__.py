"""Draw every picture, or say which are not current."""

from __future__ import annotations

import sys

from tools.bootstrap import ROOT
from tools.pictures.stories import draw_all

FOLDER = ROOT / "docs" / "concepts" / "pictures"


def main(arguments: list[str]) -> int:
    """Writes the pictures that changed; with `--check` only names them, and ends with 1 if there are any."""
    checking = arguments == ["--check"]
    drawn = draw_all()
    held = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.svg")}
    stale = sorted(name for name in drawn.keys() | held.keys() if drawn.get(name) != held.get(name))
    for name in stale:
        print(f"{name} is not current: run `make pictures`" if checking else f"wrote {name}")
        if not checking and name in drawn:
            FOLDER.mkdir(parents=True, exist_ok=True)
            (FOLDER / name).write_text(drawn[name], encoding="utf-8")
        elif not checking:
            (FOLDER / name).unlink()
    return 1 if checking and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
