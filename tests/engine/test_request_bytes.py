"""Requests with varying prompts: inserting a prompt gives the same bytes as encoding the whole request."""

import json

import msgspec
import pytest
from helpers.live_load import task_of
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.api import APIS, make_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.http.request import RequestBuilder

BODY = '{"q": "say {prompt}, {model}", "prompt": "prompt"}'


def ask_of(name: str, prompt: str) -> Ask:
    if name in ("sse", "text", "http"):
        return Ask(model="m", prompt=prompt, body=BODY)
    return Ask(model="prompt", prompt=prompt, batch=2 if name == "openai-embeddings" else 1, extra={"user": "prompt"})


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
"""Any text without half surrogate pairs."""


@pytest.mark.parametrize("name", APIS)
@given(TEXTS, TEXTS)
def test_a_body_with_an_inserted_prompt_equals_the_encoded_one(name: str, first: str, second: str) -> None:
    api = make_api(name, ask_of(name, first))
    for prompt in (first, second):
        ask = ask_of(name, prompt)
        assert api.body(ask) == api.encode(ask) == make_api(name, ask).body(ask)


def test_an_ask_that_differs_in_more_than_its_prompt_is_encoded_as_a_whole() -> None:
    api = make_api("openai-chat", Ask(prompt="a", max_tokens=5))
    body = json.loads(api.body(Ask(prompt="b", max_tokens=7)))
    assert (body["messages"], body["max_tokens"]) == ([{"role": "user", "content": "b"}], 7)


@pytest.mark.parametrize("name", APIS)
def test_the_head_has_the_length_of_each_body(name: str) -> None:
    ask = ask_of(name, "short")
    builder = RequestBuilder(task_of("http://h/v1", api=name, ask=ask), make_api(name, ask))
    for prompt in ("short", "", "a long one, with \N{SNOWMAN} and \x00" * 50):
        head, _, body = builder.build(msgspec.structs.replace(ask, prompt=prompt)).partition(b"\r\n\r\n")
        [length] = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        assert int(length.split()[1]) == len(body)
        assert b"\n\n" not in head
