"""What to do about a probe that failed, and what its answer means for runs to come. Pure functions."""

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from llmstress.coordinator import proxies
from llmstress.coordinator.answer_advice import hint_of_answer
from llmstress.coordinator.probe_facts import Probe
from llmstress.coordinator.refusal_advice import AS_GIVEN, hint_of_refusal
from llmstress.engine.telemetry.notes import MAX_SHARED_READS, STAYED_OPEN

_ENOUGH = 5
"""Token events from which on it is no chance that several share a read."""

_OF_CLASS = {
    "dns": "is the host in --url spelled right? --resolve names its address",
    "connect_refused": "nothing listens there: is the server running, is the port right? A server in a container has "
    "to listen on 0.0.0.0",
    "connect_timeout": "nobody answers there: a firewall, a wrong address, or a network that needs a --proxy",
    "unreachable": "no way leads there from here: is the address right, does the network need a --proxy?",
    "proxy": "--proxy none goes without the proxy, and so does a host that is named in no_proxy",
    "rate_limited": "the server takes no more requests from this client for now: wait; a run needs fewer streams",
    "quota": "the account behind the key has no money or no quota left",
    "http_204": "the server has nothing to answer (204): is --url right?",
    "http_400": "the server doesn't take this request: --raw shows it, --extra-body changes it",
    "http_403": "the key may not do this: another key, or another --model",
    "http_404": "there is no such path: --url takes a host, a base that ends in /v1 or a full endpoint; --api says "
    "which of them is meant",
    "http_405": "the path is there, but for another method: is --url right, is --api?",
    "http_407": "the proxy wants a user and a password: --proxy http://user:password@host:port; --proxy none goes "
    "without it",
    "http_413": "the request is too long for the server: a shorter --prompt",
    "http_415": "the server doesn't take JSON at this path: is --url right? --header 'Content-Type: ...' names another "
    "type",
    "http_421": "the server doesn't answer for this host name: is the host in --url right?",
    "http_422": "the server doesn't take this request: --raw shows it, --extra-body changes it",
    "http_426": "the server wants another protocol at this port than HTTP/1.1, which is all that llmstress speaks",
    "http_500": "the server failed at this request: its own log says why",
    "http_501": "the server can't do what is asked at all: is that an API server, is --url right?",
    "http_502": "a gateway answers, but the server behind it doesn't",
    "http_503": "the server takes no requests now; it may still be loading the model",
    "http_504": "a gateway waited too long for the server behind it",
    "truncated": "the answer stops in its middle: the server crashed, or a gateway has a time limit",
    "malformed": "--raw shows the bytes that came",
    "stream_error": "the server broke off with these words of its own; its log may say more",
    "timeout_first_token": "--timeout-first-token allows more",
    "timeout_idle": "--timeout-idle allows more",
    "timeout_total": "--timeout-total allows more",
    "filtered": "the provider's moderation stopped the answer: another --prompt",
    **{f"http_{status}": "a gateway doesn't reach the server behind it" for status in (520, 521, 522, 523, 525, 526)},
    "http_524": "a gateway waited too long for the server behind it",
}

_OF_GIVEN = {
    "http_400": "the server doesn't take this request: --raw shows it, --body and --method change it",
    "http_404": "there is no such path: --url is taken as it is",
    "http_405": "the path is there, but for another method: with --body it is POST, else GET; --method says otherwise",
    "http_415": "the server wants another type of body: --header 'Content-Type: ...' names it",
    "http_422": "the server doesn't take this request: --raw shows it, --body and --method change it",
}
"""The same for those."""


def hint_of(probe: Probe, models: Sequence[str] = ()) -> str:
    """What to do about a failure; empty if there was none, or nobody knows. `models` are those that the target lists,
    if it was asked after the failure."""
    outcome, head, url = probe.outcome, probe.head, urlsplit(probe.where.url)
    if outcome in ("ok", "cancelled"):
        return ""
    if probe.where.proxied and url.scheme == "http" and head is not None:
        of_proxy = proxies.hint_of(head.status, head.headers, probe.words, url.hostname or "")
        if of_proxy:
            return of_proxy
    if outcome in ("malformed", "truncated", "empty"):
        hint = hint_of_answer(probe)
    elif outcome.startswith("http_") or outcome in ("rate_limited", "quota", "stream_error"):
        hint = hint_of_refusal(probe, models)
    else:
        hint = _of_way(probe)
    of_class = _OF_CLASS | _OF_GIVEN if probe.where.api in AS_GIVEN else _OF_CLASS
    return hint or of_class.get(outcome, "")


def _of_way(probe: Probe) -> str:
    outcome, https = probe.outcome, probe.where.url.startswith("https:")
    stood = bool(probe.attempts) and not probe.attempts[-1].error
    if outcome == "connect_timeout" and stood and https:
        return "the port is open, but there is no answer to TLS: does the server want http:// there?"
    if outcome == "reset":
        wants = "" if https else ", or want https:// at this port"
        return f"the server hung up instead of answering: it may have crashed{wants}"
    if outcome == "timeout_first_token" and not probe.tokens.events:
        if probe.head is None:
            return "the server took the request and says nothing: is it busy? --timeout-first-token allows more"
        if probe.events and all(event.what in (("comment",), ("ping",)) for event in probe.events):
            return "the server says that it is still there, but no token comes: --timeout-first-token allows more"
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
    if ok and probe.where.api == "text" and headers.get("content-type", "").startswith("text/event-stream"):
        yield "the answer is a stream of events: --api sse counts them, where --api text counts reads"
    if ok and probe.where.streamed and not tokens.events and "token" in probe.events[-1].what:
        yield "a stream was asked for, and the answer came as a whole: there is no ttft"
    yield from probe.noted
    if unknown := sum("unknown" in event.what for event in probe.events):
        have = "1 event has" if unknown == 1 else f"{unknown} events have"
        yield f"{have} a shape that {probe.where.api} doesn't know and doesn't count"
    asked_to_close = "connection" in {name.lower() for name in probe.asked.headers}
    closed_here = any(note.startswith(STAYED_OPEN) for note in probe.noted)
    if ok and probe.connection is not None and not (probe.connection.kept or asked_to_close or closed_here):
        yield "the server closes the connection after its answer: each request of a run opens one"
