"""The headers of a request, and the API key among them."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.keys import from_environment, variable_of
from llmstress.coordinator.config.options import LONGEST_HEADER, Options
from llmstress.coordinator.config.parsing import fits_a_header
from llmstress.coordinator.config.target_url import Target
from llmstress.engine.api.base import Api
from llmstress.engine.http.request import basic

KEY_OWNERS = {
    "OPENAI_API_KEY": "api.openai.com",
    "ANTHROPIC_API_KEY": "api.anthropic.com",
    "AZURE_OPENAI_API_KEY": ".openai.azure.com",
}
"""Environment variable with a provider's key -> the host, or the suffix of the hosts, that get it without
`--api-key-env`."""

_KEY_HEADERS = frozenset({"authorization", "x-api-key", "api-key"})
"""Headers that carry a key."""


def build_headers(options: Options, api: Api, target: Target, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """The headers of the API and those of the options; a header of `--header` replaces one of the API.

    Raises:
        UsageError: a named variable is not set or is empty, or the key contains characters that a header can't carry.
    """
    headers = given_headers(options, environ)
    given = {name.lower() for name, _ in headers}
    key = find_key(options, urlsplit(target.url).hostname or "", environ)
    own = api.headers(key)
    if key is None and target.userinfo:
        own.append(("Authorization", basic(target.userinfo)))
    return headers + [(name, value) for name, value in own if name.lower() not in given]


def given_headers(options: Options, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """The headers of `--header`, with `env:NAME` replaced by the value of the variable.

    Raises:
        UsageError: a variable is not set, is empty, or is longer than any server accepts.
    """
    headers = []
    for name, value in options.headers:
        if (variable := variable_of(value)) is not None:
            try:
                value = from_environment(variable, environ)
            except ValueError as error:
                raise UsageError(f"--header {name}: {error}") from error
            if len(value) > LONGEST_HEADER:
                raise UsageError(f"--header {name}: its value has {len(value):,} characters, which no server accepts")
        headers.append((name, value))
    return headers


def find_key(options: Options, host: str, environ: Mapping[str, str]) -> str | None:
    """The API key to send to `host`; None if there is none. Raises as `find_key_variable`."""
    name = find_key_variable(options, host, environ)
    return None if name is None else environ[name].strip()


def find_key_variable(options: Options, host: str, environ: Mapping[str, str]) -> str | None:
    """The environment variable with the API key to send to `host`: that of `--api-key-env`, else the provider's own if
    `host` is the provider's; None if there is no key.

    Raises:
        UsageError: the named variable is not set or is empty, or the key contains characters that a header can't carry.
    """
    named = options.api_key_env
    if named is not None:
        try:
            from_environment(named, environ)
        except ValueError as error:
            raise UsageError(f"--api-key-env: {error}") from error
    names = [named] if named is not None else [name for name, owner in KEY_OWNERS.items() if _is_of(owner, host)]
    for name in names:
        if key := environ.get(name, "").strip():  # a key from a file often ends with a line break
            if not fits_a_header(key):
                raise UsageError(
                    f"the key in {name} (--api-key-env) contains characters that are not allowed in a header"
                )
            return name
    return None


def _is_of(owner: str, host: str) -> bool:
    return host.endswith(owner) if owner.startswith(".") else host == owner


def key_variables(options: Options) -> frozenset[str]:
    """Names of the environment variables that may contain a secret of this run."""
    named = [variable for _, value in options.headers if (variable := variable_of(value)) is not None]
    return frozenset({*KEY_OWNERS, *named, *([options.api_key_env] if options.api_key_env else [])})


def warning_of_plain_http(target: Target, headers: list[tuple[str, str]]) -> str:
    """A warning if a key would be sent over a network without encryption; else empty."""
    split = urlsplit(target.url)
    host = split.hostname or ""
    local = host in ("localhost", "::1") or host.startswith("127.")
    if split.scheme == "https" or local or not any(name.lower() in _KEY_HEADERS for name, _ in headers):
        return ""
    return f"the key is sent to {host} over unencrypted http"
