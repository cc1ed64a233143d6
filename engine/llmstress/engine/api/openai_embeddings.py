"""OpenAI Embeddings: the answer has one vector for each input text, and no tokens."""

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
    """A list of floats, or their base64 encoding."""


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
        one = not isinstance(asked, list) or all(isinstance(each, int) for each in asked)  # one text, or its token IDs
        self._inputs = 1 if one else len(asked)

    def fields(self, ask: Ask) -> dict[str, Any]:
        """The members of the body, named as in the API's reference."""
        return {
            "model": ask.model,
            "input": [ask.prompt_ids or ask.as_text] * ask.batch,
            "encoding_format": ask.encoding or None,
        }

    def read_answer(self, body: bytes, content_type: str = "") -> Meaning:
        """The meaning of a whole answer: ok if it has as many vectors as the request has inputs. Never raises."""
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
    """The answer with only the first number of each vector. A vector may have thousands of numbers, and vectors are
    only counted.

    Decoding the 33 KB of 1,536 numbers takes 34 µs; searching for their end takes 3. The numbers that are cut out are
    not checked, except for NaN and Infinity (the letters `N` and `n`), which are not JSON. If a list contains strings
    with brackets instead of numbers, the result is not JSON, and the caller reads the complete answer.
    """
    pieces: list[bytes] = []
    done = at = 0
    while (key := body.find(_KEY, at)) >= 0:
        at = key + len(_KEY)
        if (opening := _LIST.match(body, at)) is None:  # the value of `"object": "embedding"`, or a vector in base64
            continue
        at, end = opening.end(), body.find(b"]", opening.end())
        if end < 0:
            break
        comma = body.find(b",", at, end)
        if comma >= 0 and body.find(b"N", comma, end) < 0 and body.find(b"n", comma, end) < 0:
            pieces.append(body[done:comma])
            done = end
        at = end
    pieces.append(body[done:])
    return b"".join(pieces)
