"""Advice about a refused request: by the server's message first, then by status and headers. Pure functions."""

import difflib
import re
from collections.abc import Sequence
from urllib.parse import urljoin, urlsplit

from llmstress.coordinator.config.target_url import redact_url
from llmstress.coordinator.probe.report import Probe
from llmstress.coordinator.target.api_choice import NAMED
from llmstress.coordinator.target.refusals import Refusal, lacks_path, read_refusal
from llmstress.coordinator.target.url_typos import url_meant
from llmstress.engine.api import APIS, guess_api

AS_GIVEN = ("sse", "text", "http")
"""APIs that use URL and body exactly as the user gives them."""

_LOGIN = re.compile(r"(?i)log_?-?in|sign_?-?in|\bsso\b|oauth|saml")

_KEY_HEADERS = re.compile(r"(?i)authorization|key|token|secret")
"""Matches names of headers that carry a key."""

_NOT_THE_API = "a gateway or firewall refused the request, not the API; --raw shows its web page"

_MOST_LISTED = 5
"""Most models that an advice lists."""

_WANTS_HTTPS = r"http request (was sent )?to (an )?https|plain http to an ssl-enabled|speaking http to an https"
_NO_MODEL = (
    r"model_not_found|(unknown|invalid|no such) model|model[ _]?identifier is invalid|not a valid model"
    r"|(?<!/)\bmodel\b\W{0,4}(\S{1,150}\W{1,3})?((you )?(requested|specified) )?((was|is|does|could|currently) )*"
    r"(not (be )?(found|exist|available)|unknown|doesn't exist|isn't available)|models/\S+ is not found"
    r"|unable to access model|deployment\b.{0,40}not (found|exist)|deploymentnotfound|(^|; )model: [^ ;]+(;|$)"
)
"""Messages for an unknown model. This pattern and those below match text in lower case."""
_LIMIT_RENAMED = r"max_tokens\W{1,3}(is|are) not supported|use .?max_completion_tokens"
_LIMIT_TOO_HIGH = r"max(_completion|_output)?_tokens\b.{0,60}(too (large|high|big)|at most|maximum|exceed|<=)"
_TOO_LONG = r"context.{0,20}(length|window|size)|prompt is too long|maximum.{0,20}input length"
_OTHER_PATH = r"(?:did you mean to use|only supported in|please use)\W{1,3}(?:the )?\W?/?v1(/[a-z/_]+)"
_OTHER_API = r"not a chat model|does not support (the )?[\w/ ]{1,40} api\b"
_FOREIGN_HOST = r"invalid host header|host header.{0,40}(not allowed|mismatch)|disallowed host"
_GATEWAY_OF_AWS = "missing authentication token"
"""Message of Amazon's API Gateway for an unknown path, with status 403."""
_APIS_OF_FIELD = {
    "messages": ("openai-chat", "anthropic"),
    "prompt": ("openai-completions",),
    "input": ("openai-responses", "openai-embeddings"),
}
"""Field that a server requires -> the APIs that send it."""

_PLACES = {"header": "--header", "cookie": "--header 'Cookie: ...'"}
"""Place in the request -> the flag that adds something there; for any other place it is `--url`."""

_LEAVING_OUT = {
    "stream_options": "--no-usage leaves it out",
    "include_usage": "--no-usage leaves it out",
    "max_completion_tokens": "--limit-field max_tokens",
    "max_tokens": "--limit-field max_completion_tokens",
    "min_tokens": "drop --min-tokens",
    "ignore_eos": "drop --ignore-eos",
    "stream": "--no-stream",
}
"""Field that a server does not accept -> how to leave it out."""


def hint_of_refusal(probe: Probe, models: Sequence[str]) -> str:
    """The advice; empty if there is none beyond that for the failure class.

    `models`: the models that the target lists; empty if it was not asked.
    """
    refusal = read_refusal(probe.words)
    return _hint_of_message(probe, refusal, models) or _hint_of_status(probe, refusal)


def blames_model(probe: Probe) -> bool:
    """Whether the server says that it does not have the model."""
    refusal = read_refusal(probe.words)
    if probe.outcome in ("http_401", "http_403"):  # a message about the model usually means that the key lacks access
        return "model_not_found" in refusal.names
    failed_at_start = probe.outcome == "stream_error" and not probe.tokens.events
    return (probe.outcome.startswith("http_4") or failed_at_start) and _lacks_model(refusal)


def _lacks_model(refusal: Refusal) -> bool:
    text = "; ".join((refusal.text, *refusal.names)).lower()
    return not refusal.page and bool(re.search(_NO_MODEL, text))


def _hint_of_message(probe: Probe, refusal: Refusal, models: Sequence[str]) -> str:
    """Advice by the server's message, whatever the status."""
    text = refusal.text.lower()
    if re.search(_WANTS_HTTPS, text):
        if probe.where.url.startswith("https:"):
            return "a gateway speaks http to a port that expects https; change that in the gateway"
        return "the server expects https:// on this port"
    if refusal.page or probe.outcome in ("rate_limited", "quota"):
        return ""
    if other := re.search(_OTHER_PATH, text):
        api = {kind.PATH: name for name, kind in APIS.items()}.get(other[1].rstrip("/"), "")
        if api and api != probe.where.api:
            return f"the server offers this model in another API; use --api {api}"
    if probe.outcome == "stream_error" and "unexpected endpoint or method" in text:  # LM Studio's 404 is a 200
        return "the path does not exist; --url takes a host, a base URL that ends in /v1, or an endpoint"
    if re.search(_OTHER_API, text):
        return "the model does not support this API; use another --api or another --model"
    if not probe.where.model and probe.where.model_because and _may_miss_model(probe, refusal):
        return "the request names no model; set one with --model"
    if blames_model(probe):
        return _hint_of_models(probe.where.model, models)
    if re.search(_LIMIT_RENAMED, text):
        return "the server has another name for the limit; use --limit-field max_completion_tokens"
    if refusal.missing_elsewhere:
        place, name = refusal.missing_elsewhere[0]
        return f"the server requires {name} in the {place}; add it with {_PLACES.get(place, '--url')}"
    if refusal.unwanted or refusal.missing:
        return _hint_of_fields(probe, refusal)
    if re.search(r"stream_options|include_usage", text) and probe.where.streamed:
        return "the server does not know stream_options; use --no-usage to leave them out"
    if re.search(_TOO_LONG, text):
        return "prompt and answer together are too long; use a shorter --prompt or a lower --max-tokens"
    if re.search(_LIMIT_TOO_HIGH, text):
        return "the server limits the tokens of an answer; use a lower --max-tokens"
    if re.search(_FOREIGN_HOST, text):
        return "the server does not accept this host name; use the expected name in --url, and --resolve"
    return ""


def _may_miss_model(probe: Probe, refusal: Refusal) -> bool:
    if "model" in refusal.missing or _lacks_model(refusal):
        return True
    if refusal.missing or refusal.unwanted or (refusal.text and lacks_path(refusal)):
        return False
    return probe.outcome in ("http_400", "http_404", "http_422")


def _hint_of_models(model: str, models: Sequence[str]) -> str:
    if not models:
        return "the server does not have this model; without --model the probe asks for the list"
    if model in models:
        return f"the server lists {model} but refuses it; it may not be loaded, or this key may not use it"
    near = difflib.get_close_matches(model, models, 1, 0.6)
    more = f" and {len(models) - _MOST_LISTED} more" if len(models) > _MOST_LISTED else ""
    listed = f"it lists {', '.join(models[:_MOST_LISTED])}{more}"
    if near:
        return f"the server does not have this model; did you mean {near[0]}? ({listed})"
    return f"the server does not have this model; {listed}"


def _hint_of_fields(probe: Probe, refusal: Refusal) -> str:
    """Advice about fields of the body that the server requires or does not accept."""
    given = probe.where.api in AS_GIVEN
    if refusal.unwanted and not given:
        field = refusal.unwanted[0]
        return f"the server does not know {field}: {_LEAVING_OUT.get(field, _leave_out(field))}"
    if not refusal.missing:
        return ""
    field = refusal.missing[0]
    if given:
        return f"the server requires {field}; add it to --body"
    if field == "model":
        return "the request names no model; set one with --model"
    apis = [api for api in _APIS_OF_FIELD.get(field, ()) if api != probe.where.api]
    if apis and probe.where.api not in _APIS_OF_FIELD[field]:
        return f"the server requires {field}, which other APIs send; use --api {' or '.join(apis)}"
    return f"the server requires {field}; add it with --extra-body, or send your own body with --api sse and --body"


def _leave_out(field: str) -> str:
    return f"--extra-body '{{\"{field}\": null}}' leaves it out"


# --- advice by status


def _hint_of_status(probe: Probe, refusal: Refusal) -> str:
    """Advice by status and headers, if the message gave none."""
    where, head, outcome = probe.where, probe.head, probe.outcome
    headers = head.headers if head is not None else {}
    status = head.status if head is not None else 0
    page = refusal.page or "html" in headers.get("content-type", "")
    if outcome.startswith("http_3"):
        return _hint_of_redirect(probe, headers.get("location", ""))
    if outcome == "http_401":
        return _hint_of_missing_key(probe, headers.get("www-authenticate", ""))
    if outcome == "http_404":
        return _hint_of_missing_path(probe, refusal, page=page)
    if outcome == "http_405":
        if page:
            return "the answer is a web page, not an API answer; check --url"
        if meant := url_meant(405, probe.words, where.url, where.api):
            return f"the path exists, but not for this method; did you mean {meant}?"
        allowed = f" (it allows {headers['allow']})" if headers.get("allow") else ""
        if where.api in AS_GIVEN and where.method == "GET" and "POST" in headers.get("allow", ""):
            return "the path exists, but only for POST; add --body"
        return f"the path exists, but not for {where.method}{allowed}; check --url" if allowed else ""
    if outcome == "http_403":
        if page:
            return _NOT_THE_API
        if _GATEWAY_OF_AWS in refusal.text.lower():
            return "an API gateway also answers this for unknown paths; check --url and the key"
        if not _sent_key(probe):
            return "no key was sent: --api-key-env names the variable that holds it"
    if outcome == "http_400" and page:
        return _NOT_THE_API
    if outcome == "rate_limited" and status == 529:
        return "the server is overloaded for all clients; try later"
    if outcome in ("rate_limited", "http_503") and "retry-after" in headers:
        return f"the server asks clients to wait (retry-after: {headers['retry-after']})"
    if outcome in ("http_502", "http_503", "http_504") and where.proxied and where.url.startswith("http:"):
        return "this may come from the proxy, not from the target; --proxy none bypasses it"
    return ""


def _hint_of_missing_path(probe: Probe, refusal: Refusal, *, page: bool) -> str:
    where = probe.where
    meant = url_meant(404, probe.words, where.url, where.api)
    other = guess_api("", urlsplit(meant).path)
    also = f" --api {other}" if other not in (None, where.api) and where.api_because == NAMED else ""
    meant = f"did you mean {meant}{also}?" if meant else ""
    if page:
        return f"the answer is a web page, not an API answer; {meant or 'check --url'}"
    if not lacks_path(refusal):
        return "the server gives its own reason; the path may be right"
    return meant and f"the path does not exist: {meant}"


def _hint_of_missing_key(probe: Probe, wanted: str) -> str:
    if probe.where.proxied and probe.where.url.startswith("http:") and wanted.lower().startswith("negotiate"):
        return "this may come from the proxy, not from the target; --proxy none bypasses it"
    if _sent_key(probe):
        return (
            "the server refused the key; check that it belongs to this host (--api-key-env) and how it is sent (--auth)"
        )
    if wanted.lower().startswith(("basic", "digest")):
        return "the server requires a user and password; put user:password@ before the host in --url"
    return "no key was sent: --api-key-env names the variable that holds it"


def _sent_key(probe: Probe) -> bool:
    """Whether a key was sent, in a header or in the URL (where its value is redacted)."""
    return any(map(_KEY_HEADERS.search, probe.asked.headers)) or "=***" in probe.where.url


def _hint_of_redirect(probe: Probe, location: str) -> str:
    if not location:
        return ""
    where = probe.where
    try:
        there = redact_url(urljoin(where.url, location))
        asked, to = urlsplit(where.url), urlsplit(there)
    except ValueError:
        return f"it redirects to {redact_url(location)}, which is not a URL"
    if where.api not in AS_GIVEN and to.netloc == asked.netloc and to.path == f"{asked.path}/":
        return (
            f"the server requires a slash at the end of the path, which {where.api} never sends; change that on the "
            "server"
        )
    if _LOGIN.search(f"{to.path}?{to.query}"):
        return (
            f"it redirects to {there}, which looks like a login page; check --url and whether the server requires a key"
        )
    return f"it has moved to {there}; use that in --url"
