"""Chunks, usage and end mark, which OpenAI's Chat Completions and Completions have in common."""

from typing import Any

from llmstress.engine.mock.dialects import openai, sse
from llmstress.engine.mock.dialects.answer_spec import AnswerSpec, FinishReason, RequestParams, TokenKind

FINISH_REASONS: dict[FinishReason, str] = {
    "stop": "stop",
    "length": "length",
    "tool_call": "tool_calls",
    "content_filter": "content_filter",
}

_NO_USAGE = b'"usage":null}\n\n'
"""The end of a chunk before the final usage. JSON can't contain these line ends, so `fill_in` finds only this place."""


def usage(answer: AnswerSpec) -> dict[str, Any]:
    """The usage object; the prompt includes cached tokens, the output includes reasoning."""
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.prompt_tokens + answer.output_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": answer.all_reasoning_tokens},
    }


class ChunksEncoder:
    """The common base of both encoders. Subclasses add `opening`, `part_start`, `token_event`, `closing`, `body`."""

    __slots__ = ("_answer", "_heads", "_params", "_start", "_tail", "fills_in")

    content_type = sse.CONTENT_TYPE
    end_mark = sse.DONE

    def __init__(
        self, answer: AnswerSpec, params: RequestParams, fields: dict[str, Any], payload: bytes, more: bytes
    ) -> None:
        """`fields`: members of every chunk before its choices. `payload`: name of the choice's member that holds its
        content. `more`: additional members of a choice, each after a comma."""
        self._answer = answer
        self._params = params
        self.fills_in = answer.usage and params.running_usage
        # formatted by hand: encoding a dictionary per event would cost ten times as much
        self._start = b'data: %b,"choices":[' % sse.to_json(fields)[:-1]
        self._heads = [self._start + b'{"index":%d%b,"%b":' % (i, more, payload) for i in range(answer.choices)]
        self._tail = b"]," + _NO_USAGE if answer.usage else b"]}\n\n"

    def part_end(self, kind: TokenKind) -> list[bytes]:
        return []

    def ping(self) -> bytes:
        return sse.PING

    def error_events(self, message: str, code: str) -> list[bytes]:
        return [sse.data(openai.error_body(500, message, code))]

    def fill_in(self, event: bytes, number: int, tokens: int) -> bytes:
        """Put the usage so far into the chunk, as vLLM's `continuous_usage_stats` does."""
        answer = self._answer
        output = answer.choices * (answer.hidden_reasoning_tokens + tokens)
        return event.replace(
            _NO_USAGE,
            b'"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}\n\n'
            % (answer.prompt_tokens, output, answer.prompt_tokens + output),
        )

    def _last(self, nothing: bytes, finish_reason: str) -> list[bytes]:
        """The last chunk of each choice, the usage if it is reported, and the end mark."""
        events = self._each(nothing, sse.to_json(finish_reason))
        if self._answer.usage:
            events.append(self._start + b'],"usage":' + sse.to_json(usage(self._answer)) + b"}\n\n")
        return [*events, sse.DONE]

    def _each(self, payload: bytes, finish_reason: bytes = b"null") -> list[bytes]:
        """A chunk for each choice."""
        return [self._chunk(choice, payload, finish_reason) for choice in range(self._answer.choices)]

    def _chunk(self, choice: int, payload: bytes, finish_reason: bytes = b"null") -> bytes:
        return b'%b%b,"logprobs":null,"finish_reason":%b}%b' % (self._heads[choice], payload, finish_reason, self._tail)
