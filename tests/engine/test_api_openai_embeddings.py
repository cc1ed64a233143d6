"""OpenAI Embeddings: bodies, the meaning of an answer, and what is measured without tokens."""

import base64
import json
import struct
from typing import Any

import pytest
from helpers.bench import Bench, values
from helpers.examples import examples
from helpers.odd_json import DEPTHS, NAMES, VALUES, anything, check_api, nested, objects_of, packed
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.api import guess_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.error_shapes import text_in
from llmstress.engine.api.meaning import Meaning, Usage
from llmstress.engine.api.openai_embeddings import OpenAIEmbeddings


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        pytest.param(Ask(model="m", prompt="Hi"), {"model": "m", "input": ["Hi"]}, id="a minimal request"),
        pytest.param(
            Ask(model="m", prompt="Hi", batch=3, encoding="base64"),
            {"model": "m", "input": ["Hi"] * 3, "encoding_format": "base64"},
            id="several inputs, coded",
        ),
        pytest.param(
            Ask(model="m", prompt_ids=(1, 2), batch=2), {"model": "m", "input": [[1, 2], [1, 2]]}, id="token ids"
        ),
        pytest.param(
            Ask(model="m", prompt="Hi", extra={"dimensions": 8, "input": None}),
            {"model": "m", "dimensions": 8},
            id="extra keys are added, null removes one",
        ),
    ],
)
def test_the_body_of_a_request(ask: Ask, expected: dict[str, Any]) -> None:
    assert json.loads(OpenAIEmbeddings(ask).body(ask)) == expected


def test_a_url_of_embeddings_selects_this_api() -> None:
    assert guess_api("h", "/v1/embeddings") == "openai-embeddings"


CODED = base64.b64encode(struct.pack("<2f", 1.0, 2.0)).decode()


def answer(*vectors: Any, usage: Any = None) -> bytes:
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return packed({"object": "list", "data": data, "model": "m", "usage": usage})


COUNTS = {"prompt_tokens": 5, "total_tokens": 5}


def good(inputs: int, usage: Usage | None = None) -> Meaning:
    return Meaning(finish="end of body", tokenless=True, inputs=inputs, usage=usage)


def wrong(text: str) -> Meaning:
    return Meaning(malformed=text)


def none(inputs: int, body: bytes) -> tuple[int, bytes, Meaning]:
    """An answer without vectors, whose text is quoted."""
    return inputs, body, wrong(f"0 vectors for {inputs} inputs: {text_in(json.loads(body))}")


def no_list(text: str) -> Meaning:
    return wrong(f"the answer is not a list of embeddings: {text}")


ANSWERS: dict[str, tuple[int, bytes, Meaning]] = {
    "a vector": (1, answer([0.5, -1.0], usage=COUNTS), good(1, Usage(input=5))),
    "a vector that is coded": (1, answer(CODED, usage=COUNTS), good(1, Usage(input=5))),
    "several vectors": (3, answer([0.5], [0.25], CODED), good(3)),
    "without usage": (1, answer([0.5]), good(1)),
    "usage of an odd type": (1, answer([0.5], usage="free"), good(1)),
    "a null vector": none(1, answer(None)),
    "a vector that is none": none(2, answer({}, 5)),
    "an empty vector, spaced": none(1, b'{"data":[{"embedding":[ ]}]}'),
    "an empty vector": none(1, answer([])),
    "an empty coded vector": none(1, answer("")),
    "fewer vectors than inputs": (3, answer([0.5], [0.5]), wrong("2 vectors for 3 inputs")),
    "more vectors than inputs": (1, answer([0.5], [0.5]), wrong("2 vectors for 1 inputs")),
    "an entry without a vector": none(1, packed({"data": [{"index": 0}]})),
    "entries of an odd type": (1, packed({"data": [5, {"embedding": [1]}]}), good(1)),
    "half a surrogate pair beside it": (1, b'{"data":[{"embedding":[1]}],"model":"\\ud83d"}', good(1)),
    "no list": (1, packed({"data": {"embedding": [1]}}), no_list('{"data":{"embedding":[1]}}')),
    "another object": (1, packed({"hello": 1}), no_list('{"hello":1}')),
    "a list alone": (1, packed([[0.5]]), no_list("[[0.5]]")),
    "a list of lists": (1, answer([[0.5, 1], [2, 3]]), good(1)),
    "brackets and commas in strings": (2, answer(["],", 1, ",]"], [1, "],[", 2]), good(2)),
    "a vector in a text": (1, packed({"data": [{"embedding": [1, 2]}], "x": '"embedding":[1,2'}), good(1)),
    "spaces everywhere": (2, b' { "data" : [ { "embedding" : [ 1 , 2 ] } , { "embedding" : [ 3 , 4 ] } ] } ', good(2)),
    "[DONE]": (1, b"[DONE]", no_list("[DONE]")),
    "nothing": (1, b"", wrong("the answer is not a list of embeddings")),
    "an error": (1, packed({"error": {"message": "boom"}}), Meaning(error="boom")),
    "an error beside the vectors": (1, packed({"data": [{"embedding": [1]}], "error": "boom"}), Meaning(error="boom")),
    "a flat error": (1, packed({"object": "error", "message": "boom"}), Meaning(error="boom")),
    "an error of another shape": (1, packed({"code": 1004, "msg": "boom"}), Meaning(error="1004: boom")),
    "an error beside an empty list": (1, packed({"data": [], "detail": "boom"}), Meaning(error="boom")),
    "text beside the vectors": (1, packed({"data": [{"embedding": [1]}], "message": "Hi"}), good(1)),
}


@pytest.mark.parametrize(("inputs", "body", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_the_meaning_of_an_answer(inputs: int, body: bytes, expected: Meaning) -> None:
    assert OpenAIEmbeddings(Ask(batch=inputs)).read_answer(body) == expected


def test_invalid_json_is_malformed() -> None:
    assert OpenAIEmbeddings(Ask()).read_answer(b'{"data":[{"embedding":[0.1,').malformed.startswith("not JSON")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"nul"])
def test_a_vector_with_an_invalid_number_is_malformed(number: bytes) -> None:
    event = OpenAIEmbeddings(Ask()).read_answer(b'{"data":[{"embedding":[0.1,%b,0.3]}]}' % number)
    assert event.malformed.startswith("not JSON")


@pytest.mark.parametrize("end", range(1, len(answer([0.5, -1.0, 2]))))
def test_an_answer_that_is_cut_anywhere_is_malformed(end: int) -> None:
    assert OpenAIEmbeddings(Ask()).read_answer(answer([0.5, -1.0, 2])[:end]).malformed


@examples(200)
@given(vectors=st.lists(VALUES, min_size=1, max_size=3), spaced=st.booleans())
def test_skipped_numbers_change_nothing(vectors: list[Any], spaced: bool) -> None:
    body = json.dumps({"data": [{"embedding": vector} for vector in vectors]}, indent=1 if spaced else None).encode()
    escaped = body.replace(b'"embedding"', rb'"\u0065mbedding"')  # a name that only a decoder recognises
    api = OpenAIEmbeddings(Ask(batch=len(vectors)))
    assert api.read_answer(body) == api.read_answer(escaped)


@pytest.mark.parametrize(
    ("given", "inputs"),
    [("Hi", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2)],
    ids=["a text", "texts", "token ids", "lists of them"],
)
def test_the_number_of_inputs_is_that_of_the_body_that_is_sent(given: Any, inputs: int) -> None:
    api = OpenAIEmbeddings(Ask(batch=7, extra={"input": given}))
    assert api.read_answer(answer(*[[0.5]] * inputs)) == good(inputs)
    assert api.read_answer(answer(*[[0.5]] * 7)).malformed


API = OpenAIEmbeddings(Ask())


@examples(200)
@given(data=anything(objects_of(body for _, body, _ in ANSWERS.values())), name=NAMES)
def test_any_data_has_a_meaning(data: bytes, name: bytes) -> None:
    check_api(API, data, name)


@pytest.mark.untraced
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("key", ["id", "error", "data", "usage"])
def test_no_depth_of_nesting_raises(key: str, depth: int) -> None:
    for data in nested(key, depth):
        check_api(API, data)
        check_api(API, b'{"data":[' + data + b"]}")


def test_what_is_measured() -> None:
    bench = Bench(api="openai-embeddings", ask=Ask(batch=3))
    bench.begin()
    body = answer([0.5], [0.5], [0.5], usage=COUNTS)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    bench.read(30, head)
    bench.read(40, body[:20])
    bench.read(50, body[20:])
    part = bench.steady()
    assert part.ended == {"ok": 1}
    assert part.finish == {"end of body": 1}
    counters = part.counters
    assert (counters.inputs, counters.input, counters.output, counters.events) == (3, 5, 0, 0)
    assert counters.usage_seen == 1, "nothing had to be counted in events"
    assert values(part.latency, "e2e") == [50]
    assert not {"ttft", "itl", "tpot"} & part.latency.keys()
    assert counters.stream_ignored == 0


@pytest.mark.parametrize(
    ("body", "ended"),
    [
        (answer([0.5], [0.5]), "malformed"),
        (packed({"error": "boom"}), "stream_error"),
        (b"", "truncated"),
    ],
    ids=["too few vectors", "an error under 200", "an empty body"],
)
def test_how_a_request_fails(body: bytes, ended: str) -> None:
    bench = Bench(api="openai-embeddings", ask=Ask(batch=3))
    bench.begin()
    bench.read(30, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert bench.steady().ended == {ended: 1}
