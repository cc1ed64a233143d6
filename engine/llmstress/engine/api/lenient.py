"""Lenient reading of the JSON that servers send, shared by the API modules. Except where `Raises` says so, no function
here raises, whatever the data is."""

import functools
import json
import re
from typing import Any, NoReturn, TypeVar

import msgspec

from llmstress.engine.api.error_shapes import error_text_in, is_error, plain_text_of, text_in
from llmstress.engine.api.halves import text_with_halves
from llmstress.engine.api.meaning import DONE, FOREIGN, UNKNOWN, Meaning

_decode_any = msgspec.json.Decoder().decode

_Kind = TypeVar("_Kind")

_MOST_TOKENS = 1 << 40
"""A number above this is not a token count: sums of counts must fit into 64 bits."""

_PING = re.compile(
    rb"(?:.*[._:-])?(?:ping|pong|heart[._ -]?beat|keep[._ -]?alive|no[._-]?op|alive|tick)", re.IGNORECASE
)
"""Names of events that are pings."""

_WORD = re.compile(rb"[A-Za-z\x80-\xff]{3}")
"""Three letters in a row, which dates and numbers lack."""

_BEGINS_AS_JSON = re.compile(rb"\s*(?:\{|\[\s*(?:[\[{\"]|$))")
"""The beginning of an object, or of a list whose first item is not a bare word. `[PING]` is neither, so it is not taken
for JSON that broke off."""

_END_MARK = re.compile(rb"\s*(?:\[DONE\]|\"\[DONE\]\")", re.IGNORECASE)
"""The end event of OpenAI's APIs, with the variations of some servers: white space before it, quotes, small letters."""

_MOST_OF_A_NAME = 60
"""Bytes of the longest name that is compared with those of pings, so that the cache holds no long names."""

_PAYLOAD = frozenset(("choices", "usage", "output", "content", "delta", "item"))
"""Members of an answer, which are left out of the text of an error that stands beside them."""

_NO_FINISH = frozenset(("", "null", "none", "nil", "undefined"))


def read_json(data: bytes) -> Any:
    """The value of any JSON text.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    try:
        return _decode_any(data)
    except ValueError:
        # JSON allows some things that msgspec refuses and servers send: a lone surrogate where an emoji was cut in two,
        # numbers beyond every type. In an event stream, bytes that are not UTF-8 are decoded as U+FFFD.
        value = _loads(data.decode("utf-8", "replace"))
        return _decode_any(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def read_json_with_halves(data: bytes) -> Any:
    """As `read_json`, but what a server has cut in two stays as it is, for `halves.joined`: no other function may have
    the texts."""
    try:
        return _decode_any(data)
    except ValueError:
        return _loads(text_with_halves(data))


def _loads(text: str) -> Any:
    return json.loads(text, parse_int=_in_range, parse_float=_in_range, parse_constant=_refuse)


def is_ping(name: bytes) -> bool:
    """Whether an event of this name is a ping."""
    return 0 < len(name) <= _MOST_OF_A_NAME and _is_ping(name)


@functools.lru_cache(maxsize=256)
def _is_ping(name: bytes) -> bool:
    return _PING.fullmatch(name) is not None


def is_informative(data: bytes, name: bytes) -> bool:
    """Whether a foreign event has a text that may explain a failure, and is not only a ping."""
    if is_ping(name) or data.startswith((b"{", b":")) or not _WORD.search(data):
        return False
    text = data.strip(b' []"')
    return text not in (b"null", b"true", b"false") and not is_ping(text)


def read_odd(data: bytes, name: bytes) -> Meaning | dict[str, Any]:
    """Read data that is not one of an API's common events.

    Returns the meaning if it is the same in every API: the end event, an error, a ping, or data that is not an object.
    Otherwise returns the object, which only the API can interpret.
    """
    if data.startswith(b"[DONE]") or _END_MARK.match(data):
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


def converted(value: Meaning | dict[str, Any], kind: type[_Kind]) -> Meaning | _Kind:
    """The result of `read_odd` with its object converted to the API's type `kind`. An object that does not fit this
    type is unknown."""
    if isinstance(value, Meaning):
        return value
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return UNKNOWN


def unknown(data: bytes) -> Meaning:
    """The meaning of JSON in which the API finds none of its own fields: an error in one of the usual shapes, a ping,
    or an unknown event."""
    try:
        value = read_json(data)
        if text := error_text_in(value):
            return Meaning(error=text)
    except (ValueError, RecursionError):
        return UNKNOWN
    kinds = (value.get("type"), value.get("event")) if isinstance(value, dict) else ()
    return FOREIGN if any(isinstance(kind, str) and is_ping(kind.encode()) for kind in kinds) else UNKNOWN


def unreadable_answer(what: str, body: bytes) -> Meaning:
    """The meaning of a whole answer that the API can't interpret: an error if it has one of the usual shapes, malformed
    otherwise. `what` is the reason for malformed; the text of the answer is appended to it."""
    try:
        value = read_json(body)
        if text := error_text_in(value):
            return Meaning(error=text)
        text = text_in(value)
    except (ValueError, RecursionError):
        text = plain_text_of(body)
    return Meaning(malformed=f"{what}: {text}" if text else what)


def text_of_data(data: bytes) -> str:
    """The readable text of any data, JSON or not."""
    try:
        return text_in(read_json(data))
    except (ValueError, RecursionError):
        return plain_text_of(data)


def named_error(data: bytes) -> Meaning:
    """The meaning of an event with the name `error`, JSON or not."""
    try:
        value = read_json(data)
    except (ValueError, RecursionError):
        return error_event(plain_text_of(data))
    return error_event(value)


def not_json(fault: Exception, data: bytes) -> Meaning:
    """The meaning of data that should be JSON and isn't. `fault` is the decoder's exception."""
    why = "a web page" if data.lstrip()[:1] == b"<" else str(fault)
    return Meaning(malformed=f"not JSON ({why}): {plain_text_of(data)[:800]}")


def error_event(value: Any) -> Meaning:
    """The meaning of an error of any shape. `value` is the value of a member `error`, or an object that contains it."""
    try:
        text = text_in(value)
    except (ValueError, RecursionError):
        text = ""
    return Meaning(error=text or "an error without a message")


def finish_in(value: Any) -> str:
    """The finish reason in `value`; empty: none. Some servers send null as a string, `"null"` for instance."""
    return value if isinstance(value, str) and value.lower() not in _NO_FINISH else ""


def count_in(counts: Any, name: str) -> int | None:
    """The token count `name` in the object `counts`; None: it is missing or not a count, or `counts` is not an
    object."""
    value = counts.get(name) if isinstance(counts, dict) else None
    return int(value) if isinstance(value, int | float) and 0 <= value <= _MOST_TOKENS else None


def _in_range(digits: str) -> float:
    """A number in JSON: an integer of up to 15 digits unchanged, any other as a float, limited to ±1e300."""
    return int(digits) if len(digits) < 16 and digits.lstrip("-").isdigit() else max(-1e300, min(float(digits), 1e300))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
