"""The faults that the mock can inject, by name."""

import enum
import re
from collections.abc import Mapping

import msgspec


class Fault(enum.StrEnum):
    """A fault of one request. `--fault` takes these names."""

    RESET_BEFORE_HEAD = "reset_before_head"
    CLOSE_BEFORE_HEAD = "close_before_head"
    HTTP_400 = "http_400"
    HTTP_401 = "http_401"
    HTTP_404 = "http_404"
    HTTP_429 = "http_429"
    HTTP_QUOTA = "http_quota"
    HTTP_500 = "http_500"
    HTTP_503_HTML = "http_503_html"
    HTTP_529 = "http_529"
    STALL_FIRST_TOKEN = "stall_first_token"
    STALL_MID_STREAM = "stall_mid_stream"
    ERROR_EVENT = "error_event"
    MALFORMED_JSON = "malformed_json"
    CUT = "cut"
    CUT_CLOSE_DELIMITED = "cut_close_delimited"
    RESET_MID_STREAM = "reset_mid_stream"
    NO_FINISH = "no_finish"
    NEVER_ENDS = "never_ends"
    EMPTY = "empty"
    FILTERED = "filtered"
    NO_USAGE = "no_usage"
    KEEPALIVE_EVENTS = "keepalive_events"


FAULT_HELP: Mapping[Fault, str] = {
    Fault.RESET_BEFORE_HEAD: "the connection is reset without an answer",
    Fault.CLOSE_BEFORE_HEAD: "the connection is closed without an answer",
    Fault.HTTP_400: "status 400 in the API's format",
    Fault.HTTP_401: "status 401 in the API's format",
    Fault.HTTP_404: "status 404 in the API's format",
    Fault.HTTP_429: "status 429 in the API's format, although no rate limit is exceeded",
    Fault.HTTP_QUOTA: "status 429 for used-up credit",
    Fault.HTTP_500: "status 500 in the API's format",
    Fault.HTTP_503_HTML: "status 503 with a proxy's page",
    Fault.HTTP_529: "status 529, overloaded",
    Fault.STALL_FIRST_TOKEN: "nothing is sent after the headers",
    Fault.STALL_MID_STREAM: "nothing is sent after some tokens",
    Fault.ERROR_EVENT: "an error in the API's format after some tokens",
    Fault.MALFORMED_JSON: "an event with incomplete JSON among the tokens",
    Fault.CUT: "the connection is closed after some tokens, before the end of the body",
    Fault.CUT_CLOSE_DELIMITED: "the same for a body whose end is the end of the connection",
    Fault.RESET_MID_STREAM: "the connection is reset after some tokens",
    Fault.NO_FINISH: "the body ends normally after the last token, without finish reason and end event",
    Fault.NEVER_ENDS: "the tokens never end",
    Fault.EMPTY: "an answer without tokens",
    Fault.FILTERED: "the provider's moderation ends the answer after some tokens",
    Fault.NO_USAGE: "no usage although it was requested",
    Fault.KEEPALIVE_EVENTS: "an event of an unknown type before each token",
}

HARMLESS = frozenset({Fault.FILTERED, Fault.NO_USAGE, Fault.KEEPALIVE_EVENTS})
"""Faults that leave the answer complete, so that a client should not count the request as failed."""


class FaultShare(msgspec.Struct, frozen=True):
    """A fault and the share of requests that have it."""

    fault: Fault
    share: float
    """From 0 to 1."""

    def __str__(self) -> str:
        return f"{self.fault}={self.share * 100:g}%"


def parse_fault(text: str) -> FaultShare:
    """Parse a fault and its share, such as `cut=5%`.

    Raises:
        ValueError: the fault is unknown, or the share is not a percentage from 0% to 100%.
    """
    name, _, share = text.strip().partition("=")
    if name not in set(Fault):
        raise ValueError(f"{text!r} is not a fault with a share like cut=5%; the faults are {', '.join(Fault)}")
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s?%", share.strip(), re.ASCII)
    if match is None or float(match[1]) > 100:
        raise ValueError(f"{text!r} has no share from 0% to 100%; write it like {name}=5%")
    return FaultShare(Fault(name), float(match[1]) / 100)
