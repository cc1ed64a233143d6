"""What servers send as JSON, read leniently: shared by the API modules. Nothing in here lets an error pass that a
server can cause, but for those that are named."""

import json
from typing import Any, NoReturn, TypeVar

import msgspec

from llmstress.engine.api.event import DONE, NOTHING, UNKNOWN, Event

_decode_any = msgspec.json.Decoder().decode

_Kind = TypeVar("_Kind")

_MOST_TOKENS = 1 << 40
"""A token count above this is none: sums of them must fit into 64 bits."""


def read_json(data: bytes) -> Any:
    """The value of any JSON text.

    Raises:
        ValueError: it is none.
        RecursionError: it is nested too deeply.
    """
    try:
        return _decode_any(data)
    except ValueError:
        # The grammar allows what msgspec refuses, and servers send it: half a surrogate pair where an emoji was cut in
        # two, numbers that no machine has. Bytes that are no UTF-8 are U+FFFD to a reader of event streams.
        text = data.decode("utf-8", "replace")
        value = json.loads(text, parse_int=_in_range, parse_float=_in_range, parse_constant=_refuse)
        return _decode_any(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def read_odd(data: bytes, name: bytes) -> Event | dict[str, Any]:
    """What is none of an API's common events: its meaning if it is the last word, an error, or no object; else the
    object, which only the API understands."""
    if data.startswith(b"[DONE]"):
        return DONE
    if name == b"error":
        return named_error(data)
    try:
        value = read_json(data)
    except (ValueError, RecursionError) as fault:
        return no_json(fault, data) if data.strip() else NOTHING
    if not isinstance(value, dict):
        return UNKNOWN
    if value.get("error"):
        return error_event(value["error"])
    return error_event(value) if value.get("object") == "error" else value


def fitted(value: Event | dict[str, Any], kind: type[_Kind]) -> Event | _Kind:
    """What `read_odd` gave, its object as the type that the API declares; what doesn't fit into that is unknown."""
    if isinstance(value, Event):
        return value
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return UNKNOWN


def named_error(data: bytes) -> Event:
    """The meaning of an event whose name says that it is an error."""
    try:
        value = read_json(data)
    except (ValueError, RecursionError):
        return error_event(data.decode("utf-8", "replace"))
    return error_event((value.get("error") if isinstance(value, dict) else None) or value)


def no_json(fault: Exception, data: bytes) -> Event:
    """The meaning of what should be JSON and isn't."""
    return Event(malformed=f"not JSON ({fault}): {data[:800]!r}")


def error_event(value: Any) -> Event:
    """The meaning of an `error` value, whatever its shape: message and code of an object, else its JSON."""
    try:
        text = _words_of(value)
    except (ValueError, RecursionError):
        text = ""
    return Event(error=text or "an error without words")


def count_in(counts: Any, name: str) -> int | None:
    """The token count of that name in an object; None: it is no count, or there is no object."""
    value = counts.get(name) if isinstance(counts, dict) else None
    return int(value) if isinstance(value, int | float) and 0 <= value <= _MOST_TOKENS else None


def _words_of(error: Any) -> str:
    if isinstance(error, str):
        return error
    if isinstance(error, dict):
        words = [str(error[key]) for key in ("code", "type", "message") if error.get(key)]
        if words:
            return ": ".join(words)
    return msgspec.json.encode(error).decode()


def _in_range(digits: str) -> float:
    return int(digits) if len(digits) < 16 and digits.lstrip("-").isdigit() else max(-1e300, min(float(digits), 1e300))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
