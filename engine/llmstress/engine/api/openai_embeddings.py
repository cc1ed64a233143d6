"""OpenAI Embeddings: texts in, a vector for each out. There are no tokens to wait for."""

import re
from typing import Any

import msgspec

from llmstress.engine.api.ask import Ask
from llmstress.engine.api.base import Api
from llmstress.engine.api.lenient import read_odd, unreadable_answer
from llmstress.engine.api.meaning import END_OF_BODY, Meaning
from llmstress.engine.api.openai_usage import usage_in

_KEY = b'"embedding"'
_LIST = re.compile(rb"\s*:\s*\[")


class _Entry(msgspec.Struct, gc=False):
    embedding: Any = None
    """A list of floats, or the base64 of them."""


class _Answer(msgspec.Struct, gc=False):
    data: tuple[_Entry, ...] | None = None
    usage: Any = None
    error: Any = None


_decode_answer = msgspec.json.Decoder(_Answer).decode

_NO_ANSWER = "the answer is not a list of embeddings"


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

    def fields(self, ask: Ask) -> dict[str, Any]:
        """The members of the body, as the API's reference names them."""
        return {
            "model": ask.model,
            "input": [ask.prompt_ids or ask.prompt] * ask.batch,
            "encoding_format": ask.encoding or None,
        }

    def read_answer(self, body: bytes, content_type: str = "") -> Meaning:
        """See `Api`."""
        try:
            answer = _decode_answer(_shortened(body))
        except (ValueError, RecursionError):
            return self._read_odd(body)
        if answer.data is None or answer.error:
            return self._read_odd(body)
        vectors = sum(_is_vector(entry.embedding) for entry in answer.data)
        return self._meaning(vectors, answer.usage, body)

    def _read_odd(self, body: bytes) -> Meaning:
        value = read_odd(body, b"")
        if isinstance(value, Meaning):
            return value if value.error or value.malformed else unreadable_answer(_NO_ANSWER, body)
        data = value.get("data")
        if not isinstance(data, list):
            return unreadable_answer(_NO_ANSWER, body)
        vectors = sum(isinstance(entry, dict) and _is_vector(entry.get("embedding")) for entry in data)
        return self._meaning(vectors, value.get("usage"), body)

    def _meaning(self, vectors: int, usage: Any, body: bytes) -> Meaning:
        if vectors != self._inputs:
            what = f"{vectors} vectors for {self._inputs} inputs"
            return Meaning(malformed=what) if vectors else unreadable_answer(what, body)
        return Meaning(finish=END_OF_BODY, usage=usage_in(usage), tokenless=True, inputs=vectors)


def _is_vector(value: Any) -> bool:
    return isinstance(value, (list, str)) and bool(value)


def _shortened(body: bytes) -> bytes:
    """The same answer with only the first number of each vector: they may be thousands, and are only counted.

    To decode past the 33 KB of 1,536 numbers takes 34 µs, to look for their end 3. What is left out isn't checked, but
    for NaN and Infinity. Where it wasn't numbers but strings that hold brackets, what is left is no JSON, and the
    answer as it is has the last word.
    """
    kept: list[bytes] = []
    done = at = 0
    while (key := body.find(_KEY, at)) >= 0:
        at = key + len(_KEY)
        if (opening := _LIST.match(body, at)) is None:  # `"object": "embedding"`, or a coded vector
            continue
        at, end = opening.end(), body.find(b"]", opening.end())
        if end < 0:
            break
        comma = body.find(b",", at, end)
        if comma >= 0 and body.find(b"N", comma, end) < 0 and body.find(b"n", comma, end) < 0:
            kept.append(body[done:comma])
            done = end
        at = end
    kept.append(body[done:])
    return b"".join(kept)
