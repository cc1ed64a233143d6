"""OpenAI Embeddings: texts in, a vector for each out. There are no tokens to wait for."""

from typing import Any

import msgspec

from llmstress.engine.api.ask import Ask
from llmstress.engine.api.base import Api, encode_body
from llmstress.engine.api.event import END_OF_BODY, Event
from llmstress.engine.api.lenient import read_odd
from llmstress.engine.api.openai_usage import usage_in

_EMPTY = (b"null", b"[]", b'""')


class _Entry(msgspec.Struct, gc=False):
    embedding: msgspec.Raw = msgspec.Raw(b"null")
    """A list of floats or the base64 of them; only passed over, for there may be thousands."""


class _Answer(msgspec.Struct, gc=False):
    data: tuple[_Entry, ...] | None = None
    usage: Any = None
    error: Any = None


_decode_answer = msgspec.json.Decoder(_Answer).decode

_NO_ANSWER = Event(malformed="the answer is no list of embeddings")


class OpenAIEmbeddings(Api):
    """`POST /v1/embeddings`. An answer with more or fewer vectors than inputs is malformed."""

    PATH = "/embeddings"
    TAKES = frozenset({"prompt_ids", "batch", "encoding", "auth"})
    STREAMS = False

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        asked = ask.extra.get("input", [ask.prompt] * ask.batch)
        one = not isinstance(asked, list) or all(isinstance(each, int) for each in asked)  # a text, or its token ids
        self._inputs = 1 if one else len(asked)

    def body(self) -> bytes:
        """See `Api`."""
        ask = self.ask
        return encode_body(
            {
                "model": ask.model,
                "input": [ask.prompt_ids or ask.prompt] * ask.batch,
                "encoding_format": ask.encoding or None,
            },
            ask.extra,
        )

    def read_answer(self, body: bytes, content_type: str = "") -> Event:
        """See `Api`."""
        try:
            answer = _decode_answer(body)
        except (ValueError, RecursionError):
            return self._read_odd(body)
        if answer.data is None or answer.error:
            return self._read_odd(body)
        vectors = sum(bytes(entry.embedding) not in _EMPTY for entry in answer.data)
        return self._meaning(vectors, answer.usage)

    def _read_odd(self, body: bytes) -> Event:
        value = read_odd(body, b"")
        if isinstance(value, Event):
            return value if value.error or value.malformed else _NO_ANSWER
        data = value.get("data")
        if not isinstance(data, list):
            return _NO_ANSWER
        vectors = sum(isinstance(entry, dict) and bool(entry.get("embedding")) for entry in data)
        return self._meaning(vectors, value.get("usage"))

    def _meaning(self, vectors: int, usage: Any) -> Event:
        if vectors != self._inputs:
            return Event(malformed=f"{vectors} vectors for {self._inputs} inputs")
        return Event(finish=END_OF_BODY, usage=usage_in(usage), tokenless=True, inputs=vectors)
