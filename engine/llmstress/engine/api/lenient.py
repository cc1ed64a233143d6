"""What servers send as JSON, read leniently: shared by the API modules. Nothing in here lets an error pass that a
server can cause, but for those that are named."""

import functools
import json
import re
from typing import Any, NoReturn, TypeVar

import msgspec

from llmstress.engine.api.error_shapes import error_text_in, is_error, plain_text_of, text_in
from llmstress.engine.api.meaning import DONE, FOREIGN, UNKNOWN, Meaning

_decode_any = msgspec.json.Decoder().decode

_Kind = TypeVar("_Kind")

_MOST_TOKENS = 1 << 40
"""A token count above this is none: sums of them must fit into 64 bits."""

_PING = re.compile(
    rb"(?:.*[._:-])?(?:ping|pong|heart[._ -]?beat|keep[._ -]?alive|no[._-]?op|alive|tick)", re.IGNORECASE
)
"""Names of events that say that the server is still there."""

_WORD = re.compile(rb"[A-Za-z\x80-\xff]{3}")
"""What dates and numbers lack."""

_BEGINS_AS_JSON = re.compile(rb"\s*(?:\{|\[\s*(?:[\[{\"]|$))")
"""How an object begins, or a list of anything that isn't a bare word: `[PING]` is none, and no JSON that broke off."""

_LAST_WORD = re.compile(rb"\s*(?:\[DONE\]|\"\[DONE\]\")", re.IGNORECASE)
"""What most servers write without a blank, a quote or small letters."""

_MOST_OF_A_NAME = 60
"""Bytes of an event's name that is looked at: longer ones aren't kept."""

_PAYLOAD = frozenset(("choices", "usage", "output", "content", "delta", "item"))
"""Members of an answer: what they hold are no words of an error beside them."""

_NO_FINISH = frozenset(("", "null", "none", "nil", "undefined"))


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


def is_ping(name: bytes) -> bool:
    """Whether an event of this name only says that the server is still there."""
    return 0 < len(name) <= _MOST_OF_A_NAME and _is_ping(name)


@functools.lru_cache(maxsize=256)
def _is_ping(name: bytes) -> bool:
    return _PING.fullmatch(name) is not None


def is_informative(data: bytes, name: bytes) -> bool:
    """Whether a foreign event says more than that the server is still there."""
    if is_ping(name) or data.startswith((b"{", b":")) or not _WORD.search(data):
        return False
    said = data.strip(b' []"')
    return said not in (b"null", b"true", b"false") and not is_ping(said)


def read_odd(data: bytes, name: bytes) -> Meaning | dict[str, Any]:
    """What is none of an API's common events: its meaning if it is the last word, an error, a ping, or no object; else
    the object, which only the API understands."""
    if data.startswith(b"[DONE]") or _LAST_WORD.match(data):
        return DONE
    if name.lower() == b"error":
        return named_error(data)
    try:
        value = read_json(data)
    except (ValueError, RecursionError) as fault:
        return not_json(fault, data) if _BEGINS_AS_JSON.match(data) and not is_ping(name) else FOREIGN
    if isinstance(value, dict) and (is_error(value.get("error")) or value.get("object") == "error"):
        return error_event({name: each for name, each in value.items() if name not in _PAYLOAD})
    if is_ping(name) or not isinstance(value, dict | list):
        return FOREIGN
    return value if isinstance(value, dict) else unknown(data)


def fitted(value: Meaning | dict[str, Any], kind: type[_Kind]) -> Meaning | _Kind:
    """What `read_odd` gave, its object as the type that the API declares; what doesn't fit into that is unknown."""
    if isinstance(value, Meaning):
        return value
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return UNKNOWN


def unknown(data: bytes) -> Meaning:
    """The meaning of JSON in which the API finds none of its own fields: an error in any of the usual shapes, a ping,
    or an unknown event."""
    try:
        value = read_json(data)
        if words := error_text_in(value):
            return Meaning(error=words)
    except (ValueError, RecursionError):
        return UNKNOWN
    kinds = (value.get("type"), value.get("event")) if isinstance(value, dict) else ()
    return FOREIGN if any(isinstance(kind, str) and is_ping(kind.encode()) for kind in kinds) else UNKNOWN


def unreadable_answer(what: str, body: bytes) -> Meaning:
    """The meaning of a whole answer that the API can't read: an error in any of the usual shapes; else it is malformed.
    `what` says what it isn't; the server's words follow."""
    try:
        value = read_json(body)
        if words := error_text_in(value):
            return Meaning(error=words)
        words = text_in(value)
    except (ValueError, RecursionError):
        words = plain_text_of(body)
    return Meaning(malformed=f"{what}: {words}" if words else what)


def text_of_data(data: bytes) -> str:
    """The words of the data of an event that the API doesn't know, whatever it is."""
    try:
        return text_in(read_json(data))
    except (ValueError, RecursionError):
        return plain_text_of(data)


def named_error(data: bytes) -> Meaning:
    """The meaning of an event whose name says that it is an error."""
    try:
        value = read_json(data)
    except (ValueError, RecursionError):
        return error_event(plain_text_of(data))
    return error_event(value)


def not_json(fault: Exception, data: bytes) -> Meaning:
    """The meaning of what should be JSON and isn't."""
    why = "a page" if data.lstrip()[:1] == b"<" else str(fault)
    return Meaning(malformed=f"not JSON ({why}): {plain_text_of(data)[:800]}")


def error_event(value: Any) -> Meaning:
    """The meaning of an error, whatever its shape: a value of `error`, or an object that has one among its members."""
    try:
        text = text_in(value)
    except (ValueError, RecursionError):
        text = ""
    return Meaning(error=text or "an error without words")


def finish_in(value: Any) -> str:
    """A finish reason; empty: it is none. Some servers write null as a word."""
    return value if isinstance(value, str) and value.lower() not in _NO_FINISH else ""


def count_in(counts: Any, name: str) -> int | None:
    """The token count of that name in an object; None: it is no count, or there is no object."""
    value = counts.get(name) if isinstance(counts, dict) else None
    return int(value) if isinstance(value, int | float) and 0 <= value <= _MOST_TOKENS else None


def _in_range(digits: str) -> float:
    return int(digits) if len(digits) < 16 and digits.lstrip("-").isdigit() else max(-1e300, min(float(digits), 1e300))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
