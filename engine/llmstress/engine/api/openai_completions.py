"""OpenAI's older Completions, which continue a prompt of text or token IDs."""

from typing import Any, Generic, TypeVar

import msgspec

from llmstress.engine.api.answers import Draft
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.base import Api, Classify
from llmstress.engine.api.meaning import TOKEN, Meaning, TokenOf
from llmstress.engine.api.openai_choices import Chunk, Dialect, add_unknown_reasoning, first_choice_in, whole

_Text = TypeVar("_Text")


class _Choice(msgspec.Struct, Generic[_Text], gc=False):
    text: _Text | None = None
    finish_reason: str | None = None
    index: int | None = 0
    error: Any = None

    def token(self) -> TokenOf | None:
        """A visible token if the choice has text."""
        return TokenOf(self.index or 0, visible=True, reasoning=False) if self.text else None


_decode_chunk = msgspec.json.Decoder(Chunk[_Choice[str]]).decode
_DIALECT = Dialect(
    Chunk[_Choice[Any]], payload=lambda choice: choice, known=frozenset((*_Choice.__struct_fields__, "logprobs"))
)


def classify(data: bytes, name: bytes = b"") -> Meaning:
    """The meaning of one streamed event; `name` is its `event:` field. Never raises."""
    try:
        chunk = _decode_chunk(data)
    except (ValueError, RecursionError):
        return _DIALECT.classify_odd(data, name)
    if chunk.error is None and chunk.usage is None and chunk.choices is not None and len(chunk.choices) == 1:
        choice = chunk.choices[0]
        if choice.text and choice.finish_reason is None and not choice.index and choice.error is None:
            return TOKEN
    if chunk.choices is None or chunk.error or name == b"error":
        return _DIALECT.classify_odd(data, name)
    return _DIALECT.meaning(chunk.choices, chunk.usage, data)


def read_answer(body: bytes, content_type: str = "") -> Meaning:
    """The meaning of the body of an answer that is not streamed. Never raises."""
    return whole(classify(body), body, "completion")


def add_to(draft: Draft, data: bytes, name: bytes = b"") -> None:
    """Add what a chunk or a whole answer says to `draft`. Never raises."""
    for choice in first_choice_in(data, draft):
        draft.add_text(choice.get("text"))
        add_unknown_reasoning(draft, choice, _DIALECT.known)


class OpenAICompletions(Api):
    """`POST /v1/completions`. `echo` is never requested, because the prompt would be taken for the first token."""

    PATH = "/completions"
    TAKES = frozenset({"prompt_ids", "max_tokens", "min_tokens", "ignore_eos", "usage", "auth"})

    classify: Classify = staticmethod(classify)
    read_answer = staticmethod(read_answer)
    add_to = staticmethod(add_to)

    @classmethod
    def claims(cls, host: str, path: str) -> bool:
        """Whether the path ends in `PATH`, but not in that of chat completions, which has the same end."""
        return path.endswith(cls.PATH) and not path.endswith("/chat/completions")

    def fields(self, ask: Ask) -> dict[str, Any]:
        """The members of the body, named as in the API's reference."""
        return {
            "model": ask.model,
            "prompt": ask.prompt_ids or ask.as_text,
            "max_tokens": ask.limit,
            "min_tokens": ask.min_tokens,
            "ignore_eos": ask.ignore_eos or None,
            "stream": self.streamed,
            "stream_options": {"include_usage": True} if self.streamed and ask.usage else None,
        }
