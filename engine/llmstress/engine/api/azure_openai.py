"""Azure OpenAI: the chat completions of a deployment. Azure's content filter reports in chunks of its own."""

import re
from urllib.parse import quote

from llmstress.engine.api.base import Endpoint
from llmstress.engine.api.openai_chat import OpenAIChat

VERSION = "2024-10-21"
"""The latest dated version that is not a preview. Endpoints below `/openai/v1` have no version."""

_HOSTS = (".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com")


class AzureOpenAI(OpenAIChat):
    """`POST /openai/deployments/{model}/chat/completions?api-version=...`, or `POST /openai/v1/chat/completions`.

    Other providers have a path `/openai/v1`, too, with a bearer key. So only Azure's hosts and paths with deployments
    clearly belong to Azure. Azure's list of models does not contain the deployments, so it is not requested.
    """

    TAKES = OpenAIChat.TAKES | {"version"}
    NEEDS_MODEL = False
    AUTH = "api-key"
    LIMIT_FIELD = "max_completion_tokens"

    @classmethod
    def claims(cls, host: str, path: str) -> bool:
        """Whether the host is Azure's, or the path names a deployment."""
        return "/openai/deployments/" in path or host.endswith(_HOSTS)

    def endpoint(self, path: str, query: str) -> Endpoint:
        """The endpoint of the deployment that the path or else the model names, with the version of the API.

        Raises:
            ValueError: neither the path nor the model names a deployment, or the URL's `api-version` contradicts
                `ask.version`.
        """
        base, model, version = path.rstrip("/").removesuffix(self.PATH), self.ask.model, self.ask.version
        if "/openai/deployments/" not in base and not model:
            raise ValueError("it names no deployment; set it with --model")
        if not base.endswith("/openai/v1"):
            version = version or VERSION
            if "/openai/deployments/" not in base:
                base = f"{base.removesuffix('/openai')}/openai/deployments/{quote(model, safe='')}"
        given = re.search(r"(?:^|&)api-version=([^&]*)", query)
        if given is None and version:
            query = "&".join([*filter(None, [query]), f"api-version={quote(version, safe='')}"])
        elif given is not None and self.ask.version not in ("", given[1]):
            raise ValueError(f"its api-version={given[1]} contradicts --api-version; drop one of them")
        return Endpoint(base + self.PATH, query)
