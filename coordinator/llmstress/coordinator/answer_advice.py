"""What to do about a probe whose answer came and can't be used: by what the body looks like. Pure functions."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from llmstress.coordinator import answer_shapes
from llmstress.coordinator.probe_facts import Probe, Seen
from llmstress.engine.api import APIS

_NOT_UNDERSTOOD = frozenset({"unknown", "malformed", "foreign", "ping", "done"})
"""What events are taken for that say nothing of the API: many have pings, and most end in [DONE]."""

_NO_FINISH = "the body ended in order, but no finish reason came: the server, or a gateway, left it out"


def hint_of_answer(probe: Probe) -> str:
    """What to do; empty if the class of failure says as much."""
    if probe.head is None or "not an HTTP/1.x answer" in probe.words:
        return _of_no_http(probe.words.lower())
    tokens, outcome = probe.tokens, probe.outcome
    coding = probe.head.headers.get("content-encoding", "identity").lower()
    if outcome == "malformed" and coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        return f"the answer is compressed ({coding}), which wasn't asked for and isn't decoded here"
    content_type = probe.head.headers.get("content-type", "").lower()
    told = [event for event in probe.events if event.what != ("comment",)]
    body = probe.body or (told[0].data if told else "")
    if answer_shapes.is_page(body, content_type) and not tokens.events:
        return "a web page came, no answer of an API: is --url right?"
    if outcome == "empty" and (tokens.reasoning or probe.finish in ("length", "max_tokens", "max_output_tokens")):
        return "the tokens were used up before the answer began, for reasoning that isn't shown: a higher --max-tokens"
    if probe.whole:
        return _of_whole(probe, body, content_type)
    if tokens.events:
        return _of_broken_off(probe)
    if told:
        return _of_events(probe, told)
    return _of_eventless(probe, content_type) if outcome != "malformed" else ""


def _of_no_http(words: str) -> str:
    if re.search(r"not an http/1\.x answer: b['\"]\\x1[56]\\x03", words):
        return "the server wants https:// at this port"
    if re.search(r"not an http/1\.x answer: b['\"]\\x00\\x00", words):
        return "the server speaks HTTP/2 only, which llmstress doesn't"
    return "that is no web server: is the port in --url right?" if "not an http/1.x answer" in words else ""


def _ended_in_order(probe: Probe) -> bool:
    """Whether the body came to its own end, and not by the loss of the connection."""
    return bool(probe.reads) and probe.reads[-1].bytes > 0


def _of_broken_off(probe: Probe) -> str:
    """For a stream that bore tokens."""
    if probe.outcome == "truncated" and _ended_in_order(probe):
        if probe.where.api == "sse":
            return "the body ended in order, but without the last event: is --done right?"
        return _NO_FINISH
    return ""


def _of_eventless(probe: Probe, content_type: str) -> str:
    """For a body without any event."""
    body = probe.body
    cut = not _ended_in_order(probe)
    if not body.strip():
        if cut:
            return ""
        return "the body is empty: is --url right? The server's own log may say more"
    if answer_shapes.has_comments_only(body):
        return "" if cut else "the stream has comments and no event: the server's own log may say why"
    if answer_shapes.is_ndjson(body, content_type):
        return _of_ndjson(probe, body)
    if cut and answer_shapes.has_fields_of_events(body):
        return "the answer broke off within its first event: the server crashed, or a gateway has a time limit"
    if body.lstrip().startswith(("{", "[")):
        return _of_whole(probe, body, content_type)
    return "the body has no data: line, so it is no stream of events: --api text"


def _of_ndjson(probe: Probe, body: str) -> str:
    if answer_shapes.is_of_ollama(body):
        host = urlsplit(probe.where.url)
        return f"that is Ollama's own API; it speaks openai-chat as well: --url {host.scheme}://{host.netloc}"
    return "the answer is NDJSON (one JSON object a line), no stream of events: --api text times its reads"


def _of_whole(probe: Probe, body: str, content_type: str) -> str:
    """For an answer that came as a whole and can't be used."""
    where = probe.where
    if answer_shapes.is_ndjson(body, content_type):
        return _of_ndjson(probe, body)
    if not where.streamed and where.api != "http" and answer_shapes.has_fields_of_events(body):
        return "the answer is a stream of events, which wasn't asked for: drop --no-stream"
    if answer_shapes.is_list_of_models(body):
        return "that is the list of models, and no answer: --url takes a host, a base that ends in /v1 or an endpoint"
    if (api := answer_shapes.api_of(body)) and not _is_same(api, where.api):
        return f"that is an answer of {api}, so another --api is needed: --api {api}"
    if api or probe.outcome == "truncated":
        return ""
    if where.api in ("text", "http"):
        return ""
    if answer_shapes.is_of_ollama(body):
        return _of_ndjson(probe, body)
    if body.lstrip().startswith("[") and where.streamed:
        return "the answer is one JSON list, no stream of events: its API may stream if asked to (Gemini: ?alt=sse)"
    if body.lstrip().startswith("<"):
        return "the answer is XML, which no API here speaks: is --url right?"
    if not body.lstrip().startswith("{"):
        return "the answer is neither JSON nor a stream of events: --api text takes any text"
    if where.api == "sse":
        return "the answer came as one JSON object, no stream: --body has to ask for one; else --api http"
    return f"that is no answer of {where.api}: does the server speak another --api?"


def _of_events(probe: Probe, told: Sequence[Seen]) -> str:
    """For a stream whose events bear no token."""
    where = probe.where
    cut = probe.outcome == "truncated" and not _ended_in_order(probe)
    if where.api == "sse":
        return _of_events_without_text(probe, told, cut=cut)
    apis = [api for event in told if (api := answer_shapes.api_of(event.data))]
    own = any(_is_same(api, where.api) for api in apis)
    if apis and not own:
        return f"these are events of {apis[0]}, so another --api is needed: --api {apis[0]}"
    if own or any(_NOT_UNDERSTOOD.isdisjoint(event.what) for event in told):
        if probe.outcome == "empty":
            return "the server finished without a word: its prompt template or a stop word may be why"
        if probe.outcome == "malformed":
            return "an event is broken: --raw shows the bytes that came"
        return "" if cut else _NO_FINISH
    if not any(event.data.lstrip().startswith(("{", "[")) for event in told if "done" not in event.what):
        return "the data of its events is no JSON: --api sse counts each of them as a token"
    return f"nothing that came bears a token for {where.api}: does the server speak another --api?"


def _of_events_without_text(probe: Probe, told: Sequence[Seen], *, cut: bool) -> str:
    """The same for events whose text is where the user says."""
    if probe.outcome == "malformed":
        return "the data of its events is no JSON, so --text can't be followed: leave it out"
    if all({"done", "ping"} & {*event.what} for event in told):
        return "the stream ended without any text"
    if cut and any("nothing" in event.what for event in told):
        return ""
    api = next((api for event in told if (api := answer_shapes.api_of(event.data))), "")
    known = f"; they are events of {api}: --api {api}" if api else ", look at the events above"
    return f"no event has text where it was looked for: --text says where{known}"


def _is_same(api: str, other: str) -> bool:
    """Whether `other`, the API that is spoken, has the events of `api`: Azure's are OpenAI's, and those of an installed
    package's API may be anybody's."""
    return other == api or other not in APIS or (api, other) == ("openai-chat", "azure-openai")
