"""The wire format of server-sent events."""

import msgspec

to_json = msgspec.json.encode

CONTENT_TYPE = "text/event-stream; charset=utf-8"
DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"


def data(body: bytes) -> bytes:
    """An event without a name; `body` must not contain line ends."""
    return b"data: %b\n\n" % body


def named(name: str, body: bytes) -> bytes:
    """An event with a name; neither `name` nor `body` may contain line ends."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), body)
