"""JSON that the mock generates for a schema: it matches the schema, or an error says why there is none."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.mock.dialects.documents import document

TREE = {
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            },
            "required": ["name", "children"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/Node",
}
LIST = {
    "type": "object",
    "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
    "required": ["next"],
}


def wide(**more: Any) -> dict[str, Any]:
    """A schema of thirty levels, each of which contains the next one twice."""
    defs: dict[str, Any] = {"D30": {"type": "integer"}}
    for level in range(30):
        inner = {"$ref": f"#/$defs/D{level + 1}"}
        defs[f"D{level}"] = {"type": "object", "properties": {"a": inner, "b": inner}, **more}
    return {"$defs": defs, "$ref": "#/$defs/D0"}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string"}, '"tok0"'),
        ({"type": "integer"}, "1"),
        ({"type": "number"}, "1"),
        ({"type": "boolean"}, "true"),
        ({"type": "null"}, "null"),
        ({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}, '{"a":"tok0","b":1}'),
        ({"type": "array", "items": {"type": "integer"}}, "[1]"),
        ({"enum": ["red", "green"]}, '"red"'),
        ({"const": {"x": [1]}}, '{"x":[1]}'),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "1"),
        ({"type": ["string", "null"]}, '"tok0"'),
        ({"properties": {"a": {"const": 1}}, "required": ["a"]}, '{"a":1}'),
        ({"type": "array", "prefixItems": [{"const": "a"}, {"const": 2}], "items": False}, '["a",2]'),
        ({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]}, '{"a":1,"b":2}'),
        (True, '"tok0"'),
        ({}, '"tok0"'),
    ],
)
def test_what_is_made_of_a_schema(schema: Any, text: str) -> None:
    assert document(schema) == text


@pytest.mark.parametrize(
    "schema",
    [
        TREE,
        LIST,
        wide(),
        {"type": "array", "items": {"type": "string"}, "minItems": 3, "uniqueItems": True},
        {"type": "array", "items": {"type": "integer", "minimum": 5, "maximum": 9}, "minItems": 4, "uniqueItems": True},
        {"type": "string", "minLength": 40, "maxLength": 41},
        {"type": "string", "maxLength": 2},
        {"type": "string", "pattern": r"^\d{4}$"},
        {"type": "string", "pattern": r"^[A-Z]{2,3}$"},
        *(
            {"type": "string", "format": name}
            for name in ("date-time", "date", "time", "email", "ipv4", "ipv6", "uuid")
        ),
        {"type": "integer", "minimum": 10},
        {"type": "integer", "maximum": -3},
        {"type": "integer", "exclusiveMinimum": 10, "exclusiveMaximum": 12},
        {"type": "integer", "multipleOf": 7, "minimum": 20},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5},
        {"type": "number", "maximum": -0.5},
        {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
        {"type": "object", "required": ["x"], "additionalProperties": {"type": "boolean"}},
        {"oneOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"type": "object", "properties": {"k": {"const": "a"}}}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/A~1B"}}, "$defs": {"A/B": {"type": "integer"}}},
    ],
)
def test_what_is_made_fulfils_the_schema(schema: Any) -> None:
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.validate(json.loads(document(schema)), schema, jsonschema.Draft202012Validator, format_checker=checker)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (False, "allows nothing"),
        ([], "has to be an object"),
        ({"type": "text"}, "not a JSON type"),
        ({"type": 5}, "has to be a string"),
        ({"$ref": "#/$defs/None"}, "does not exist"),
        ({"$ref": "https://example.com/schema"}, "within the schema"),
        ({"$ref": "#"}, "too large a value"),
        ({"anyOf": [{"$ref": "#"}]}, "leads to itself|too large"),
        ({"anyOf": []}, "no alternative"),
        ({"enum": []}, "empty"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "too large a value"),
        (wide(required=["a", "b"]), "too large a value"),
        ({"type": "string", "minLength": 10**9}, "too large a value"),
        ({"type": "array", "items": {"type": "string", "minLength": 90_000}, "minItems": 99_999}, "too large a value"),
        ({"type": "string", "pattern": "("}, "not a regular expression"),
        ({"type": "string", "pattern": "^x{99}$"}, "no simple string"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "minLength"),
        ({"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2}, "no number"),
        ({"type": "integer", "multipleOf": 0}, "multipleOf"),
        ({"type": "number", "minimum": 10**40}, "minimum"),
        ({"required": "a"}, "has to be a list"),
        ({"properties": []}, "have to be an object"),
    ],
)
def test_what_cannot_be_fulfilled_is_refused_with_the_reason(schema: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        document(schema)


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["a", "b", "größe"])
    return st.dictionaries(names, inner, max_size=3).flatmap(
        lambda properties: st.lists(st.sampled_from([*properties, "a"]), max_size=2, unique=True).map(
            lambda required: {"type": "object", "properties": properties, "required": required}
        )
    )


INTEGERS = st.tuples(st.integers(-50, 50), st.integers(0, 30)).map(
    lambda range: {"type": "integer", "minimum": range[0], "maximum": range[0] + range[1]}
)
STRINGS = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(
    lambda range: {"type": "string", "minLength": range[0], "maxLength": range[0] + range[1]}
)
SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([{"type": name} for name in ("string", "integer", "number", "boolean", "null")])
    | INTEGERS
    | STRINGS
    | st.lists(st.integers() | st.text(max_size=3) | st.none(), min_size=1, max_size=3).map(
        lambda each: {"enum": each}
    ),
    lambda inner: (
        _objects(inner)
        | st.tuples(inner, st.integers(0, 3)).map(lambda each: {"type": "array", "items": each[0], "minItems": each[1]})
        | st.lists(inner, min_size=1, max_size=3).map(lambda each: {"anyOf": each})
    ),
    max_leaves=15,
)


@given(SCHEMAS)
def test_any_schema_that_can_be_fulfilled_is(schema: Any) -> None:
    jsonschema.validate(json.loads(document(schema)), schema, jsonschema.Draft202012Validator)


WORDS = st.sampled_from(
    [
        *("type", "properties", "required", "items", "prefixItems", "anyOf", "allOf", "oneOf", "enum", "const", "$ref"),
        *("$defs", "minItems", "minimum", "maximum", "multipleOf", "minLength", "pattern", "format", "uniqueItems"),
        "additionalProperties",
    ]
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["object", "array", "string", "integer", "#", "#/$defs", "(a+)+$"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=15,
)


@given(ANYTHING)
def test_whatever_is_called_a_schema_is_fulfilled_or_refused(schema: Any) -> None:
    try:
        text = document(schema)
    except ValueError:
        return
    json.loads(text)
    assert len(text) < 1_000_000
