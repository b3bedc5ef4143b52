"""Instances that the engine has given up: something of theirs cannot be read, or the engine itself failed over them.

Such an instance stays where it is, with its messages, and harms no other. What became of it is said in the log, by `devhost instances` and
by `/admin/host/status`; its own status is left as the real host would show it. It is tried again when the host starts anew.
"""

from __future__ import annotations

import logging


class SetAside:
    """The instances and entities of one hub that are set aside, with the reason for each."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self.reasons: dict[str, str] = {}
        """Instance id → one sentence."""

    def put(self, instance_id: str, problem: Exception, *, is_expected: bool) -> None:
        """Notes it and says so, with a traceback when the host itself is at fault; an instance that comes again for the same reason is not told
        again.
        """
        kind = "entity" if instance_id.startswith("@") else "instance"
        reason = str(problem) if is_expected else f"an unexpected error in the host: {type(problem).__name__}: {problem}"
        if self.reasons.get(instance_id) == reason:
            return
        self.reasons[instance_id] = reason
        text = "%s %s is set aside until the host starts anew; no other is affected: %s"
        self._log.error(text, kind, instance_id, reason, exc_info=None if is_expected else problem)

    def forget(self, instance_id: str) -> None:
        """It has been purged."""
        self.reasons.pop(instance_id, None)
