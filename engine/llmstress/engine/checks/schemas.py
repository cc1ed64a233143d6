"""JSON Schema, by the package `jsonschema`, which is imported only where a check needs it."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

_MOST_NESTING = 100
"""Levels of a schema. The validator calls itself for each of them."""

MISSING = "a JSON Schema is checked with the package jsonschema: pip install 'llmstress[checks]'"


def validator_of(schema_text: str) -> Callable[[Any], str]:
    """The function that gives what the schema does not allow in a value of JSON; empty: it allows the value.

    A schema without `$schema` is read as draft 2020-12. Nothing is loaded from outside of the schema.

    Raises:
        ValueError: the text is not a schema, it refers to something outside, or the package is not installed.
    """
    try:
        from jsonschema import validators
        from jsonschema.exceptions import SchemaError, best_match
        from referencing import Registry
        from referencing.exceptions import Unresolvable
    except ImportError as error:
        raise ValueError(MISSING) from error
    try:
        schema = msgspec.json.decode(schema_text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from error
    if not isinstance(schema, dict | bool):
        raise ValueError("a JSON Schema is an object")
    for reference in _references_in(schema):
        if not reference.startswith("#"):
            raise ValueError(f"it refers to {reference[:80]!r}, but a schema must be complete in its file")
    kind = validators.validator_for(schema, default=validators.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"it is not a JSON Schema: {error.json_path}: {error.message[:200]}") from error
    validator = kind(schema, registry=Registry())
    try:
        for reference in _references_in(schema):
            validator.evolve(schema={"$ref": reference}).is_valid(None)
    except Unresolvable as error:
        raise ValueError(f"it refers to something that it does not have: {error}"[:200]) from error
    except RecursionError as error:
        raise ValueError("it refers to itself without end") from error

    def fault(value: Any) -> str:
        error = best_match(validator.iter_errors(value))
        return "" if error is None else f"{error.json_path}: {error.message}"

    return fault


def _references_in(schema: Any, depth: int = 0) -> Iterator[str]:
    """Every `$ref` and `$dynamicRef`.

    Raises:
        ValueError: the schema is nested too deeply.
    """
    if depth > _MOST_NESTING:
        raise ValueError(f"it has more than {_MOST_NESTING} levels")
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            yield from _references_in(value, depth + 1)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references_in(value, depth + 1)
