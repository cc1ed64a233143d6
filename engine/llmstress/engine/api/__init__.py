"""The wire APIs that can be spoken: one module each, and one line here.

Other packages add theirs by an entry point of the group `llmstress.api`: a name, and a subclass of `base.Api`.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points
from types import MappingProxyType

from llmstress.engine.api.anthropic import Anthropic
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.azure_openai import AzureOpenAI
from llmstress.engine.api.base import Api
from llmstress.engine.api.http import Http
from llmstress.engine.api.openai_chat import OpenAIChat
from llmstress.engine.api.openai_completions import OpenAICompletions
from llmstress.engine.api.openai_embeddings import OpenAIEmbeddings
from llmstress.engine.api.openai_responses import OpenAIResponses
from llmstress.engine.api.sse import Sse
from llmstress.engine.api.text import Text

APIS: Mapping[str, type[Api]] = MappingProxyType(
    {
        "anthropic": Anthropic,
        "openai-completions": OpenAICompletions,
        "openai-embeddings": OpenAIEmbeddings,
        "openai-responses": OpenAIResponses,
        "azure-openai": AzureOpenAI,
        "openai-chat": OpenAIChat,
        "sse": Sse,
        "text": Text,
        "http": Http,
    }
)
"""In the order in which they are asked whether a URL is theirs: those with the narrower claims first."""

DEFAULT_API = "openai-chat"

ENTRY_POINTS = "llmstress.api"


def find_api(name: str) -> type[Api]:
    """The API of that name, built in or of an installed package.

    Raises:
        LookupError: there is none; the text lists those that there are.
        TypeError: an installed package's is no `Api`.
    """
    if name in APIS:
        return APIS[name]
    found = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if name not in found:
        raise LookupError(f"unknown API {name!r}; choose from {', '.join([*APIS, *sorted(found)])}")
    api = found[name].load()
    if not (isinstance(api, type) and issubclass(api, Api)):
        raise TypeError(f"{found[name].value} is not an API: {api!r}")
    return api


def make_api(name: str, ask: Ask) -> Api:
    """The API of that name, for what is to be asked.

    Raises:
        LookupError, TypeError: as `find_api`.
    """
    return find_api(name)(ask)


def guess_api(host: str, path: str) -> str | None:
    """The API whose endpoints look like this; None: it isn't unmistakable."""
    return next((name for name, api in APIS.items() if api.claims(host.lower(), path.rstrip("/"))), None)
