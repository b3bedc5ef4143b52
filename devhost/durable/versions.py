"""Orchestration versions: which instances this app's version may run."""

from __future__ import annotations

from devhost.durable.settings import DurableSettings


class VersionRejected(Exception):
    """The instance is for another version of the app: its work item is put back and tried again later."""


def version_problem(settings: DurableSettings, version: str) -> str | None:
    """Why an instance of this version may not run here; None when it may."""
    ours = settings.default_version
    if settings.version_match == "None" or not ours or version == ours:
        return None
    if settings.version_match == "Strict":
        return f"The orchestration version '{version}' does not match the app's version '{ours}'."
    if _order(version) > _order(ours):
        return f"The orchestration version '{version}' is newer than the app's version '{ours}'."
    return None


def _order(version: str) -> tuple[list[int], str]:
    """Dotted numbers compare by number, anything else by text, and nothing at all comes first."""
    parts = version.split(".")
    return ([int(part) for part in parts], "") if version and all(part.isdigit() for part in parts) else ([], version)
