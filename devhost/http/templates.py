"""ASP.NET Core route templates: `items/{id:int}`, `{a}/{b?}`, `{n=1}`, `{name}.{ext}`, `{*rest}`.

Matching ignores case and a trailing slash; parameters keep the spelling of the template; values are what the path has, decoded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from devhost.http.constraints import BadConstraint, Constraint, parse_constraint

_PARAMETER_NAME = re.compile(r"[^/{}?*:=]+")


class BadTemplate(ValueError):
    """A template the real host does not accept; it then serves no route at all."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A `{parameter}` of a template."""

    name: str
    constraints: tuple[Constraint, ...] = ()
    default: str | None = None
    is_optional: bool = False
    is_catch_all: bool = False


@dataclass(frozen=True, slots=True)
class _Segment:
    """One part between slashes: a literal, one parameter, or several parameters with text between."""

    literal: str | None = None
    parameter: Parameter | None = None
    patterns: tuple[re.Pattern[str], ...] = ()
    """For several parameters: with the optional last one, and without."""
    parameters: tuple[Parameter, ...] = ()


class RouteTemplate:
    """A parsed template; `match` gives the route values of a path."""

    def __init__(self, text: str) -> None:
        """Raises:
        BadTemplate: with the reason.
        """
        self.text = text
        if text.startswith("~") and not text.startswith("~/"):
            raise BadTemplate(f"the route template {text!r} must not start with '~'")
        text = text.removeprefix("~").removeprefix("/")
        if "?" in re.sub(r"\{[^{}]*\}", "", text):
            raise BadTemplate(f"the route template {text!r} must not contain '?' outside a parameter")
        self._segments = [_parse_segment(part, text) for part in _split(text)]
        self.parameters = [p for s in self._segments for p in ((s.parameter,) if s.parameter else s.parameters)]
        seen: set[str] = set()
        for parameter in self.parameters:
            if parameter.name.lower() in seen:
                raise BadTemplate(f"the route template {text!r} has the parameter {parameter.name!r} twice")
            seen.add(parameter.name.lower())
        for parameter in self.parameters[:-1]:
            if parameter.is_catch_all:
                raise BadTemplate(f"in the route template {text!r} the catch-all {parameter.name!r} has to be the last segment")

    def match(self, path: str) -> dict[str, str] | None:
        """Route values for a decoded path (starting with `/`); None when it does not match or a constraint says no."""
        values: dict[str, str] = {p.name: p.default for p in self.parameters if p.default is not None}
        if not self._match_segments(path, values):
            return None
        for parameter in self.parameters:
            value = values.get(parameter.name)
            if value is not None and not all(test(value) for test in parameter.constraints):
                return None
        return values

    def _match_segments(self, path: str, values: dict[str, str]) -> bool:
        rest = path[1:]
        for segment in self._segments:
            if not rest:  # a trailing slash counts for nothing
                if not _may_be_absent(segment):
                    return False
                continue
            if segment.parameter is not None and segment.parameter.is_catch_all:
                values[segment.parameter.name] = rest
                return True
            part, _, rest = rest.partition("/")
            if not _match_one(segment, part, values):
                return False
        return not rest


def _may_be_absent(segment: _Segment) -> bool:
    parameter = segment.parameter
    return parameter is not None and (parameter.is_optional or parameter.is_catch_all or parameter.default is not None)


def _match_one(segment: _Segment, part: str, values: dict[str, str]) -> bool:
    if segment.literal is not None:
        return part.lower() == segment.literal.lower()
    if not part:
        return False
    if segment.parameter is not None:
        values[segment.parameter.name] = part
        return True
    for pattern in segment.patterns:
        if match := pattern.fullmatch(part):
            values.update({p.name: text for p, text in zip(segment.parameters, match.groups(), strict=False)})
            return True
    return False


def _split(text: str) -> list[str]:
    """The segments of a template; slashes inside a parameter (in a regular expression) do not separate."""
    text = text.rstrip("/")
    if not text:
        return []
    segments, depth, current = [], 0, ""
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "/" and depth <= 0:
            segments.append(current)
            current = ""
        else:
            current += character
    segments.append(current)
    if any(not segment for segment in segments):
        raise BadTemplate(f"the route template {text!r} must not have an empty segment")
    return segments


def _parse_segment(part: str, template: str) -> _Segment:
    pieces = _pieces(part, template)
    parameters = tuple(piece for piece in pieces if isinstance(piece, Parameter))
    if not parameters:
        return _Segment(literal="".join(str(piece) for piece in pieces))
    if len(pieces) == 1:
        return _Segment(parameter=parameters[0])
    texts = [""]
    for index, piece in enumerate(pieces):
        if not isinstance(piece, Parameter):
            texts[-1] += re.escape(piece)
        elif piece.is_catch_all:
            raise BadTemplate(f"in the route template {template!r} the catch-all {piece.name!r} has to be a segment of its own")
        elif index and isinstance(pieces[index - 1], Parameter):
            raise BadTemplate(f"in the route template {template!r} two parameters follow each other without text between them")
        elif not piece.is_optional:
            texts[-1] += "(.+)"
        elif index + 1 != len(pieces) or pieces[index - 1] != ".":
            raise BadTemplate(f"in the route template {template!r} the optional parameter {piece.name!r} may only follow a '.'")
        else:  # `{name}.{ext?}`: without the extension, the dot before it goes too
            texts = [texts[-1] + "(.+)", texts[-1].removesuffix(re.escape("."))]
    return _Segment(patterns=tuple(re.compile(text, re.IGNORECASE | re.DOTALL) for text in texts), parameters=parameters)


def _pieces(part: str, template: str) -> list[str | Parameter]:
    """Literal texts and parameters in turn; `{{` and `}}` stand for braces, inside a parameter too."""
    pieces: list[str | Parameter] = []
    literal = ""
    position = 0
    while position < len(part):
        character = part[position]
        if part[position : position + 2] in ("{{", "}}"):
            literal += character
            position += 2
        elif character == "{":
            end = _closing_brace(part, position)
            if end < 0:
                raise BadTemplate(f"the route template {template!r} has a '{{' without '}}'")
            if literal:
                pieces.append(literal)
                literal = ""
            pieces.append(_parse_parameter(part[position + 1 : end].replace("{{", "{").replace("}}", "}"), template))
            position = end + 1
        elif character == "}":
            raise BadTemplate(f"the route template {template!r} has a '}}' without '{{'")
        else:
            literal += character
            position += 1
    return [*pieces, literal] if literal else pieces


def _closing_brace(part: str, start: int) -> int:
    position = start + 1
    while position < len(part):
        if part[position : position + 2] in ("{{", "}}") and not (part[position] == "}" and part[position + 2 : position + 3] == ""):
            position += 2
        elif part[position] == "}":
            return position
        else:
            position += 1
    return -1


def _parse_parameter(text: str, template: str) -> Parameter:
    name = text.lstrip("*")
    is_catch_all = name != text
    match = _PARAMETER_NAME.match(name)
    if match is None:
        raise BadTemplate(f"the route template {template!r} has a parameter without a valid name: {{{text}}}")
    rest = name[match.end() :]
    constraints: list[Constraint] = []
    while rest.startswith(":"):
        constraint, rest = _take_constraint(rest[1:])
        try:
            constraints.append(parse_constraint(constraint))
        except BadConstraint as error:
            raise BadTemplate(f"the route template {template!r} cannot be used: {error}") from None
    default = None
    if rest.startswith("="):
        default, rest = rest[1:], ""
    is_optional = rest == "?"
    if (rest and not is_optional) or (is_optional and is_catch_all):
        raise BadTemplate(f"the route template {template!r} has a parameter that cannot be read: {{{text}}}")
    return Parameter(match.group(), tuple(constraints), default, is_optional, is_catch_all)


def _take_constraint(text: str) -> tuple[str, str]:
    """One constraint from the front of `text`, and the rest; colons, `=` and `?` inside parentheses belong to it."""
    depth = 0
    for position, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth <= 0 and character in ":=?":
            return text[:position], text[position:]
    return text, ""
