"""The command line: a thin reader of the HTTP API, plus the in-process executor. Commands say what; `output.py` alone prints."""
