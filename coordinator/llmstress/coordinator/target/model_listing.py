"""The request for the target's models before a run: is the target reachable, does it accept the key, does it have the
model? This request is not part of any figure."""

from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from llmstress.coordinator.config.errors import CouldNotStart
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.target_url import Target, redact_url
from llmstress.coordinator.target import proxies
from llmstress.coordinator.target.network import PROXY_FLAG
from llmstress.coordinator.target.resolved_target import ResolvedTarget
from llmstress.coordinator.target.url_typos import suspected
from llmstress.engine.connect.connect_errors import end_of_failed_connect
from llmstress.engine.connect.dialer import make_connector, tls_context
from llmstress.engine.control import Network
from llmstress.engine.outcome import End
from llmstress.engine.secrets import redact

LISTING_LIMIT_S, SCHEME_LIMIT_S = 3.0, 2.0
"""Time limits: for the request for the models, and for the request that tries the other scheme."""

_MOST_BYTES = 1 << 20
"""Bytes of the answer that are read at most."""


class ModelListing(msgspec.Struct, frozen=True):
    """The models that the target lists, or why they are unknown."""

    models: tuple[str, ...] = ()
    """Empty: unknown, or none."""
    reason: str = "it was not asked"
    """Why `models` is empty."""
    warning: str = ""
    """A warning for the user, whatever model is chosen; empty: none."""


async def list_models(resolved: ResolvedTarget, network: Network) -> ModelListing:
    """Send one `GET .../models` over `network`.

    Raises:
        CouldNotStart: the target cannot be reached, it refuses the key (401, 403), or a proxy refuses the request.
            Other answers do not keep a run from starting.
    """
    target = resolved.target
    timeout = aiohttp.ClientTimeout(total=LISTING_LIMIT_S)
    asked = redact_url(target.models_url)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=make_connector(network)) as session,
            session.get(
                target.models_url,
                headers=dict(resolved.headers),
                allow_redirects=False,
                proxy=network.proxy or None,
                ssl=tls_context(network.tls),
            ) as response,
        ):
            text = (await _beginning_of(response.content)).decode("utf-8", "replace")
            status, message = response.status, redact(text, resolved.secrets)[:200].strip()
            hint = _hint_of_proxy(resolved, network, response, text)
            if status in (401, 403):
                key = "check the key; --api-key-env names its variable"
                refuser = f"the target, or {_proxy_of(resolved, network)}," if hint else "the target"
                raise CouldNotStart(
                    f"{refuser} refused the request for its models with {status}: {message!r} "
                    f"({hint or key}; --no-probe skips this request)"
                )
            if status == 400:  # many servers that expect TLS answer plain http with 400
                await _check_scheme(target, network)
            if status != 200:
                answer = f"{asked} answered the request for its models with {status}"
                if hint:
                    return ModelListing(reason=answer, warning=f"{answer}: {hint}")
                meant = suspected(redact_url(target.url), resolved.api.PATH) if status == 404 else ""
                return ModelListing(reason=f"{answer}; did you mean --url {meant}?" if meant else answer)
            models = _models_in(text)
            if models is None:
                return ModelListing(reason=f"{asked} returned no list of models; check --url")
            return ModelListing(models, "the target lists none")
    except (aiohttp.ClientError, TimeoutError) as error:
        end = end_of_failed_connect(error, https=target.url.startswith("https:"), proxied=bool(network.proxy))
        # "tls": in TLS 1.3 a server can refuse a client after the handshake has succeeded on the client's side
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError) or end.outcome == "tls":
            raise CouldNotStart(_why_not_reached(resolved, network, error, end)) from error
        await _check_scheme(target, network)
        if isinstance(error, TimeoutError):
            return ModelListing(
                reason=f"{asked} did not answer the request for its models within {LISTING_LIMIT_S:g} s"
            )
        return ModelListing(reason=f"asking {asked} for its models failed ({type(error).__name__})")


async def _check_scheme(target: Target, network: Network) -> None:
    """Send a request without secrets in the other scheme (https for http, http for https).

    Raises:
        CouldNotStart: the server answers in that scheme.
    """
    split = urlsplit(target.url)
    given, other = split.scheme, "http" if split.scheme == "https" else "https"
    if network.proxy or (network.unix_socket and other == "https"):
        return
    timeout = aiohttp.ClientTimeout(total=SCHEME_LIMIT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=make_connector(network)) as session,
            session.get(f"{other}://{split.netloc}/", allow_redirects=False, ssl=False),
        ):
            pass
    except (aiohttp.ClientError, TimeoutError):
        return
    raise CouldNotStart(
        f"{redact_url(target.url)} (--url): the server at this port speaks {other}, not {given}: "
        f"write {other}:// instead of {given}://"
    )


def _hint_of_proxy(resolved: ResolvedTarget, network: Network, response: aiohttp.ClientResponse, text: str) -> str:
    """Advice about an answer that may come from a proxy; empty if it comes from the target.

    Raises:
        CouldNotStart: the answer certainly comes from the proxy.
    """
    split = urlsplit(resolved.target.url)
    if not network.proxy or split.scheme != "http":
        return ""
    headers = {name.lower(): value for name, value in response.headers.items()}
    source = proxies.source_of(response.status, headers, text, split.hostname or "")
    hint = proxies.hint_of(response.status, headers, text, split.hostname or "")
    if source is proxies.Source.PROXY:
        message = redact(text, resolved.secrets)[:200].strip()
        raise CouldNotStart(f"{_proxy_of(resolved, network)} answered {response.status}: {message!r} ({hint})")
    return hint


def _why_not_reached(resolved: ResolvedTarget, network: Network, error: Exception, end: End) -> str:
    url = resolved.target.url
    if end.outcome == "proxy" or (network.proxy and end.outcome == "dns"):
        proxy = _proxy_of(resolved, network)
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return f"{proxy} could not connect to the target: {end.text}"
        return f"{proxy} can't be reached: {end.text} ({proxies.way_around(urlsplit(url).hostname or '')})"
    if network.unix_socket:
        return f"{network.unix_socket} (--unix-socket) can't be reached: {end.text}"
    return f"{redact_url(url)} (--url) can't be reached: {end.text}"


def _proxy_of(resolved: ResolvedTarget, network: Network) -> str:
    """The proxy's URL without its password, and where the proxy was set."""
    flag = resolved.proxy_flag
    named_by = flag if flag == PROXY_FLAG else f"the environment's {flag}"
    return f"the proxy {redact_url(network.proxy)} ({named_by})"


def choose_model(options: Options, listing: ModelListing) -> tuple[str, str]:
    """The model to request, and a warning about it (empty if there is none).

    Raises:
        CouldNotStart: `--model` was not given, and the target does not list exactly one model.
    """
    if options.model is None:
        if len(listing.models) == 1:
            return listing.models[0], f"no --model given: using the only one listed, {listing.models[0]}"
        listed = f"the target lists {', '.join(listing.models[:5])}" if listing.models else ""
        known = listed or listing.warning or listing.reason
        if not listing.models and listing.reason:
            then = " If" if known.endswith("?") else "; if"
            raise CouldNotStart(f"{known}{then} the URL is right, name the model with --model")
        raise CouldNotStart(f"name the model with --model ({known})")
    if listing.models and options.model not in listing.models:
        listed = ", ".join(listing.models[:5])
        unlisted = f"the target does not list the model {options.model!r}; it lists {listed}"
        return options.model, f"{unlisted}. The run requests {options.model!r} anyway"
    return options.model, listing.warning


async def _beginning_of(content: aiohttp.StreamReader) -> bytes:
    data = b""
    while len(data) < _MOST_BYTES and (more := await content.read(_MOST_BYTES - len(data))):
        data += more
    return data


def _models_in(text: str) -> tuple[str, ...] | None:
    """The names of the models; None if `text` is not a list of models."""
    try:
        value: Any = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None
    entries = value.get("data") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        return None
    return tuple(entry["id"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str))
