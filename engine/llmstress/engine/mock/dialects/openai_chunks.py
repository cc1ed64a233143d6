"""What chat and completions of OpenAI have in common: chunks with choices, usage, the end mark."""

from typing import Any

from llmstress.engine.mock.dialects import openai, sse
from llmstress.engine.mock.dialects.answer_spec import Asked, Ending, Kind, Said

FINISH_REASONS: dict[Ending, str] = {
    "stop": "stop",
    "length": "length",
    "tool_call": "tool_calls",
    "content_filter": "content_filter",
}

_NO_USAGE = b'"usage":null}\n\n'
"""How a chunk ends whose usage is still to come; these line ends can't stand inside of JSON."""


def usage(said: Said) -> dict[str, Any]:
    """The usage object: the prompt includes what was cached, the output the reasoning."""
    return {
        "prompt_tokens": said.prompt_tokens,
        "completion_tokens": said.output_tokens,
        "total_tokens": said.prompt_tokens + said.output_tokens,
        "prompt_tokens_details": {"cached_tokens": said.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": said.all_reasoning_tokens},
    }


class ChunksSpeech:
    """What of `Speech` is the same in both: all but `opening`, `start`, `token_event`, `closing` and `whole`."""

    __slots__ = ("_asked", "_heads", "_said", "_start", "_tail", "stamped")

    content_type = sse.CONTENT_TYPE
    last_word = sse.DONE

    def __init__(self, said: Said, asked: Asked, fields: dict[str, Any], payload: bytes, more: bytes) -> None:
        """`fields` stand before the choices of every chunk. `payload` is the member of a choice that has its content,
        `more` are further ones beside it, each behind a comma."""
        self._said = said
        self._asked = asked
        self.stamped = said.usage and asked.running_usage
        # put together by hand: encoding a dictionary per event would cost ten times as much
        self._start = b'data: %b,"choices":[' % sse.encode(fields)[:-1]
        self._heads = [self._start + b'{"index":%d%b,"%b":' % (i, more, payload) for i in range(said.choices)]
        self._tail = b"]," + _NO_USAGE if said.usage else b"]}\n\n"

    def end(self, kind: Kind) -> list[bytes]:
        """See `Speech`."""
        return []

    def ping(self) -> bytes:
        """See `Speech`."""
        return sse.PING

    def error_event(self, message: str, code: str) -> list[bytes]:
        """See `Speech`."""
        return [sse.data(openai.error_body(500, message, code))]

    def stamp(self, event: bytes, number: int, tokens: int) -> bytes:
        """See `Speech`. Gives the chunks the usage so far, as vLLM's `continuous_usage_stats` does."""
        said = self._said
        output = said.choices * (said.hidden_reasoning_tokens + tokens)
        return event.replace(
            _NO_USAGE,
            b'"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}\n\n'
            % (said.prompt_tokens, output, said.prompt_tokens + output),
        )

    def _last(self, nothing: bytes, finish_reason: str) -> list[bytes]:
        """The last chunk of each choice, the usage if it is told, the end mark."""
        events = self._each(nothing, sse.encode(finish_reason))
        if self._said.usage:
            events.append(self._start + b'],"usage":' + sse.encode(usage(self._said)) + b"}\n\n")
        return [*events, sse.DONE]

    def _each(self, payload: bytes, finish_reason: bytes = b"null") -> list[bytes]:
        """A chunk for each choice."""
        return [self._chunk(choice, payload, finish_reason) for choice in range(self._said.choices)]

    def _chunk(self, choice: int, payload: bytes, finish_reason: bytes = b"null") -> bytes:
        return b'%b%b,"logprobs":null,"finish_reason":%b}%b' % (self._heads[choice], payload, finish_reason, self._tail)
