"""Formats: how a table becomes bytes and back, and what identifies its content whatever the bytes."""
