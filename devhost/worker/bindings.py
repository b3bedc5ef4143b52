"""Values on their way between the wire and user code, by binding type, through the app's own `azure.functions` converters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from http.cookies import Morsel, SimpleCookie
from typing import Any
from urllib.parse import quote

import azure.functions as func
from azure.functions import meta

from devhost.invocation import Datum, HttpRequestData, HttpResponseData, JsonText

GENERIC = "generic"
_EXPIRES_FORMATS = ("%a, %d %b %Y %H:%M:%S GMT", "%a, %d-%b-%y %H:%M:%S GMT", "%a, %d-%b-%Y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")


class GenericConverter:
    """For binding types `azure.functions` has no converter for, and for parameters annotated as plain `str` or `bytes`."""

    @staticmethod
    def check_input_type_annotation(pytype: type) -> bool:
        return issubclass(pytype, (str, bytes))

    @staticmethod
    def check_output_type_annotation(pytype: type) -> bool:
        return issubclass(pytype, (str, bytes, bytearray))

    @staticmethod
    def decode(data: meta.Datum, **_: object) -> Any:
        return data.value

    @staticmethod
    def encode(obj: Any, **_: object) -> meta.Datum:
        if obj is None:
            return meta.Datum(value=None, type=None)
        if isinstance(obj, str):
            return meta.Datum(value=obj, type="string")
        if isinstance(obj, (bytes, bytearray)):
            return meta.Datum(value=bytes(obj), type="bytes")
        raise NotImplementedError


def converter(binding_type: str) -> Any:
    """The converter class for a binding type."""
    found = None if binding_type == GENERIC else func.get_binding_registry().get(binding_type)  # type: ignore[no-untyped-call]
    return GenericConverter if found is None else found


def has_implicit_output(binding_type: str) -> bool:
    """Whether a function with this trigger may return a value without a `$return` binding."""
    return bool(getattr(converter(binding_type), "has_implicit_output", lambda: False)())


def decode(binding_type: str, datum: Datum, trigger_metadata: Mapping[str, str]) -> Any:
    """The argument for a parameter bound to `binding_type`."""
    data = _to_library(datum)
    try:
        return converter(binding_type).decode(data, trigger_metadata={k: _metadata_datum(v) for k, v in trigger_metadata.items()})
    except NotImplementedError:
        raise TypeError(
            f"unable to decode incoming TypedData: unsupported combination of TypedData field {data.type!r} "
            f"and expected binding type {binding_type!r}"
        ) from None


def encode(binding_type: str, value: Any) -> Datum:
    """What the host gets for a value a function returned or set."""
    try:
        data = converter(binding_type).encode(value, expected_type=None)
    except NotImplementedError:
        raise TypeError(
            f'unable to encode outgoing TypedData: unsupported type "{binding_type}" for Python type "{type(value).__name__}"'
        ) from None
    return _from_library(data)


def _metadata_datum(text: str) -> meta.Datum:
    return meta.Datum(value=text, type="json" if text.startswith("{") else "string")


def _to_library(datum: Datum) -> meta.Datum:
    if isinstance(datum, str):
        return meta.Datum(value=datum, type="string")
    if isinstance(datum, JsonText):
        return meta.Datum(value=datum.text, type="json")
    if isinstance(datum, bytes):
        return meta.Datum(value=datum, type="bytes")
    if isinstance(datum, HttpRequestData):
        return meta.Datum(value=_http_fields(datum), type="http")
    return meta.Datum(value=None, type=None)


def _http_fields(request: HttpRequestData) -> dict[str, Any]:
    def texts(values: Mapping[str, str]) -> dict[str, meta.Datum]:
        return {name: meta.Datum(value=value, type="string") for name, value in values.items()}

    return {
        "method": meta.Datum(value=request.method, type="string"),
        "url": meta.Datum(value=request.url, type="string"),
        "headers": texts(request.headers),
        "query": texts(request.params),
        "params": texts(request.route_params),
        "body": meta.Datum(value=request.body, type="bytes"),
    }


def _from_library(data: meta.Datum | None) -> Datum:
    if data is None or data.type is None or data.value is None:
        return None
    value: Any = data.value
    if data.type == "http":
        headers = [(str(name), str(text.value)) for name, text in value["headers"].items()]
        headers += [("set-cookie", text) for jar in value["cookies"] or () for text in cookie_headers(jar)]
        return HttpResponseData(status=int(value["status_code"].value), headers=tuple(headers), body=value["body"].value)
    if data.type == "json":
        return JsonText(value)
    if data.type in {"string", "bytes"}:
        return value  # type: ignore[no-any-return]
    raise TypeError(f"unexpected type of data from a converter: {data.type!r}")


def cookie_headers(jar: SimpleCookie) -> list[str]:
    """`Set-Cookie` values as ASP.NET writes them: quotes gone, value percent-encoded, attributes in its own order and lower case."""
    return [_cookie_header(name, morsel) for name, morsel in jar.items()]


def _expires(text: str) -> str:
    for form in _EXPIRES_FORMATS:
        try:
            moment = datetime.strptime(text, form)  # noqa: DTZ007 - every form says GMT
        except ValueError:
            continue
        return format_datetime(moment.replace(tzinfo=UTC), usegmt=True)
    raise ValueError(f'the cookie attribute expires is not in one of the accepted forms: "{text}"')


def _cookie_header(name: str, morsel: Morsel[str]) -> str:
    parts = [f"{quote(name, safe='')}={quote(morsel.value, safe='')}"]
    if morsel["expires"]:
        parts.append(f"expires={_expires(morsel['expires'])}")
    if morsel["max-age"]:
        parts.append(f"max-age={int(morsel['max-age'])}")
    parts += [f"domain={morsel['domain']}", f"path={morsel['path']}"]
    if morsel["secure"]:
        parts.append("secure")
    if morsel["samesite"].lower() in {"lax", "strict", "none"}:
        parts.append(f"samesite={morsel['samesite'].lower()}")
    if morsel["httponly"]:
        parts.append("httponly")
    return "; ".join(parts)
