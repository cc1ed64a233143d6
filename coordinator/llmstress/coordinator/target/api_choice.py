"""Which API is spoken, and whether what was asked for can be said in it."""

import msgspec

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.target_url import split_url
from llmstress.engine.api import APIS, DEFAULT_API, find_api, guess_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.azure_openai import AzureOpenAI
from llmstress.engine.api.base import Api

FLAGS = {
    "prompt_ids": "--prompt-ids",
    "system": "--system",
    "max_tokens": "--max-tokens",
    "min_tokens": "--min-tokens",
    "ignore_eos": "--ignore-eos",
    "limit_field": "--limit-field",
    "batch": "--batch",
    "encoding": "--encoding",
    "auth": "--auth",
    "version": "--api-version",
    "method": "--method",
    "body": "--body",
    "text": "--text",
    "done": "--done",
    "error_event": "--error-event",
}
"""Field of `Ask` -> the flag that says it, for those that only some APIs know."""

NAMED = "named with --api"
"""Why that API: the user says so."""

_OPENAI_APIS = ("openai-chat", "openai-completions", "openai-embeddings", "openai-responses")
"""Those that Azure speaks as well, with the key in a header of its own."""


def name_of_api(options: Options, url: str) -> str:
    """The name of the API to speak to `url`."""
    if options.api is not None:
        return options.api
    return _guessed(url) or DEFAULT_API


def why_this_api(options: Options, url: str) -> str:
    """What `name_of_api` went by."""
    if options.api is not None:
        return NAMED
    return "guessed from the URL" if _guessed(url) else "the default: nothing in the URL says otherwise"


def _guessed(url: str) -> str | None:
    split = split_url(url)
    return guess_api(split.hostname or "", split.path) if split is not None else None


def ask_of(options: Options, url: str, model: str) -> Ask:
    """What every request to `url` asks of `model`."""
    ask = options.ask(model)
    split, name = split_url(url), name_of_api(options, url)
    host = (split.hostname or "") if split else ""
    if not ask.limit_field and f".{host}".endswith(".api.openai.com") and name == "openai-chat":
        # of the servers that speak it, this one has models that refuse the name that all others know
        return msgspec.structs.replace(ask, limit_field="max_completion_tokens")
    if not ask.auth and name in _OPENAI_APIS and split and AzureOpenAI.claims(host, split.path):
        return msgspec.structs.replace(ask, auth=AzureOpenAI.AUTH)
    return ask


def choose_api(name: str, ask: Ask) -> Api:
    """The API of that name, for what is to be asked.

    Raises:
        UsageError: there is none, or it can't say what was asked for.
    """
    try:
        kind = find_api(name)
    except (LookupError, TypeError, ImportError, AttributeError) as error:
        raise UsageError(f"--api {name}: {error.args[0] if error.args else error}") from error
    plain = Ask()
    for field, flag in FLAGS.items():
        if getattr(ask, field) != getattr(plain, field) and field not in kind.TAKES:
            takers = ", ".join(other for other, api in APIS.items() if field in api.TAKES)
            raise UsageError(f"{flag} isn't supported by {name}: drop it, or choose an API that supports it ({takers})")
    try:
        return kind(ask)
    except ValueError as error:
        raise UsageError(f"--api {name}: {error}") from error
