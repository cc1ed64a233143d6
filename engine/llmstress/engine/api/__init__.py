"""The wire APIs of llmstress: each has a module of its own and one line in `APIS`.

Other packages add APIs with an entry point in the group `llmstress.api`: a name, and a subclass of `base.Api`.
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
"""Name -> API. `guess_api` asks them in this order, so APIs that claim fewer URLs come first."""

DEFAULT_API = "openai-chat"

ENTRY_POINTS = "llmstress.api"


def names_of_apis() -> list[str]:
    """The names of all APIs: those of llmstress, then those of installed packages."""
    return [*APIS, *sorted(entry.name for entry in entry_points(group=ENTRY_POINTS))]


def find_api(name: str) -> type[Api]:
    """The API of this name, from llmstress or from an installed package.

    Raises:
        LookupError: there is no API of this name; the text lists the names.
        TypeError: the entry point of an installed package is not a subclass of `Api`.
    """
    if name in APIS:
        return APIS[name]
    found = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if name not in found:
        raise LookupError(f"unknown API {name!r}; choose from {', '.join(names_of_apis())}")
    api = found[name].load()
    if not (isinstance(api, type) and issubclass(api, Api)):
        raise TypeError(f"{found[name].value} is not an API: {api!r}")
    return api


def make_api(name: str, ask: Ask) -> Api:
    """An instance of the API of this name for the requests that `ask` describes.

    Raises:
        LookupError, TypeError: as in `find_api`.
        ValueError: the API does not support what `ask` asks for.
    """
    return find_api(name)(ask)


def guess_api(host: str, path: str) -> str | None:
    """The name of the API to which a URL with this host and path clearly belongs; None: there is no such API."""
    return next((name for name, api in APIS.items() if api.claims(host.lower(), path.rstrip("/"))), None)
