"""Requests that differ in the limit of their output tokens."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from helpers.bench import Bench

from llmstress.engine.api import make_api
from llmstress.engine.api.ask import DEFAULT_MAX_TOKENS, Ask
from llmstress.engine.load.request_maker import RequestMaker, takes_lengths
from llmstress.engine.load.sources import CACHED_BYTES, of_lengths
from llmstress.engine.trace import UNKNOWN

LENGTHS = [40, 0, UNKNOWN, 40, 1]


@pytest.mark.parametrize(
    ("ignore_eos", "least"), [(False, [0] * 5), (True, [40, 1, DEFAULT_MAX_TOKENS, 40, 1])], ids=["limit", "exactly"]
)
def test_each_request_has_its_own_limit(ignore_eos: bool, least: list[int]) -> None:
    ask = Ask(model="m", prompt="hi", ignore_eos=ignore_eos)
    api = make_api("openai-chat", ask)
    task = Bench(api="openai-chat").task
    maker = RequestMaker(api, lambda ask, _: api.body(ask))
    request = of_lengths(maker, LENGTHS.__getitem__)(task)
    made = [request(number) for number in range(5)]
    assert [json.loads(each.data)["max_tokens"] for each in made] == [40, 1, DEFAULT_MAX_TOKENS, 40, 1]
    assert [each.least_output for each in made] == least
    assert all(each.task is task for each in made)
    assert made[3] is made[0], "the requests of a length are one"


@pytest.mark.parametrize(("size", "kept"), [(100, 300), (CACHED_BYTES // 200, 200), (2 * CACHED_BYTES, 1)])
def test_the_requests_that_are_kept_have_a_bound_in_bytes(size: int, kept: int) -> None:
    built: list[int] = []

    def build(ask: Ask, _: Mapping[str, str]) -> bytes:
        built.append(ask.limit)
        return bytes(size)

    maker = RequestMaker(make_api("openai-chat", Ask()), build)
    request = of_lengths(maker, lambda number: number + 1)(Bench().task)
    held = [id(request(number)) for number in range(300)]  # only the ids: the cache alone keeps them
    built.clear()
    assert len(held) == 300
    for number in reversed(range(300)):
        request(number)
    assert len(built) == 300 - kept


@pytest.mark.parametrize(
    ("api", "given", "taken"),
    [
        ("openai-chat", {}, True),
        ("openai-chat", {"limit_field": "max_completion_tokens"}, True),
        ("openai-chat", {"extra": {"top_k": 1}}, True),
        ("openai-chat", {"extra": {"max_tokens": 5}}, False),
        ("openai-chat", {"extra": {"max_tokens": None}}, False),
        ("openai-completions", {}, True),
        ("openai-responses", {}, True),
        ("anthropic", {}, True),
        ("openai-embeddings", {}, False),
        ("sse", {}, False),
        ("text", {"body": '{"prompt": "{prompt}"}'}, False),
        ("http", {}, False),
    ],
)
def test_whether_a_request_takes_a_limit(api: str, given: dict[str, Any], taken: bool) -> None:
    ask = Ask(model="m", prompt="hi", **given)
    assert takes_lengths(make_api(api, ask).body, ask) is taken
