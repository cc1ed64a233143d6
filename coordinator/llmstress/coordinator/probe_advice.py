"""What to do about a probe that failed, and what its answer means for runs to come. Pure functions."""

import re
from collections.abc import Iterator

from llmstress.coordinator.probe_facts import Probe
from llmstress.coordinator.target import redact_url
from llmstress.engine.telemetry.notes import MAX_SHARED_READS, MAX_TOKENS_PER_EVENT

_ENOUGH = 5
"""Token events from which on it is no chance that several share a read."""

_OF_WORDS = (
    (
        r"max_tokens.{0,80}not supported|use .?max_completion_tokens",
        "the limit has another name there: --limit-field max_completion_tokens",
    ),
    (r"stream_options|include_usage", "the server doesn't know stream_options: --no-usage leaves them out"),
    (r"context.{0,20}(length|window)", "prompt and answer are too long together: a lower --max-tokens"),
    (
        r"model_not_found|(unknown|invalid|no such) model|\bmodel\b.{0,80}(not found|not exist|not available|unknown)",
        "the server has no such model; without --model the probe asks which ones there are",
    ),
    (r"http request (was sent )?to (an )?https", "the server wants https:// at this port"),
    (r"not an http/1\.x answer: b'\\x1[56]\\x03", "the server wants https:// at this port"),
    (r"not an http/1\.x answer: b'\\x00\\x00", "the server speaks HTTP/2 only, which llmstress doesn't"),
    (r"not an http/1\.x answer", "that is no web server: is the port in --url right?"),
)
"""What servers say (in lower case) -> what to do."""

_OF_CLASS = {
    "dns": "is the host in --url spelled right? --resolve names its address",
    "connect_refused": "nothing listens there: is the server running, is the port right? A server in a container has "
    "to listen on 0.0.0.0",
    "connect_timeout": "nobody answers there: a firewall, a wrong address, or a network that needs a --proxy",
    "unreachable": "no way leads there from here: is the address right, does the network need a --proxy?",
    "proxy": "--proxy none goes without the proxy",
    "reset": "the server hung up instead of answering: it may have crashed, or want https:// at this port",
    "rate_limited": "too many requests for this key: wait; a run wants fewer streams",
    "quota": "the account behind the key has no money or no quota left",
    "http_400": "the server doesn't take this request: --raw shows it, --extra-body changes it",
    "http_403": "the key may not do this: another key, or another --model",
    "http_404": "there is no such path: --url takes a host, a base that ends in /v1 or a full endpoint; --api says "
    "which of them is meant",
    "http_405": "the path is there, but for another method: is --url right, is --api?",
    "http_413": "the request is too long for the server: a shorter --prompt",
    "http_422": "the server doesn't take this request: --raw shows it, --extra-body changes it",
    "http_500": "the server failed at this request: its own log says why",
    "http_502": "a gateway answers, but the server behind it doesn't",
    "http_503": "the server takes no requests now; it may still be loading the model",
    "http_504": "a gateway waited too long for the server behind it",
    "truncated": "the answer stops in its middle: the server crashed, or a gateway has a time limit",
    "stream_error": "the server broke off with these words of its own; its log may say more",
    "timeout_first_token": "--timeout-first-token allows more",
    "timeout_idle": "--timeout-idle allows more",
    "timeout_total": "--timeout-total allows more",
    "filtered": "the provider's moderation stopped the answer: another --prompt",
}


_AS_GIVEN = ("sse", "text", "http")
"""APIs that take URL and body from the user, as they are."""

_OF_GIVEN = {
    "http_400": "the server doesn't take this request: --raw shows it, --body and --method change it",
    "http_404": "there is no such path: --url is taken as it is",
    "http_405": "the path is there, but for another method: with --body it is POST, else GET; --method says otherwise",
    "http_422": "the server doesn't take this request: --raw shows it, --body and --method change it",
}
"""The same for those."""


def hint_of(probe: Probe) -> str:
    """What to do about a failure; empty if there was none, or nobody knows."""
    if probe.outcome in ("ok", "cancelled"):
        return ""
    if not probe.where.model and probe.where.model_because and probe.outcome in ("http_400", "http_404", "http_422"):
        return "the request names no model: --model"
    words = probe.words.lower()
    said = next((hint for pattern, hint in _OF_WORDS if re.search(pattern, words)), "")
    of_class = _OF_CLASS | _OF_GIVEN if probe.where.api in _AS_GIVEN else _OF_CLASS
    return said or _of_answer(probe) or of_class.get(probe.outcome, "")


def _of_answer(probe: Probe) -> str:
    """A hint for what can't be told by the class alone."""
    head, outcome = probe.head, probe.outcome
    headers = head.headers if head is not None else {}
    if outcome in ("malformed", "http_404", "http_405") and "html" in headers.get("content-type", ""):
        return "a web page came, no answer of an API: is --url right?"
    stood = bool(probe.attempts) and not probe.attempts[-1].error
    if outcome == "connect_timeout" and stood and probe.where.url.startswith("https:"):
        return "the port is open, but there is no answer to TLS: does the server want http:// there?"
    if outcome == "http_401":
        if {"authorization", "x-api-key", "api-key"} & {name.lower() for name in probe.asked.headers}:
            return "the key was sent and refused: is it of this host (--api-key-env), and sent as it wants (--auth)?"
        return "no key was sent: --api-key-env names the variable that holds it"
    if outcome.startswith("http_3") and "location" in headers:
        return f"it is at {redact_url(headers['location'])}: put that into --url"
    if outcome in ("rate_limited", "http_503") and "retry-after" in headers:
        return f"the server wants to be left alone for a while (retry-after: {headers['retry-after']})"
    if outcome == "empty" and (probe.tokens.reasoning or probe.finish in ("length", "max_tokens")):
        return "the tokens were used up before the answer began, for reasoning that isn't shown: a higher --max-tokens"
    if outcome in ("empty", "truncated", "malformed") and not probe.tokens.events and probe.events:
        if probe.where.api == "sse":
            return "no event has text where it was looked for: --text says where, look at the events above"
        return f"nothing that came bears a token for {probe.where.api}: does the server speak another --api?"
    return ""


def remarks_of(probe: Probe) -> tuple[str, ...]:
    """What somebody who is about to start a run should know of this answer."""
    return tuple(remark for remark in _remarks(probe) if remark)


def _remarks(probe: Probe) -> Iterator[str]:
    tokens, ok = probe.tokens, probe.outcome == "ok"
    headers = probe.head.headers if probe.head is not None else {}
    failed = [each for each in probe.attempts if each.error]
    if probe.connection is not None and failed:
        yield f"{', '.join(dict.fromkeys(each.address for each in failed))} did not take the connection, and cost time"
    if probe.connection is not None and probe.connection.repeated:
        yield "packets had to be sent again before the connection stood, which costs a second"
    if probe.collected:
        yield probe.collected
    elif tokens.events >= _ENOUGH and tokens.events_shared > MAX_SHARED_READS * tokens.events:
        yield (
            f"{tokens.events_shared} of {tokens.events} token events shared a read with another one: they were sent "
            "together, or read late, so single gaps mean little"
        )
    if probe.tried_again:
        yield "this was not the gateway's first attempt, as its headers say: the times contain what failed before"
    coding = headers.get("content-encoding", "").lower()
    if coding not in ("", "identity"):
        yield f"the answer is compressed ({coding}) although identity was asked for: events may be held back by that"
    if ok and probe.where.streamed and not tokens.events and "token" in probe.events[-1].what:
        yield "a stream was asked for, and the answer came as a whole: there is no ttft"
    if ok and tokens.events and tokens.source == "events":
        yield "the server reports no usage: tokens are counted as events"
    if ok and tokens.events and tokens.output > MAX_TOKENS_PER_EVENT * tokens.events:
        yield (
            f"an event carries {tokens.output / tokens.events:.2g} tokens: itl is the gap between events, "
            "tpot the time per token"
        )
    if unknown := sum("unknown" in event.what for event in probe.events):
        have = "1 event has" if unknown == 1 else f"{unknown} events have"
        yield f"{have} a shape that {probe.where.api} doesn't know and doesn't count"
    asked_to_close = "connection" in {name.lower() for name in probe.asked.headers}
    if ok and probe.connection is not None and not probe.connection.kept and not asked_to_close:
        yield "the server closes the connection after its answer: each request of a run opens one"
