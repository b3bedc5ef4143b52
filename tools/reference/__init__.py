"""Reference pages, written from the code they describe. `python -m tools.reference` writes them; a test proves that they are current."""
