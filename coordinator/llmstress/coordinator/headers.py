"""The headers that are sent, and the key among them."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from llmstress.coordinator.errors import UsageError
from llmstress.coordinator.options import Options
from llmstress.coordinator.target import Target
from llmstress.coordinator.texts import fits_a_header
from llmstress.engine.api.base import Api
from llmstress.engine.request import basic

KEY_OWNERS = {
    "OPENAI_API_KEY": "api.openai.com",
    "ANTHROPIC_API_KEY": "api.anthropic.com",
    "AZURE_OPENAI_API_KEY": ".openai.azure.com",
}
"""Key variable -> the only host, or the end of the only hosts, that it is sent to without being named."""


def build_headers(options: Options, api: Api, target: Target, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """The headers of the API, and those that the options ask for; what `--header` gives wins.

    Raises:
        UsageError: the variable named by `--api-key-env` isn't set, or a key can't be sent.
    """
    headers = list(options.headers)
    given = {name.lower() for name, _ in headers}
    key = find_key(options, urlsplit(target.url).hostname or "", environ)
    own = api.headers(key)
    if key is None and target.userinfo:
        own.append(("Authorization", basic(target.userinfo)))
    return headers + [(name, value) for name, value in own if name.lower() not in given]


def find_key(options: Options, host: str, environ: Mapping[str, str]) -> str | None:
    """The API key to send to `host`: of the variable that was named, else a provider's own to the provider's host.

    Raises:
        UsageError: the variable that was named isn't set, or the key can't be sent.
    """
    named = options.api_key_env
    names = [named] if named is not None else [name for name, owner in KEY_OWNERS.items() if _is_of(owner, host)]
    for name in names:
        if key := environ.get(name, "").strip():  # a key from a file often ends with a line break
            if not fits_a_header(key):
                raise UsageError(f"the key in {name} (--api-key-env) has characters that no header can carry")
            return key
    if named is not None:
        raise UsageError(f"--api-key-env {named}: the environment has no such variable")
    return None


def _is_of(owner: str, host: str) -> bool:
    return host.endswith(owner) if owner.startswith(".") else host == owner


def key_variables(options: Options) -> frozenset[str]:
    """Names of the variables that may hold a key."""
    return frozenset({*KEY_OWNERS, *([options.api_key_env] if options.api_key_env else [])})
