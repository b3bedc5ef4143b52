"""Doing: the effects behind activities and behind the in-process executor. Both call the same functions, so both give the same hashes."""
