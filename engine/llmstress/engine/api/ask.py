"""The content of a request, independent of the API."""

from typing import Any

import msgspec

DEFAULT_MAX_TOKENS = 128


class Ask(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What one request asks, in the user's terms. `Api.TAKES` has the fields that an API supports.

    A field that the user has not set is not sent, except the limit of output tokens.
    """

    model: str = ""
    prompt: str = ""
    prompt_ids: tuple[int, ...] = ()
    """Token ids, instead of the prompt."""
    messages: tuple[dict[str, Any], ...] = ()
    """A conversation, instead of the prompt: what `role` and `content` say, the oldest message first."""
    system: str | None = None
    max_tokens: int | None = None
    """Limit of output tokens; None: `DEFAULT_MAX_TOKENS`."""
    min_tokens: int | None = None
    ignore_eos: bool = False
    """The server generates `max_tokens` tokens even if the model ends earlier (vLLM, SGLang, llama.cpp)."""
    limit_field: str = ""
    """Name of the field that carries `max_tokens`; empty: the API's default."""
    stream: bool = True
    usage: bool = True
    """Ask for token counts in the stream, if the API sends them on request only."""
    batch: int = 1
    """Number of inputs of one request."""
    encoding: str = ""
    """Encoding of vectors: `float` or `base64`; empty: the server's default."""
    extra: dict[str, Any] = {}
    """Merged into the body last; a null removes the member."""
    version: str = ""
    """Version of the API, if it has dated versions; empty: the module's default."""
    auth: str = ""
    """How the key is sent: `bearer`, `x-api-key` or `api-key`; empty: the API's default."""
    method: str = ""
    """HTTP method; empty: the API's default."""
    body: str | None = None
    """Template of the body. `{prompt}` and `{model}` are replaced by their texts, escaped as in a JSON string."""
    text: str = ""
    """Path to the text in an event's JSON, like `choices.0.delta.content`; empty: all data of the event is its text."""
    done: str = ""
    """Data or name of the event that ends a stream; empty: `[DONE]`, or the end of the body."""
    error_event: str = ""
    """Name of the events that are errors; empty: `error`."""

    @property
    def limit(self) -> int:
        """Limit of output tokens, with the default."""
        return DEFAULT_MAX_TOKENS if self.max_tokens is None else self.max_tokens

    @property
    def conversation(self) -> list[dict[str, Any]]:
        """The messages; a prompt is one message of the user."""
        return [*self.messages] or [{"role": "user", "content": self.prompt}]

    @property
    def as_text(self) -> str:
        """The prompt, or the messages as a text, for APIs that continue a text: a line for each, and its role before
        it. The text of parts other than `text` is left out."""
        if not self.messages:
            return self.prompt
        return "\n".join(f"{each.get('role', 'user')}: {text_of(each.get('content'))}" for each in self.messages)

    @property
    def least_output(self) -> int:
        """The least number of tokens that the request asks for; 0: no such number."""
        return max(self.min_tokens or 0, self.limit if self.ignore_eos else 0)


def text_of(content: Any) -> str:
    """The text of a message, whose content is a text, or a list of parts of which some have a `text`."""
    if isinstance(content, list):
        return " ".join(filter(None, map(text_of, content)))
    found = content.get("text") if isinstance(content, dict) else content
    return found if isinstance(found, str) else ""
