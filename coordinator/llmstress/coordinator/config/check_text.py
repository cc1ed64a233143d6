"""Parsers for the texts of `--check` and `--abandon-after`."""

from collections.abc import Callable

import msgspec

from llmstress.coordinator.config.load_text import parse_think_time
from llmstress.engine.checks.check import Check, split_check
from llmstress.engine.checks.schemas import validator_of
from llmstress.engine.control import Think


def parse_check(text: str, read: Callable[[str], str]) -> Check:
    """The check of `contains:TEXT`, `min-tokens:16` and the like.

    read: gives the content of the file of a name; raises ValueError if it can't.

    Raises:
        ValueError: the text has another form, or the file of a JSON Schema has none.
    """
    check = split_check(text)
    if check.kind != "json-schema":
        return check
    schema = read(check.value.strip())
    try:
        validator_of(schema)
    except ValueError as error:
        raise ValueError(f"{check.value.strip()}: {error}") from error
    return msgspec.structs.replace(check, value=schema)


def parse_abandon_after(text: str) -> Think:
    """The time of `5s`, `1s..10s` (uniform) or `exp:5s` (exponential with this mean).

    Raises:
        ValueError: the text has another form, or the time is 0.
    """
    try:
        after = parse_think_time(text)
    except ValueError as error:
        raise ValueError(str(error).replace("is not a pause", "is not a time")) from error
    if not after.exponential and not after.high_ns:
        raise ValueError(f"{text!r} is 0: nobody leaves before the request has begun")
    return after
