"""Asking the target, before anything starts, whether it is there, takes the key and has the model. Never counted."""

from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from llmstress.coordinator.config.errors import CouldNotStart
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.target_url import Target, redact_url
from llmstress.coordinator.target import proxies
from llmstress.coordinator.target.network import PROXY_FLAG
from llmstress.coordinator.target.resolved import Approach
from llmstress.coordinator.target.url_typos import suspected
from llmstress.engine.connect.connect_errors import end_of_failed_connect
from llmstress.engine.connect.dialer import make_connector, tls_context
from llmstress.engine.control import Network
from llmstress.engine.outcome import End
from llmstress.engine.secrets import blank_out

PROBE_LIMIT_S, SCHEME_LIMIT_S = 3.0, 2.0

_MOST = 1 << 20
"""Bytes of its answer that are read."""

_KEYS = frozenset({"authorization", "x-api-key", "api-key"})
"""Headers that carry one."""


class Answer(msgspec.Struct, frozen=True):
    """What the target said when asked for its models."""

    models: tuple[str, ...] = ()
    """Empty: it didn't say."""
    instead: str = "it was not asked"
    """What it said if it named no models."""
    warning: str = ""
    """What is worth a warning in any case."""


def warning_of_plain_http(target: Target, headers: list[tuple[str, str]]) -> str:
    """A warning if a key would cross a network in the clear; empty if not."""
    split = urlsplit(target.url)
    host = split.hostname or ""
    local = host in ("localhost", "::1") or host.startswith("127.")
    if split.scheme == "https" or local or not any(name.lower() in _KEYS for name, _ in headers):
        return ""
    return f"the key is sent to {host} over unencrypted http"


async def ask_for_models(approach: Approach, network: Network) -> Answer:
    """One `GET .../models` over `network`: is the target there, does it accept the key?

    Raises:
        CouldNotStart: it can't be reached, or refuses the key (401, 403), or a proxy refuses to pass the question on.
            Any other answer is no conclusion.
    """
    target = approach.target
    timeout = aiohttp.ClientTimeout(total=PROBE_LIMIT_S)
    asked = redact_url(target.models_url)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=make_connector(network)) as session,
            session.get(
                target.models_url,
                headers=dict(approach.headers),
                allow_redirects=False,
                proxy=network.proxy or None,
                ssl=tls_context(network.tls),
            ) as response,
        ):
            text = (await _beginning_of(response.content)).decode("utf-8", "replace")
            status, words = response.status, blank_out(text, approach.secrets)[:200].strip()
            hint = _hint_of_proxy(approach, network, response, text)
            if status in (401, 403):
                key = "check the key; --api-key-env names its variable"
                who = f"the target, or {_proxy_of(approach, network)}," if hint else "the target"
                raise CouldNotStart(
                    f"{who} refused the request for its models with {status}: {words!r} "
                    f"({hint or key}; --no-probe skips this question)"
                )
            if status == 400:  # what a server that wants TLS says to plain http, if it says anything
                await _check_scheme(target, network)
            if status != 200:
                said = f"{asked} answered the request for its models with {status}"
                if hint:
                    return Answer(instead=said, warning=f"{said}: {hint}")
                meant = suspected(redact_url(target.url), approach.api.PATH) if status == 404 else ""
                return Answer(instead=f"{said}; did you mean --url {meant}?" if meant else said)
            models = _models_in(text)
            if models is None:
                return Answer(instead=f"{asked} returned no list of models; check --url")
            return Answer(models, "the target lists none")
    except (aiohttp.ClientError, TimeoutError) as error:
        end = end_of_failed_connect(error, https=target.url.startswith("https:"), proxied=bool(network.proxy))
        # TLS: in version 1.3 a server refuses a client after the client's part of the handshake is done
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError) or end.outcome == "tls":
            raise CouldNotStart(_why_not_reached(approach, network, error, end)) from error
        await _check_scheme(target, network)
        if isinstance(error, TimeoutError):
            return Answer(instead=f"{asked} did not answer the request for its models within {PROBE_LIMIT_S:g} s")
        return Answer(instead=f"asking {asked} for its models failed ({type(error).__name__})")


async def _check_scheme(target: Target, network: Network) -> None:
    """Ask a server that isn't understood in the other scheme (https for http, http for https), and send no secret.

    Raises:
        CouldNotStart: it answers.
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


def _hint_of_proxy(approach: Approach, network: Network, response: aiohttp.ClientResponse, text: str) -> str:
    """What to do about an answer that a proxy may have given instead of the target; empty: it is the target's.

    Raises:
        CouldNotStart: the proxy has given it, for sure.
    """
    split = urlsplit(approach.target.url)
    if not network.proxy or split.scheme != "http":
        return ""
    headers = {name.lower(): value for name, value in response.headers.items()}
    source = proxies.source_of(response.status, headers, text, split.hostname or "")
    hint = proxies.hint_of(response.status, headers, text, split.hostname or "")
    if source is proxies.Source.PROXY:
        words = blank_out(text, approach.secrets)[:200].strip()
        raise CouldNotStart(f"{_proxy_of(approach, network)} answered {response.status}: {words!r} ({hint})")
    return hint


def _why_not_reached(approach: Approach, network: Network, error: Exception, end: End) -> str:
    url = approach.target.url
    if end.outcome == "proxy" or (network.proxy and end.outcome == "dns"):
        proxy = _proxy_of(approach, network)
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return f"{proxy} could not connect to the target: {end.text}"
        return f"{proxy} can't be reached: {end.text} ({proxies.way_around(urlsplit(url).hostname or '')})"
    if network.unix_socket:
        return f"{network.unix_socket} (--unix-socket) can't be reached: {end.text}"
    return f"{redact_url(url)} (--url) can't be reached: {end.text}"


def _proxy_of(approach: Approach, network: Network) -> str:
    """The proxy, without its password, and what named it."""
    flag = approach.proxy_flag
    named_by = flag if flag == PROXY_FLAG else f"the environment's {flag}"
    return f"the proxy {redact_url(network.proxy)} ({named_by})"


def choose_model(options: Options, answer: Answer) -> tuple[str, str]:
    """The model to ask for, and a warning about it (empty if there is none).

    Raises:
        CouldNotStart: none was named, and the target doesn't have exactly one.
    """
    if options.model is None:
        if len(answer.models) == 1:
            return answer.models[0], f"no --model given: using the only one listed, {answer.models[0]}"
        listed = f"the target lists {', '.join(answer.models[:5])}" if answer.models else ""
        known = listed or answer.warning or answer.instead
        if not answer.models and answer.instead:
            then = " If" if known.endswith("?") else "; if"
            raise CouldNotStart(f"{known}{then} the URL is right, name the model with --model")
        raise CouldNotStart(f"name the model with --model ({known})")
    if answer.models and options.model not in answer.models:
        listed = ", ".join(answer.models[:5])
        unlisted = f"the target does not list the model {options.model!r}; it lists {listed}"
        return options.model, f"{unlisted}. The run asks for {options.model!r} all the same"
    return options.model, answer.warning


async def _beginning_of(content: aiohttp.StreamReader) -> bytes:
    data = b""
    while len(data) < _MOST and (more := await content.read(_MOST - len(data))):
        data += more
    return data


def _models_in(text: str) -> tuple[str, ...] | None:
    """The names; None: that is no list of models."""
    try:
        value: Any = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None
    entries = value.get("data") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        return None
    return tuple(entry["id"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str))
