"""Advice about an answer that came but cannot be used, by the format of its body. Pure functions."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from llmstress.coordinator.probe import body_shapes
from llmstress.coordinator.probe.report import Probe, Seen
from llmstress.engine.api import APIS

_UNSPECIFIC = frozenset({"unknown", "malformed", "foreign", "ping", "done"})
"""Kinds of events that do not show which API it is: many APIs send pings, and most end with [DONE]."""

_NO_FINISH = "the body ended normally, but without a finish reason; the server or a gateway left it out"


def hint_of_answer(probe: Probe) -> str:
    """The advice; empty if there is none beyond that for the failure class."""
    if probe.head is None or "not an HTTP/1.x answer" in probe.words:
        return _hint_of_no_http(probe.words.lower())
    tokens, outcome = probe.tokens, probe.outcome
    coding = probe.head.headers.get("content-encoding", "identity").lower()
    if outcome == "malformed" and coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        return f"the answer is compressed with {coding}, which llmstress did not request and cannot decode"
    content_type = probe.head.headers.get("content-type", "").lower()
    events = [event for event in probe.events if event.what != ("comment",)]
    body = probe.body or (events[0].data if events else "")
    if body_shapes.is_page(body, content_type) and not tokens.events:
        return "the answer is a web page, not an API answer; check --url"
    if outcome == "empty" and (tokens.reasoning or probe.finish in ("length", "max_tokens", "max_output_tokens")):
        return "hidden reasoning used up the token limit before the answer began; raise --max-tokens"
    if probe.whole:
        return _hint_of_whole(probe, body, content_type)
    if tokens.events:
        return _hint_of_incomplete(probe)
    if events:
        return _hint_of_events(probe, events)
    return _hint_of_no_events(probe, content_type) if outcome != "malformed" else ""


def _hint_of_no_http(words: str) -> str:
    if re.search(r"not an http/1\.x answer: b['\"]\\x1[56]\\x03", words):
        return "the server expects https:// on this port"
    if re.search(r"not an http/1\.x answer: b['\"]\\x00\\x00", words):
        return "the server speaks only HTTP/2, which llmstress does not support"
    return "this is not a web server; check the port in --url" if "not an http/1.x answer" in words else ""


def _ended_in_order(probe: Probe) -> bool:
    """Whether the body ended by its own framing, and not by the end of the connection."""
    return bool(probe.reads) and probe.reads[-1].bytes > 0


def _hint_of_incomplete(probe: Probe) -> str:
    """Advice for an incomplete stream with tokens."""
    if probe.outcome == "truncated" and _ended_in_order(probe):
        if probe.where.api == "sse":
            return "the body ended normally, but without the final event; check --done"
        return _NO_FINISH
    return ""


def _hint_of_no_events(probe: Probe, content_type: str) -> str:
    """Advice for a stream without any event."""
    body = probe.body
    cut = not _ended_in_order(probe)
    if not body.strip():
        if cut:
            return ""
        return "the body is empty; check --url and the server's log"
    if body_shapes.has_comments_only(body):
        return "" if cut else "the stream has comments but no events; the server's log may say why"
    if probe.where.api == "text":
        return ""  # any body is in its format
    if body_shapes.is_ndjson(body, content_type):
        return _hint_of_ndjson(probe, body)
    if cut and body_shapes.has_fields_of_events(body):
        return "the answer broke off within its first event; the server may have crashed, or a gateway has a time limit"
    if body.lstrip().startswith(("{", "[")):
        return _hint_of_whole(probe, body, content_type)
    return "the body has no data: line, so it is not an event stream; use --api text"


def _hint_of_ndjson(probe: Probe, body: str) -> str:
    if body_shapes.is_of_ollama(body):
        host = urlsplit(probe.where.url)
        return f"this is Ollama's own API; Ollama also speaks openai-chat: use --url {host.scheme}://{host.netloc}"
    return "the answer is NDJSON (one JSON object per line), not an event stream; --api text measures its reads"


def _hint_of_whole(probe: Probe, body: str, content_type: str) -> str:
    """Advice for an answer in one piece."""
    where = probe.where
    if body_shapes.is_ndjson(body, content_type):
        return _hint_of_ndjson(probe, body)
    if not where.streamed and where.api != "http" and body_shapes.has_fields_of_events(body):
        return "the server streamed the answer although no stream was requested; drop --no-stream"
    if body_shapes.is_list_of_models(body):
        return "the answer is the list of models; --url takes a host, a base URL that ends in /v1, or an endpoint"
    if (api := body_shapes.api_of(body)) and not _is_same(api, where.api):
        return f"the answer has the format of {api}; use --api {api}"
    if api or probe.outcome == "truncated":
        return ""
    if where.api in ("text", "http"):
        return ""
    if body_shapes.is_of_ollama(body):
        return _hint_of_ndjson(probe, body)
    if body.lstrip().startswith("[") and where.streamed:
        return "the answer is one JSON list, not an event stream; its API may stream on request (Gemini: ?alt=sse)"
    if body.lstrip().startswith("<"):
        return "the answer is XML, which no supported API uses; check --url"
    if not body.lstrip().startswith("{"):
        return "the answer is neither JSON nor an event stream; --api text accepts any text"
    if where.api == "sse":
        return "the answer is one JSON object, not a stream; request a stream in --body, or use --api http"
    return f"the answer does not have the format of {where.api}; the server may need another --api"


def _hint_of_events(probe: Probe, events: Sequence[Seen]) -> str:
    """Advice for a stream whose events contain no token."""
    where = probe.where
    cut = probe.outcome == "truncated" and not _ended_in_order(probe)
    if where.api == "sse":
        return _hint_of_textless_events(probe, events, cut=cut)
    apis = [api for event in events if (api := body_shapes.api_of(event.data))]
    own = any(_is_same(api, where.api) for api in apis)
    if apis and not own:
        return f"these are events of {apis[0]}; use --api {apis[0]}"
    if own or any(_UNSPECIFIC.isdisjoint(event.what) for event in events):
        if probe.outcome == "empty":
            return "the server finished without any text; its prompt template or a stop word may be the cause"
        if probe.outcome == "malformed":
            return "an event is malformed; --raw shows the received bytes"
        return "" if cut else _NO_FINISH
    if not any(event.data.lstrip().startswith(("{", "[")) for event in events if "done" not in event.what):
        return "the event data is not JSON; --api sse counts each event as a token"
    return f"no event carries a token of {where.api}; the server may need another --api"


def _hint_of_textless_events(probe: Probe, events: Sequence[Seen], *, cut: bool) -> str:
    """The same for `--api sse`, where `--text` gives the place of the text."""
    if probe.outcome == "malformed":
        return "the event data is not JSON, so --text cannot be applied; leave it out"
    if all({"done", "ping"} & {*event.what} for event in events):
        return "the stream ended without any text"
    if cut and any("nothing" in event.what for event in events):
        return ""
    api = next((api for event in events if (api := body_shapes.api_of(event.data))), "")
    known = f"; these are events of {api}: use --api {api}" if api else ", see the events above"
    return f"no event has text at the expected place; set the place with --text{known}"


def _is_same(api: str, other: str) -> bool:
    """Whether `other`, the API in use, has the event format of `api`.

    Azure has that of OpenAI. The format of an API from another package is unknown, so any format is accepted.
    """
    return other == api or other not in APIS or (api, other) == ("openai-chat", "azure-openai")
