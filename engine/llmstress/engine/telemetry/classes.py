"""The classes that a request can end in. Every request ends in exactly one; the first cause in time decides.

To add a class, add a row and end requests with it (`End("name", "why")`), then update the page:
`UPDATE_DOCS=1 pytest tests/test_metrics_page.py`. `tests/engine/test_classes.py` compares the table with the classes
that the code names.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

CountedIn = Literal["ok", "failed", "filtered", "cancelled", "lost"]
Action = Literal["count", "retry", "end-first", "end"]

ACTIONS: Mapping[Action, str] = {
    "count": "the request counts as failed, nothing else happens",
    "retry": "the failure may pass: with `--retries N` the request is sent again, up to N times; without it the "
    "failure is counted, as with `count`",
    "end-first": "the failure ends the run if no request has succeeded before",
    "end": "the failure ends the run",
}
"""What a failure does -> what that means."""


class EndClass(msgspec.Struct, frozen=True, kw_only=True):
    """One class."""

    name: str
    """`http_<code>` stands for all statuses."""
    when: str
    counted_in: CountedIn = "failed"
    action: Action = "count"
    """What such a failure does, unless `--on-status` says otherwise."""
    pauses: bool = True
    """A stream pauses after such a failure (`--error-pause`)."""
    limit: str = ""
    """The flag whose time limit was exceeded; empty: the class is none of a time limit."""
    unserved: bool = False
    """The server refused the request or never got it, so it generated nothing that a provider could bill."""


HTTP = "http_<code>"

CLASSES: tuple[EndClass, ...] = (
    EndClass(
        name="ok",
        when="the answer's end was seen: a finish reason, or the protocol's end event after at least one token (finish "
        "`none`); and it has at least one token, if its API has tokens",
        counted_in="ok",
    ),
    EndClass(name="filtered", when="the provider's moderation ended the answer", counted_in="filtered"),
    EndClass(
        name="cancelled",
        when="the end of the run cut the request off (`--grace` was over), or its user walked away (`--abandon`); "
        "these are also counted apart, as `abandoned`",
        counted_in="cancelled",
    ),
    EndClass(name="lost", when="the request was in flight in a worker that died", counted_in="lost"),
    EndClass(
        name="rate_limited",
        when="status 429 or 529, 402 with `Retry-After`, or Bedrock's throttle with status 400",
        unserved=True,
        action="retry",
    ),
    EndClass(
        name="quota",
        when="status 402, or a 429 whose body says that credit or a daily quota is used up",
        unserved=True,
        action="end",
    ),
    EndClass(
        name=HTTP,
        when="any other final status that is no 2xx with a body of the API: `http_404`, `http_503`, `http_307`, "
        "`http_204`",
        unserved=True,
    ),
    EndClass(
        name="stream_error",
        when="an error in an answer with status 2xx: as an event, or as a JSON body instead of a stream; in the API's "
        "own words or another usual shape (`error`, `code` with `message`, `detail`, `errors`)",
    ),
    EndClass(
        name="truncated",
        when="the body or the connection ended after the head, before the answer's end; with `--require-finish` also "
        "an answer that ends without a finish reason",
    ),
    EndClass(
        name="malformed",
        when="bytes that are neither HTTP nor the API's framing, invalid JSON, or data beyond the size limits",
    ),
    EndClass(name="empty", when="the answer ended without a token"),
    EndClass(
        name="validation",
        when="the answer would be `ok`, but it fails a check (`--check`), or could not be checked. No pause follows",
        pauses=False,
    ),
    EndClass(
        name="exception",
        when="code of llmstress or of an extension that makes the request or looks at its answer raised an exception "
        "(the sample has file and line); if the request could not be made, nothing was sent",
    ),
    EndClass(
        name="timeout_first_token",
        when="no first token (of a whole answer: no first byte of the body) in time after `start`, whatever pings came",
        limit="--timeout-first-token",
    ),
    EndClass(
        name="timeout_idle",
        when="after the first token no event for this long; comments and pings are no events",
        limit="--timeout-idle",
    ),
    EndClass(name="timeout_total", when="the request did not end in time after `start`", limit="--timeout-total"),
    EndClass(
        name="reset",
        when="the connection was closed or reset before the head was complete. A kept connection that fails before a "
        "byte was read is replaced once; that is counted, but it is no failure",
    ),
    EndClass(name="dns", when="DNS has no address for the host", unserved=True),
    EndClass(name="connect_refused", when="nothing listens on the port", unserved=True),
    EndClass(name="connect_timeout", when="no connection in time", limit="--timeout-connect", unserved=True),
    EndClass(name="unreachable", when="no route to the address, or another error of the network", unserved=True),
    EndClass(name="tls", when="the TLS handshake failed, or the certificate was refused", unserved=True),
    EndClass(name="proxy", when="the proxy can't be reached, or opens no tunnel", unserved=True),
    EndClass(name="local", when="this machine has no port, file descriptor, address or memory left", unserved=True),
)
"""All of them."""

STATUS_ACTIONS: Mapping[int, Action] = {
    # the request is wrong, or the key, or the URL
    **dict.fromkeys((400, 401, 403, 404, 413, 415, 422, 501), "end-first"),
    # a timeout, a lock, a stream that broke between the gateway and the model
    **dict.fromkeys((408, 409, 424), "retry"),
    # overload and outage; 498 is Groq's
    **dict.fromkeys((498, 500, 502, 503, 504), "retry"),
}
"""Status of class `http_<code>` -> what the failure does; any other is counted."""

NOT_FAILED = frozenset(each.name for each in CLASSES if each.counted_in != "failed")
"""Classes that don't count as failed."""

ANSWERED = NOT_FAILED | {each.name for each in CLASSES if not each.pauses}
"""Classes after which a stream does not pause."""
UNSERVED = frozenset(each.name for each in CLASSES if each.unserved)
"""Classes of requests on which the server did not work; statuses: `HTTP`."""

NOT_ERRORS = frozenset({"ok", "cancelled"})
"""Classes that the summary's `errors` and the screen's table of errors leave out."""

TIME_LIMITS = tuple(each.name for each in CLASSES if each.limit)
"""Classes of requests that ran into a time limit: percentiles lack what they would have taken."""

BY_NAME = tuple(each.name for each in CLASSES if each.counted_in == "failed" and each.name != HTTP)
"""Classes of failure that are no status, as `--on-status` names them."""


def was_served(name: str) -> bool:
    """Whether the server may have worked on a request that ended in the class `name`."""
    return name not in UNSERVED and not name.startswith("http_")


def is_class(name: str) -> bool:
    """Whether a request can end in the class `name`."""
    known = any(each.name == name for each in CLASSES if each.name != HTTP)
    return known or (name.startswith("http_") and name[5:].isascii() and name[5:].isdigit() and len(name) == 8)
