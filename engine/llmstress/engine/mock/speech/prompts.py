"""What requests of several APIs have in common."""

from typing import Any


def words_in(content: Any) -> int:
    """A plausible count of tokens, always the same for the same prompt: its words.

    `content` is text, or a list of texts and of parts with a `text`; what is anything else counts nothing.
    """
    if isinstance(content, str):
        return len(content.split())
    if isinstance(content, list):
        return sum(words_in(part.get("text") if isinstance(part, dict) else part) for part in content)
    return 0


def positive(limit: int | None) -> int | None:
    """A limit of tokens.

    Raises:
        ValueError: it is below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError("the maximum of tokens has to be at least 1")
    return limit
