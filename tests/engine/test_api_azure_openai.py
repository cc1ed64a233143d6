"""Azure OpenAI: endpoints, keys, and what its content filter adds to a stream."""

import json
from typing import Any

import pytest
from helpers.bench import values
from helpers.read_ways import read_all_ways, took_the_fast_path

from llmstress.engine.api import guess_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.azure_openai import AzureOpenAI
from llmstress.engine.api.meaning import NOTHING, TOKEN, Meaning

DEPLOYED = "/openai/deployments/d/chat/completions"


@pytest.mark.parametrize(
    ("path", "query", "ask", "expected"),
    [
        pytest.param("", "", Ask(model="d"), f"{DEPLOYED}?api-version=2024-10-21", id="a host: the model is deployed"),
        pytest.param("/openai/", "", Ask(model="d"), f"{DEPLOYED}?api-version=2024-10-21", id="as far as openai"),
        pytest.param(
            "",
            "",
            Ask(model="a b/c"),
            "/openai/deployments/a%20b%2Fc/chat/completions?api-version=2024-10-21",
            id="odd",
        ),
        pytest.param(
            "/openai/deployments/d", "", Ask(), f"{DEPLOYED}?api-version=2024-10-21", id="a deployment, no model"
        ),
        pytest.param(
            "/openai/deployments/d/", "", Ask(model="m"), f"{DEPLOYED}?api-version=2024-10-21", id="a deployment first"
        ),
        pytest.param(DEPLOYED, "", Ask(), f"{DEPLOYED}?api-version=2024-10-21", id="the endpoint"),
        pytest.param(DEPLOYED, "api-version=1", Ask(), f"{DEPLOYED}?api-version=1", id="its own version"),
        pytest.param(
            DEPLOYED, "a=b", Ask(version="2"), f"{DEPLOYED}?a=b&api-version=2", id="a version that was asked for"
        ),
        pytest.param(DEPLOYED, "api-version=2", Ask(version="2"), f"{DEPLOYED}?api-version=2", id="twice the same"),
        pytest.param("/x" + DEPLOYED, "", Ask(), f"/x{DEPLOYED}?api-version=2024-10-21", id="behind a gateway"),
        pytest.param("/openai/v1", "", Ask(model="d"), "/openai/v1/chat/completions", id="v1 has no version"),
        pytest.param(
            "/openai/v1/chat/completions", "", Ask(model="d"), "/openai/v1/chat/completions", id="the endpoint of v1"
        ),
        pytest.param(
            "/openai/v1/",
            "",
            Ask(model="d", version="preview"),
            "/openai/v1/chat/completions?api-version=preview",
            id="v1 with a version that was asked for",
        ),
    ],
)
def test_the_endpoint(path: str, query: str, ask: Ask, expected: str) -> None:
    endpoint = AzureOpenAI(ask).endpoint(path, query)
    assert "?".join(filter(None, [endpoint.path, endpoint.query])) == expected
    assert endpoint.models_path == "", "its models are no deployments"


@pytest.mark.parametrize(
    ("path", "query", "ask", "words"),
    [
        pytest.param("", "", Ask(), "names no deployment; set it with --model", id="a host without a model"),
        pytest.param("/openai/v1", "", Ask(), "names no deployment; set it with --model", id="v1 without a model"),
        pytest.param(DEPLOYED, "api-version=1", Ask(version="2"), "contradicts --api-version", id="two versions"),
    ],
)
def test_urls_that_are_rejected(path: str, query: str, ask: Ask, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AzureOpenAI(ask).endpoint(path, query)


@pytest.mark.parametrize(
    ("host", "path", "name"),
    [
        ("res.openai.azure.com", "", "azure-openai"),
        ("res.openai.azure.com", "/openai/v1/chat/completions", "azure-openai"),
        ("res.services.ai.azure.com", "/openai/v1", "azure-openai"),
        ("gateway", "/openai/deployments/d", "azure-openai"),
        ("gateway", DEPLOYED, "azure-openai"),
        ("res.openai.azure.com", "/openai/deployments/d/embeddings", "openai-embeddings"),
        ("res.openai.azure.com", "/openai/responses", "openai-responses"),
        ("openai.azure.com.evil.com", "", None),
        ("api.groq.com", "/openai/v1", None),
        ("api.groq.com", "/openai/v1/chat/completions", "openai-chat"),
    ],
)
def test_which_urls_select_this_api(host: str, path: str, name: str | None) -> None:
    assert guess_api(host, path) == name


@pytest.mark.parametrize(
    ("auth", "headers"), [("", [("api-key", "k")]), ("bearer", [("Authorization", "Bearer k")])], ids=["key", "Entra"]
)
def test_how_the_key_is_sent(auth: str, headers: list[tuple[str, str]]) -> None:
    api = AzureOpenAI(Ask(auth=auth))
    assert api.headers("k") == headers
    assert api.headers(None) == []


def test_the_body_is_openai_s_and_names_the_deployment_only_if_it_was_named() -> None:
    ask = Ask(prompt="Hi", max_tokens=5)
    body = json.loads(AzureOpenAI(ask).body(ask))
    assert body == {
        "messages": [{"role": "user", "content": "Hi"}],
        "max_completion_tokens": 5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    ask = Ask(model="d", limit_field="max_tokens")
    assert json.loads(AzureOpenAI(ask).body(ask))["model"] == "d"


FOUND = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
BLANK = {"id": "", "object": "", "created": 0, "model": ""}


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "content_filter_results": FOUND if delta else {}}
    return event({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice], "usage": None})


PROMPT = event(
    {**BLANK, "choices": [], "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": FOUND}]}
)
BEHIND = event(
    {
        **BLANK,
        "choices": [
            {
                "index": 0,
                "finish_reason": None,
                "content_filter_results": FOUND,
                "content_filter_offsets": {"check_offset": 44, "start_offset": 44, "end_offset": 198},
            }
        ],
    }
)
ROLE, TEXT, STOP = chunk(role="assistant", content=""), chunk(content="Hi"), chunk("stop")
USAGE = event({**BLANK, "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 12}})
DONE = b"data: [DONE]\n\n"


def test_chunks_of_the_content_filter_are_valid_and_mean_nothing() -> None:
    classify = AzureOpenAI(Ask()).classify
    assert classify(PROMPT[6:-2]) is NOTHING
    assert classify(BEHIND[6:-2]) is NOTHING
    assert classify(TEXT[6:-2]) is TOKEN
    assert classify(chunk("content_filter")[6:-2]) == Meaning(finish="content_filter", filtered=True)


@pytest.mark.parametrize(
    ("events", "ended", "count"),
    [
        pytest.param([PROMPT, ROLE, TEXT, TEXT, STOP, USAGE, DONE], {"ok": 1}, 2, id="text in blocks"),
        pytest.param([PROMPT, ROLE, TEXT, BEHIND, TEXT, STOP, BEHIND, USAGE, DONE], {"ok": 1}, 2, id="a filter behind"),
        pytest.param([PROMPT, ROLE, TEXT, chunk("content_filter"), DONE], {"filtered": 1}, 1, id="blocked"),
        pytest.param([PROMPT, ROLE, BEHIND], {"truncated": 1}, 0, id="cut off"),
    ],
)
def test_a_stream_means_the_same_however_it_is_read(events: list[bytes], ended: dict[str, int], count: int) -> None:
    part = read_all_ways(events, api="azure-openai")
    assert part.ended == ended
    assert part.counters.events == count


def test_the_stamps_of_a_stream_are_those_of_its_texts() -> None:
    part = read_all_ways([PROMPT, ROLE, TEXT, BEHIND, TEXT, TEXT, STOP, USAGE, DONE], api="azure-openai")
    assert values(part.latency, "ttft") == [130]
    assert values(part.latency, "itl") == [10, 20]
    assert "tpot" not in part.latency, "30 ms for 12 tokens in 3 events: 3 ms or 15 ms"
    assert part.undetermined == {"few pieces": 1}
    assert took_the_fast_path([TEXT, TEXT, BEHIND, TEXT], api="azure-openai") == [False, True, False, True]
