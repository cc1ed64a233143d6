"""The headers that are sent, and the key among them."""

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
"""Key variable -> the only host, or the end of the only hosts, that it is sent to without being named."""


def build_headers(options: Options, api: Api, target: Target, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """The headers of the API, and those that the options ask for; what `--header` gives wins.

    Raises:
        UsageError: a variable that was named isn't set or is empty, or a key can't be sent.
    """
    headers = given_headers(options, environ)
    given = {name.lower() for name, _ in headers}
    key = find_key(options, urlsplit(target.url).hostname or "", environ)
    own = api.headers(key)
    if key is None and target.userinfo:
        own.append(("Authorization", basic(target.userinfo)))
    return headers + [(name, value) for name, value in own if name.lower() not in given]


def given_headers(options: Options, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """The headers of `--header`, those from the environment with their values.

    Raises:
        UsageError: a variable isn't set or is empty, or is longer than any server takes.
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
    """The API key to send to `host`: of the variable that was named, else a provider's own to the provider's host.

    Raises:
        UsageError: the variable that was named isn't set or is empty, or the key can't be sent.
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
            return key
    return None


def _is_of(owner: str, host: str) -> bool:
    return host.endswith(owner) if owner.startswith(".") else host == owner


def key_variables(options: Options) -> frozenset[str]:
    """Names of the variables that may hold a secret which is sent."""
    named = [variable for _, value in options.headers if (variable := variable_of(value)) is not None]
    return frozenset({*KEY_OWNERS, *named, *([options.api_key_env] if options.api_key_env else [])})
