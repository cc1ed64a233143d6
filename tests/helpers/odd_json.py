"""JSON that servers should not send, put at any place of the events that an API reads."""

import json
from typing import Any

import msgspec
from hypothesis import strategies as st

from llmstress.engine.api.base import Api
from llmstress.engine.api.meaning import Meaning

KEYS = [
    *("choices", "delta", "content", "error", "usage", "text", "object", "type", "response", "item", "message"),
    *("status", "output", "data", "embedding", "token", "x", "", "code", "detail", "success", "thinking", "x_groq"),
    *("timings", "predicted_n", "finish_reason", "stop_reason", "total_tokens", "completion_tokens"),
]
WORDS = [
    *("", "error", "stop", "abort", "text", "content_filter", "[DONE]", "completed", "refusal", "tool_use"),
    *("response.failed", "response.completed", "message_delta", "content_block_delta", "response.output_text.delta"),
    *("null", "response.done", "ping", "incomplete", "cancelled"),
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=4)  # lone surrogates included
    | st.sampled_from(WORDS)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([b"", b"error", b"message", b"ping", b"Keep-Alive"])

DEPTHS = [*range(880, 1010, 3), 5000]
"""Around the depths at which decoders give up."""


def packed(value: Any) -> bytes:
    return json.dumps(value).encode()


def objects_of(events: Any) -> list[Any]:
    """The values of those of these texts that any decoder takes."""
    return [json.loads(data) for data in events if data[:1] == b"{" and data.isascii() and not _is_odd(data)]


def _is_odd(data: bytes) -> bool:
    return b"\\ud" in data or b"e999" in data or b"9" * 99 in data


def nested(key: str, depth: int) -> list[bytes]:
    """Objects that have a deep value at `key`."""
    pairs = ((b"[", b"]"), (b'{"message":', b"}"))
    return [b'{"%b":' % key.encode() + begin * depth + b"1" + end * depth + b"}" for begin, end in pairs]


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON value: what contains it, and its key there."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in ((value, key), *_places(value[key]))]


@st.composite
def grafted(draw: st.DrawFn, wholes: list[Any]) -> bytes:
    """A valid object with other values at random places of it."""
    value = {"whole": json.loads(json.dumps(draw(st.sampled_from(wholes))))}
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(_places(value)))
        container[key] = draw(VALUES)
    return packed(value["whole"])


@st.composite
def damaged(draw: st.DrawFn, wholes: list[Any]) -> bytes:
    """A valid object with a few bytes of it replaced."""
    data = bytearray(packed(draw(st.sampled_from(wholes))))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(data)))
        data[begin : draw(st.integers(begin, begin + 6))] = draw(st.binary(max_size=4))
    return bytes(data)


def anything(wholes: list[Any]) -> st.SearchStrategy[bytes]:
    """Bytes between good events and none."""
    return grafted(wholes) | VALUES.map(packed) | damaged(wholes) | st.binary(max_size=60)


def check(event: Meaning) -> None:
    """What everyone may rely on, whatever the server said."""
    assert isinstance(event, Meaning)
    # what is sent on can be sent: no half surrogate pairs, no integers of more than 64 bits
    msgspec.msgpack.encode((event.finish, event.error, event.malformed, event.usage))
    if event.usage is not None:
        assert min(n or 0 for n in msgspec.structs.astuple(event.usage)) >= 0
    assert all(token.visible or token.reasoning for token in event.tokens)


def check_api(api: Api, data: bytes, name: bytes = b"") -> None:
    """Whatever `data` is, it has a meaning as an event and as a whole answer, and JSON isn't called malformed."""
    event = api.classify(data, name)
    check(event)
    check(api.read_answer(data))
    check(api.read_answer(data, "application/json"))
    try:
        json.loads(data.decode("utf-8", "replace"), parse_constant=int)  # NaN is no JSON
    except (ValueError, RecursionError):
        return
    assert not event.malformed
