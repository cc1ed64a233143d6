"""What a user wants asked, whatever the API."""

from typing import Any

import msgspec

DEFAULT_MAX_TOKENS = 128


class Ask(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """One request in the user's terms: each API takes from it what its protocol can say.

    What nobody asked for has its default and is not sent; `Api.TAKES` says which fields an API understands.
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
    """Let the server go on to `max_tokens` whatever the model says (vLLM, SGLang, llama.cpp)."""
    limit_field: str = ""
    """Name of the field that carries `max_tokens`; empty: the API's own choice."""
    stream: bool = True
    usage: bool = True
    """Ask for token counts in the stream, where an API wants to be asked."""
    batch: int = 1
    """Inputs of one request."""
    encoding: str = ""
    """How vectors are written: float or base64; empty: as the server likes."""
    extra: dict[str, Any] = {}
    """Merged into the body at the end; a null removes a key."""
    version: str = ""
    """Of the API, where it has dated ones."""
    auth: str = ""
    """How the key is sent: bearer, x-api-key or api-key; empty: the API's own way."""
    method: str = ""
    body: str | None = None
    """Template of the body: `{prompt}` and `{model}` stand for their JSON strings' insides."""
    text: str = ""
    """Where an event has its text: a path like `choices.0.delta.content`; empty: all of its data."""
    done: str = ""
    """Data or name of the event that says the stream is over; empty: the end of the body, or `[DONE]`."""
    error_event: str = ""
    """Name of the events that are errors; empty: `error`."""

    @property
    def limit(self) -> int:
        """Limit of output tokens."""
        return DEFAULT_MAX_TOKENS if self.max_tokens is None else self.max_tokens

    @property
    def least_output(self) -> int:
        """Tokens that an answer is asked to have, at least; 0: nobody said."""
        return max(self.min_tokens or 0, self.limit if self.ignore_eos else 0)
