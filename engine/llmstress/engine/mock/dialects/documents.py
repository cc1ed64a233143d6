"""Generates a small JSON value that matches a JSON Schema; the same schema always gives the same value. Pure."""

import math
import re
from typing import Any

import msgspec

from llmstress.engine.mock.dialects.answer_spec import words

_DEEPEST = 40
"""Maximum depth of values and references."""
_SHALLOW = 6
"""Depth from which on optional values are left out, so that recursive schemas end."""
_MOST_VALUES = 10_000
_LONGEST = 100_000
"""Maximum length of a string."""
_UNIT = 16
"""Number of characters that count as one value."""

_LARGEST = 1 << 53
_LEAST_STEP = 1e-9

_FORMATS = {
    "date-time": "2026-01-31T09:14:07Z",
    "date": "2026-01-31",
    "time": "09:14:07Z",
    "duration": "PT1S",
    "email": "mock@example.com",
    "idn-email": "mock@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uri-reference": "/",
    "json-pointer": "",
    "regex": "",
    "binary": "",
    "byte": "",
}
_CANDIDATES = [
    *_FORMATS.values(),
    *(sign * count for count in range(1, 17) for sign in "a0A"),
    "a-0",
    "a_0",
    "Aa",
    "a a",
]
"""Strings that are tried if the schema has a pattern."""

_MEMBERS_OF_TYPE = {
    "object": ("properties", "required", "additionalProperties", "minProperties"),
    "array": ("items", "prefixItems", "minItems"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength", "pattern", "format"),
}
_CHOICES = ("anyOf", "oneOf")


def document(schema: Any) -> str:
    """The JSON text of a value that matches `schema`.

    Raises:
        ValueError: no small value matches, or the schema is invalid or not supported.
    """
    try:
        return msgspec.json.encode(_Maker(schema).make(schema, 0, 0)).decode()
    except RecursionError:
        raise ValueError("the schema is too deeply nested") from None


class _Maker:
    """Generates one value."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = _MOST_VALUES

    def make(self, schema: Any, depth: int, turn: int) -> Any:
        """A value that matches `schema`, at depth `depth`. Other values of `turn` give other values where possible."""
        self._charge(1)
        if depth > _DEEPEST:
            raise ValueError("the schema requires too large a value")
        if schema is True:
            schema = {}
        if not isinstance(schema, dict):
            raise ValueError("the schema allows nothing" if schema is False else "a schema has to be an object")
        if "$ref" in schema:
            rest = {name: value for name, value in schema.items() if name != "$ref"}
            return self.make(_merged([self._reference_target(schema["$ref"]), rest]), depth + 1, turn)
        if "allOf" in schema:
            rest = {name: value for name, value in schema.items() if name != "allOf"}
            return self.make(
                _merged([self._resolved(part) for part in _list(schema, "allOf")] + [rest]), depth + 1, turn
            )
        for word in _CHOICES:
            if word in schema:
                return self._choose(schema, word, depth, turn)
        if "const" in schema:
            return self._charged(schema["const"])
        if "enum" in schema:
            values = _list(schema, "enum")
            if not values:
                raise ValueError("an enum is empty")
            return self._charged(values[turn % len(values)])
        return self._make_of_type(_type_of(schema, deep=depth >= _SHALLOW), schema, depth, turn)

    def _make_of_type(self, kind: str, schema: dict[str, Any], depth: int, turn: int) -> Any:
        match kind:
            case "object":
                return self._object(schema, depth, turn)
            case "array":
                return self._array(schema, depth, turn)
            case "string":
                return self._charged(_string(schema, turn))
            case "integer" | "number":
                return _number(schema, turn, whole=kind == "integer")
            case "boolean":
                return turn % 2 == 0
            case "null":
                return None
        raise ValueError(f"the type {kind[:40]!r} is not a JSON type")

    def _choose(self, schema: dict[str, Any], word: str, depth: int, turn: int) -> Any:
        rest = {name: value for name, value in schema.items() if name != word}
        alternatives = _list(schema, word)
        if depth >= _SHALLOW:  # alternatives without nested values first
            alternatives = sorted(alternatives, key=lambda each: not (isinstance(each, dict) and _is_simple(each)))
        why = ValueError(f"{word} has no alternative")
        for alternative in alternatives:
            try:
                return self.make(_merged([self._resolved(alternative), rest]), depth + 1, turn)
            except ValueError as problem:
                why = problem
        raise why

    def _object(self, schema: dict[str, Any], depth: int, turn: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        if not isinstance(properties, dict):
            raise ValueError("properties have to be an object")
        required = [name for name in _list(schema, "required") if isinstance(name, str)]
        more = schema.get("additionalProperties", True)
        made: dict[str, Any] = {}
        for name, inner in properties.items():
            if name in required:
                made[name] = self.make(inner, depth + 1, turn)
            elif depth < _SHALLOW:
                try:
                    made[name] = self.make(inner, depth + 1, turn)
                except ValueError:
                    continue  # an optional member may be left out
        self._charge(sum(map(len, made)) // _UNIT)
        for name in [*required, *(f"key{i}" for i in range(_count(schema, "minProperties", 0) - len(made)))]:
            if name not in made:
                made[name] = self.make(more, depth + 1, turn)
        return made

    def _array(self, schema: dict[str, Any], depth: int, turn: int) -> list[Any]:
        first = _list(schema, "prefixItems")
        items = schema.get("items", True)
        least = _count(schema, "minItems", 0)
        wanted = max(least, len(first), 1 if depth < _SHALLOW and items is not False else 0)
        wanted = min(wanted, _count(schema, "maxItems", wanted))
        made: list[Any] = []
        for number in range(wanted):
            inner = first[number] if number < len(first) else items
            try:
                made.append(self.make(inner, depth + 1, turn + number if schema.get("uniqueItems") else turn))
            except ValueError:
                if number < least:
                    raise
                break
        return made

    def _charged(self, value: Any) -> Any:
        self._charge(len(msgspec.json.encode(value)) // _UNIT)
        return value

    def _charge(self, values: int) -> None:
        """Limit the size of the result: nested references could multiply it without end."""
        self._left -= values
        if self._left < 0:
            raise ValueError("the schema requires too large a value")

    def _resolved(self, schema: Any) -> Any:
        """A part of `allOf`, `anyOf` or `oneOf` with its references resolved."""
        seen = 0
        while isinstance(schema, dict) and "$ref" in schema:
            seen += 1
            if seen > _DEEPEST:
                raise ValueError("a reference leads to itself")
            rest = {name: value for name, value in schema.items() if name != "$ref"}
            schema = _merged([self._reference_target(schema["$ref"]), rest])
        return schema

    def _reference_target(self, reference: Any) -> Any:
        """The schema that a reference such as `#/$defs/Name` points to."""
        if not (isinstance(reference, str) and reference.startswith("#")):
            raise ValueError("only references within the schema (#/...) are supported")
        value = self._root
        for step in reference[1:].split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if not (isinstance(value, dict) and step in value):
                raise ValueError(f"{reference[:80]!r} does not exist in the schema")
            value = value[step]
        return value


def _merged(schemas: list[Any]) -> Any:
    """One schema for all of `schemas`. Later members replace earlier ones; `properties` and `required` are joined."""
    found: dict[str, Any] = {}
    for schema in schemas:
        if schema is False:
            return False
        if not isinstance(schema, dict):
            continue
        for name, value in schema.items():
            if name == "properties" and isinstance(found.get(name), dict) and isinstance(value, dict):
                found[name] = {**found[name], **value}
            elif name == "required" and isinstance(found.get(name), list) and isinstance(value, list):
                found[name] = [*found[name], *value]
            else:
                found[name] = value
    return found


def _type_of(schema: dict[str, Any], *, deep: bool) -> str:
    kind = schema.get("type")
    if isinstance(kind, list) and kind:
        others = [each for each in kind if each != "null"]
        kind = "null" if others != kind and (deep or not others) else others[0]
    if kind is None:
        kind = next(
            (kind for kind, names in _MEMBERS_OF_TYPE.items() if any(name in schema for name in names)), "string"
        )
    if not isinstance(kind, str):
        raise ValueError("a type has to be a string")
    return kind


def _is_simple(schema: dict[str, Any]) -> bool:
    return schema.get("type") in ("null", "boolean", "integer", "number", "string") or not schema.keys().isdisjoint(
        ("const", "enum")
    )


def _list(schema: dict[str, Any], name: str) -> list[Any]:
    value = schema.get(name, [])
    if not isinstance(value, list):
        raise ValueError(f"{name} has to be a list")
    return value


def _count(schema: dict[str, Any], name: str, otherwise: int) -> int:
    value = schema.get(name, otherwise)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1 or value < 0:
        raise ValueError(f"{name} has to be a non-negative integer")
    if value > max(_LONGEST, otherwise) and name.startswith("min"):
        raise ValueError("the schema requires too large a value")
    return int(min(value, _LONGEST))


def _string(schema: dict[str, Any], turn: int) -> str:
    least = _count(schema, "minLength", 0)
    most = _count(schema, "maxLength", _LONGEST)
    if least > most:
        raise ValueError("minLength is more than maxLength")
    text = words(turn, 1 + least // 5).strip().ljust(least, ".")[:most]
    made = _FORMATS.get(str(schema.get("format")), text)
    made = made if least <= len(made) <= most else text
    pattern = schema.get("pattern")
    if pattern is None:
        return made
    try:
        matches = re.compile(pattern).search
    except (re.error, TypeError, OverflowError, RecursionError):
        raise ValueError("a pattern is not a regular expression") from None
    for candidate in [made, *_CANDIDATES]:
        if least <= len(candidate) <= most and matches(candidate):
            return candidate
    raise ValueError(f"the pattern {pattern[:80]!r} is not supported: no simple string matches it")


def _number(schema: dict[str, Any], turn: int, *, whole: bool) -> int | float:
    """The smallest allowed number, else the largest; `turn` selects a later one where possible."""
    low, high = _bound(schema, "minimum"), _bound(schema, "maximum")
    above, below = _bound(schema, "exclusiveMinimum"), _bound(schema, "exclusiveMaximum")
    step = _bound(schema, "multipleOf")
    step = 1 if step is None and whole else step
    if step is not None and step < _LEAST_STEP:
        raise ValueError(f"multipleOf has to be at least {_LEAST_STEP:g}")
    if whole and step is not None and step != step // 1:
        step = 1 if 1 / step == 1 / step // 1 else step  # every integer is a multiple of 0.5
    floor = max((each for each in (low, above) if each is not None), default=None)
    ceiling = min((each for each in (high, below) if each is not None), default=None)

    def fits(value: int | float) -> bool:
        return (
            (low is None or value >= low)
            and (above is None or value > above)
            and (high is None or value <= high)
            and (below is None or value < below)
        )

    if step is not None:
        first = math.ceil(floor / step) if floor is not None else 1
        if ceiling is not None and floor is None:
            first = min(1, math.floor(ceiling / step))
        tries = [step * (first + offset) for offset in (turn, 0, 1, -1)]
    else:
        base = 1.0 if floor is None else floor
        tries = [base + turn, base, base + 1]
        if ceiling is not None:
            tries += [ceiling, ceiling - 1, (base + ceiling) / 2]
    for value in tries:
        if fits(value) and math.isfinite(value):
            return int(value) if value == value // 1 else value
    raise ValueError("no number matches the schema")


def _bound(schema: dict[str, Any], name: str) -> int | float | None:
    value = schema.get(name)
    if value is None or isinstance(value, bool):
        return None
    if not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise ValueError(f"{name} has to be a number up to {_LARGEST}")
    return value
