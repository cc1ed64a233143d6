"""Azure OpenAI: chat completions of a deployment, watched by a filter that reports in chunks of its own."""

import re
from urllib.parse import quote

from llmstress.engine.api.base import Endpoint
from llmstress.engine.api.openai_chat import OpenAIChat

VERSION = "2024-10-21"
"""The latest dated version that is no preview. What lies below `/openai/v1` has none."""

_HOSTS = (".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com")


class AzureOpenAI(OpenAIChat):
    """`POST /openai/deployments/{model}/chat/completions?api-version=...`, or `POST /openai/v1/chat/completions`.

    Other providers have an `/openai/v1`, too, with a bearer's key: only Azure's hosts, and paths with deployments, are
    unmistakable. What Azure lists as models are no deployments, so it isn't asked.
    """

    TAKES = OpenAIChat.TAKES | {"version"}
    NEEDS_MODEL = False
    AUTH = "api-key"
    LIMIT_FIELD = "max_completion_tokens"

    @classmethod
    def claims(cls, host: str, path: str) -> bool:
        """See `Api`."""
        return "/openai/deployments/" in path or host.endswith(_HOSTS)

    def endpoint(self, path: str, query: str) -> Endpoint:
        """See `Api`.

        Raises:
            ValueError: the deployment is named neither in the path nor as the model, or there are two versions.
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
