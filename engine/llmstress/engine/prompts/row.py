"""One row of a file of prompts: what its requests ask."""

from typing import Any

import msgspec

from llmstress.engine.trace import UNKNOWN


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a row. It has a text, token ids, messages, a body, or a length of a prompt that is to be made."""

    text: str = ""
    ids: tuple[int, ...] = ()
    messages: tuple[dict[str, Any], ...] = ()
    body: dict[str, Any] = {}
    """Members of the body, which are sent as they are."""
    output: int = UNKNOWN
    """Tokens that the answer has at most; `UNKNOWN`: the row does not say."""
    answer: str = ""
    """What the answer was where the row was recorded; empty: the row does not say."""
    input: int = UNKNOWN
    """A prompt of this many tokens is to be made."""
    hash_ids: tuple[int, ...] = ()
    """Ids of the blocks of the prompt that is to be made."""
    delay_s: float = 0.0
    """Wait before this turn."""


class Row(msgspec.Struct, frozen=True):
    """A row of a file of prompts."""

    turns: tuple[Turn, ...]
    """At least one; the requests of a conversation, in their order."""
    session: str = ""
    """Name of the conversation; empty: the row does not say."""
