"""A conversation as the content of a request, in the form of each API."""

from typing import Any

import msgspec
import pytest

from llmstress.engine.api import make_api
from llmstress.engine.api.ask import Ask

MESSAGES = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Who are you?"},
    {"role": "assistant", "content": "A model."},
    {"role": "user", "content": [{"type": "text", "text": "Whose?"}, {"type": "image_url", "image_url": {"url": "u"}}]},
)
AS_TEXT = "system: Be brief.\nuser: Who are you?\nassistant: A model.\nuser: Whose?"


def body_of(api: str, ask: Ask) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(make_api(api, ask).body(ask))
    return fields


@pytest.mark.parametrize(
    ("api", "member", "expected"),
    [
        ("openai-chat", "messages", list(MESSAGES)),
        ("azure-openai", "messages", list(MESSAGES)),
        ("openai-responses", "input", list(MESSAGES)),
        ("openai-completions", "prompt", AS_TEXT),
        ("openai-embeddings", "input", [AS_TEXT]),
        ("anthropic", "messages", list(MESSAGES[1:])),
    ],
)
def test_each_api_sends_the_messages_instead_of_the_prompt(api: str, member: str, expected: Any) -> None:
    body = body_of(api, Ask(model="m", prompt="unused", messages=MESSAGES))
    assert body[member] == expected
    assert "unused" not in str(body)


def test_anthropic_has_a_member_for_what_the_system_says() -> None:
    assert body_of("anthropic", Ask(model="m", messages=MESSAGES))["system"] == "Be brief."
    assert body_of("anthropic", Ask(model="m", messages=MESSAGES, system="Be kind."))["system"] == (
        "Be kind.\n\nBe brief."
    )
    assert "system" not in body_of("anthropic", Ask(model="m", messages=MESSAGES[1:]))


def test_a_system_prompt_is_the_first_message() -> None:
    body = body_of("openai-chat", Ask(model="m", messages=MESSAGES[1:], system="Be kind."))
    assert body["messages"] == [{"role": "system", "content": "Be kind."}, *MESSAGES[1:]]


def test_the_messages_fill_the_place_of_the_prompt_in_a_template() -> None:
    ask = Ask(messages=MESSAGES[1:3], body='{"q": "{prompt}"}')
    assert body_of("http", ask) == {"q": "user: Who are you?\nassistant: A model."}


def test_requests_of_a_task_may_have_prompts_and_messages() -> None:
    api = make_api("openai-chat", Ask(model="m", prompt="first"))
    for ask, expected in (
        (Ask(model="m", prompt="second"), "second"),
        (Ask(model="m", messages=(MESSAGES[1],)), "Who are you?"),
    ):
        assert msgspec.json.decode(api.body(ask))["messages"] == [{"role": "user", "content": expected}]
