"""Advice about a failed probe, and remarks on an answer that matter for a run. Pure functions."""

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from llmstress.coordinator.probe.answer_hints import hint_of_answer
from llmstress.coordinator.probe.refusal_hints import AS_GIVEN, hint_of_refusal
from llmstress.coordinator.probe.report import Probe
from llmstress.coordinator.target import proxies
from llmstress.engine.telemetry.notes import MAX_SHARED_READS, STAYED_OPEN

_ENOUGH = 5
"""From this many token events on, events that share a read are reported; with fewer it may be chance."""

_HINTS = {
    "dns": "check the spelling of the host in --url, or set its address with --resolve",
    "connect_refused": "nothing listens on this port; check the server and the port. A server in a container must "
    "listen on 0.0.0.0",
    "connect_timeout": "the address does not answer; it may be wrong, blocked by a firewall, or only reachable "
    "through a --proxy",
    "unreachable": "there is no route to this address; check it, or use a --proxy if the network needs one",
    "proxy": "to bypass the proxy, use --proxy none or name the host in no_proxy",
    "rate_limited": "the server limits the requests of this client; wait, and use fewer streams in a run",
    "quota": "the account of this key has no credit or quota left",
    "http_204": "the server answered without content (204); check --url",
    "http_400": "the server rejected the request; --raw shows it, --extra-body changes it",
    "http_403": "the key lacks the permission for this; use another key or another --model",
    "http_404": "the path does not exist; --url takes a host, a base URL that ends in /v1, or an endpoint; --api "
    "selects the API",
    "http_405": "the path exists, but not for this method; check --url and --api",
    "http_407": "the proxy requires a user and password: --proxy http://user:password@host:port; --proxy none "
    "bypasses it",
    "http_413": "the request is too long for the server; use a shorter --prompt",
    "http_415": "the server does not accept JSON at this path; check --url, or set another type with --header "
    "'Content-Type: ...'",
    "http_421": "the server does not accept this host name; check the host in --url",
    "http_422": "the server rejected the request; --raw shows it, --extra-body changes it",
    "http_426": "the server requires a protocol other than HTTP/1.1 on this port; llmstress supports only HTTP/1.1",
    "http_500": "the server failed on this request; see the server's log",
    "http_501": "the server does not support this request; check --url",
    "http_502": "a gateway answered, but the server behind it did not",
    "http_503": "the server accepts no requests at the moment; it may still be loading the model",
    "http_504": "a gateway waited too long for the server behind it",
    "truncated": "the answer is incomplete; the server may have crashed, or a gateway has a time limit",
    "malformed": "--raw shows the received bytes",
    "stream_error": "the server ended the answer with this error; its log may say more",
    "timeout_first_token": "raise --timeout-first-token to wait longer",
    "timeout_idle": "raise --timeout-idle to wait longer",
    "timeout_total": "raise --timeout-total to wait longer",
    "filtered": "the provider's moderation stopped the answer; use another --prompt",
    **{f"http_{status}": "a gateway could not reach the server behind it" for status in (520, 521, 522, 523, 525, 526)},
    "http_524": "a gateway waited too long for the server behind it",
}
"""Failure class -> advice."""

_HINTS_AS_GIVEN = {
    "http_400": "the server rejected the request; --raw shows it, --body and --method change it",
    "http_404": "the path does not exist; --url is used exactly as given",
    "http_405": "the path exists, but not for this method; the method is POST with --body, else GET; --method "
    "changes it",
    "http_415": "the server requires another content type; set it with --header 'Content-Type: ...'",
    "http_422": "the server rejected the request; --raw shows it, --body and --method change it",
}
"""The same for the APIs of `AS_GIVEN`, which use URL and body exactly as given."""


def hint_of(probe: Probe, models: Sequence[str] = ()) -> str:
    """Advice about a failure; empty if there was no failure, or there is no advice.

    `models`: the models that the target lists; empty if it was not asked.
    """
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
        hint = _hint_of_connection(probe)
    hints = _HINTS | _HINTS_AS_GIVEN if probe.where.api in AS_GIVEN else _HINTS
    return hint or hints.get(outcome, "")


def _hint_of_connection(probe: Probe) -> str:
    """Advice about failures on the way to the first byte of the answer."""
    outcome, https = probe.outcome, probe.where.url.startswith("https:")
    tcp_connected = bool(probe.attempts) and not probe.attempts[-1].error
    if outcome == "connect_timeout" and tcp_connected and https:
        return "the port is open, but the server does not answer TLS; it may expect http://"
    if outcome == "reset":
        expects = "" if https else ", or expect https:// on this port"
        return f"the server closed the connection without an answer; it may have crashed{expects}"
    if outcome == "timeout_first_token" and not probe.tokens.events:
        if probe.head is None:
            return "the server accepted the request but sent nothing; raise --timeout-first-token to wait longer"
        if probe.events and all(event.what in (("comment",), ("ping",)) for event in probe.events):
            return "the server sends pings but no tokens; raise --timeout-first-token to wait longer"
    return ""


def remarks_of(probe: Probe) -> tuple[str, ...]:
    """Properties of this answer that affect the figures of a run."""
    return tuple(remark for remark in _remarks(probe) if remark)


def _remarks(probe: Probe) -> Iterator[str]:
    tokens, ok = probe.tokens, probe.outcome == "ok"
    headers = probe.head.headers if probe.head is not None else {}
    failed = [each for each in probe.attempts if each.error]
    if probe.connection is not None and failed:
        yield (
            f"{', '.join(dict.fromkeys(each.address for each in failed))} did not accept the connection, which cost "
            "time"
        )
    if probe.connection is not None and probe.connection.repeated:
        yield "packets were retransmitted while the connection was opened, which costs a second"
    if probe.collected:
        yield probe.collected
    elif tokens.events >= _ENOUGH and tokens.events_shared > MAX_SHARED_READS * tokens.events:
        yield (
            f"{tokens.events_shared} of {tokens.events} token events shared a read with another one; they were sent "
            "together or read late, so single gaps are not meaningful"
        )
    if probe.tried_again:
        yield "the headers say that this was not the gateway's first attempt; the times include the failed attempts"
    coding = headers.get("content-encoding", "").lower()
    if coding not in ("", "identity"):
        yield f"the answer is compressed ({coding}) although identity was requested; compression may delay events"
    if ok and probe.where.api == "text" and headers.get("content-type", "").startswith("text/event-stream"):
        yield "the answer is an event stream; --api sse counts events, --api text counts reads"
    if ok and probe.where.streamed and not tokens.events and "token" in probe.events[-1].what:
        yield "a stream was requested, but the answer came in one piece, so there is no ttft"
    yield from probe.noted
    if unknown := sum("unknown" in event.what for event in probe.events):
        have = "1 event has" if unknown == 1 else f"{unknown} events have"
        yield f"{have} a shape that {probe.where.api} does not define; they are not counted"
    asked_to_close = "connection" in {name.lower() for name in probe.asked.headers}
    closed_here = any(note.startswith(STAYED_OPEN) for note in probe.noted)
    if ok and probe.connection is not None and not (probe.connection.kept or asked_to_close or closed_here):
        yield "the server closes the connection after its answer, so each request of a run opens a new one"
