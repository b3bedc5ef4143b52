"""Write every reference page."""

from __future__ import annotations

from tools.bootstrap import ROOT
from tools.reference.pages import PAGES


def main() -> None:
    """Writes the pages that changed."""
    for name, render in PAGES.items():
        path, text = ROOT / name, render()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")


if __name__ == "__main__":
    main()
