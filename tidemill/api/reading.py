"""Reading what a caller sent: strictly, because a typo deserves an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from tidemill.api.errors import BodyTooLarge, InvalidBody, InvalidJson, InvalidQuery, UnsupportedMediaType
from tidemill.api.http import JSON, ApiRequest
from tidemill.errors import did_you_mean

StructT = TypeVar("StructT", bound=msgspec.Struct)

MAX_BODY_BYTES = 1024 * 1024

_ALWAYS_ALLOWED = frozenset({"code", "clientId"})
"""Query parameters in which the Functions host takes its keys; they are not ours to refuse, and never read."""


def read_body(request: ApiRequest, kind: type[StructT]) -> StructT:
    """The body as a struct; an empty body is an empty object.

    Raises:
        BodyTooLarge: it has more than `MAX_BODY_BYTES`.
        UnsupportedMediaType: it is not declared as JSON. (A form of another site cannot declare that, so it cannot start anything.)
        InvalidJson: it is not JSON.
        InvalidBody: it is not an object, has a field that the struct does not have, lacks one, or one has the wrong type.
    """
    if len(request.body) > MAX_BODY_BYTES:
        raise BodyTooLarge(len(request.body), MAX_BODY_BYTES)
    if not request.body:
        return _converted({}, kind)
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != JSON and not media_type.endswith("+json"):
        raise UnsupportedMediaType(media_type)
    try:
        value = msgspec.json.decode(request.body)
    except RecursionError:
        raise InvalidJson("it is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidJson(str(error).rstrip(".")) from None
    if not isinstance(value, dict):
        raise InvalidBody([f"The body is {_kind_of(value)}, but it has to be an object."], hint=_fields_hint(kind))
    return _converted(value, kind)


def read_query(request: ApiRequest, kind: type[StructT]) -> StructT:
    """The query as a struct; numbers and flags are read from their text.

    Raises:
        InvalidQuery: a parameter that the struct does not have, or a value that cannot be read.
    """
    given = {name: value for name, value in request.query.items() if name not in _ALWAYS_ALLOWED}
    known = _fields(kind)
    for name in sorted(set(given) - set(known)):
        hint = did_you_mean(name, known) if known else "This route takes none."
        raise InvalidQuery(f"There is no query parameter `{name}` here.", hint=hint)
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidQuery(f"The query cannot be read: {_in_words(error)}.") from None


def _converted(value: dict[str, Any], kind: type[StructT]) -> StructT:
    known = _fields(kind)
    unknown = sorted(set(value) - set(known))
    if unknown:
        raise InvalidBody(
            [" ".join(filter(None, (f"There is no field `{name}`.", _nearest(name, known)))) for name in unknown], hint=_fields_hint(kind)
        )
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise InvalidBody([f"The body cannot be read: {_in_words(error)}."], hint=_fields_hint(kind)) from None


def _nearest(name: str, known: Iterable[str]) -> str:
    hint = did_you_mean(name, known)
    return hint if hint.startswith("Did") else ""


def _fields(kind: type[msgspec.Struct]) -> Mapping[str, msgspec.structs.FieldInfo]:
    return {field.encode_name: field for field in msgspec.structs.fields(kind)}


def _fields_hint(kind: type[msgspec.Struct]) -> str:
    names = [f"`{name}`" + (" (required)" if field.required else "") for name, field in _fields(kind).items()]
    return f"Its fields are {', '.join(names)}."


def _in_words(error: msgspec.ValidationError) -> str:
    return str(error).replace(" - at `$.", " in `").rstrip(".")


def _kind_of(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number", type(None): "null"}
    return names[type(value)]
