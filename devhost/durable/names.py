"""Names and keys: what a task hub and an instance may be called, and how an id becomes a table key."""

from __future__ import annotations

import re
from collections.abc import Mapping

_ESCAPES = {"^": "^^", "/": "^0", "\\": "^1", "#": "^2", "?": "^3"}
_UNESCAPES = {"^": "^", "0": "/", "1": "\\", "2": "#", "3": "?"}
_NEVER_IN_IDS = "/\\#?"
_SHIFT = 0xC0
MAX_INSTANCE_ID = 256


class BadHubName(ValueError):
    """The task hub cannot have this name."""


def to_key(instance_id: str) -> str:
    """The partition key of an instance id, as upstream escapes it."""
    if not any(character in _ESCAPES or _is_control(character) for character in instance_id):
        return instance_id
    return "".join(_ESCAPES.get(c) or (f"^{chr(ord(c) + _SHIFT)}" if _is_control(c) else c) for c in instance_id)


def from_key(key: str) -> str:
    """Inverse of `to_key`."""
    if "^" not in key:
        return key
    found, characters = [], iter(key)
    for character in characters:
        if character != "^":
            found.append(character)
            continue
        following = next(characters, "^")
        found.append(_UNESCAPES.get(following) or chr(ord(following) - _SHIFT))
    return "".join(found)


def instance_id_problem(instance_id: str) -> str | None:
    """Why a client may not start an instance with this id, in upstream's words; None when it may."""
    if instance_id.startswith("@"):
        return "instanceId (Parameter 'Orchestration instance ids must not start with @.')"
    if any(character in _NEVER_IN_IDS or _is_control(character) for character in instance_id):
        return "instanceId (Parameter 'Orchestration instance ids must not contain /, \\, #, ?, or control characters.')"
    if len(instance_id) > MAX_INSTANCE_ID:
        return f"instanceId (Parameter 'Instance ID lengths must not exceed {MAX_INSTANCE_ID} characters.')"
    return None


def entity_key_problem(key: str) -> str | None:
    """Why no operation may be sent to an entity with this key, in upstream's words; None when it may."""
    if any(character in _NEVER_IN_IDS or _is_control(character) for character in key):
        return "entityKey (Parameter 'Entity keys must not contain /, \\, #, ?, or control characters.')"
    return None


def hub_name(configured: str | None, environment: Mapping[str, str]) -> str:
    """The task hub's name: what host.json says, else one made from the site's name, else `TestHubName`.

    Raises:
        BadHubName: the configured name breaks the rules.
    """
    if configured:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]{2,49}", configured):
            raise BadHubName(
                f"The task hub name '{configured}' in host.json (extensions.durableTask.hubName) is not allowed: "
                "it must start with a letter, have only letters and digits, and be 3 to 45 characters long."
            )
        return configured
    name = environment.get("WEBSITE_SITE_NAME", "")
    site = re.sub(r"[^A-Za-z0-9]", "", name)
    if not site:
        return "DefaultTaskHub" if name else "TestHubName"
    site = f"t{site}" if site[0].isdigit() else site
    return (site if len(site) >= 3 else f"{site}Hub")[:45]


def entity_id(name: str, key: str) -> str:
    """The instance id of an entity."""
    return f"@{name.lower()}@{key}"


def split_entity_id(instance_id: str) -> tuple[str, str]:
    """Inverse of `entity_id`.

    Raises:
        ValueError: not an entity's instance id.
    """
    if not instance_id.startswith("@") or "@" not in instance_id[1:]:
        raise ValueError(f"'{instance_id}' is not an entity id of the form @name@key.")
    name, _, key = instance_id[1:].partition("@")
    return name, key


def _is_control(character: str) -> bool:
    code = ord(character)
    return code < 0x20 or 0x7F <= code <= 0x9F
