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
    def least_output(self) -> int:
        """The least number of tokens that the request asks for; 0: no such number."""
        return max(self.min_tokens or 0, self.limit if self.ignore_eos else 0)
