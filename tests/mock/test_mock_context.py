"""The mock with a limited context: each API's own error, at the exact limit."""

from typing import Any

import pytest
from helpers.processes import mock_server
from helpers.wire_client import CHAT, COMPLETIONS, MESSAGES, RESPONSES, Client

FAST = ("--ttft-ms", "1", "--gap-ms", "0", "--tokens", "50", "--context-tokens", "20")
TEN: dict[str, Any] = {"messages": [{"role": "user", "content": "a b c d e f"}]}
"""Ten tokens."""
TWENTY_ONE = {"messages": [{"role": "user", "content": "w " * 17}]}
AZURE = "/openai/deployments/m/chat/completions?api-version=1"
REQUESTED = (
    "This model's maximum context length is 20 tokens. However, you requested 21 tokens (10 in the messages, 11 in the "
    "completion). Please reduce the length of the messages or completion."
)
RESULTED = (
    "This model's maximum context length is 20 tokens. However, your messages resulted in 21 tokens. Please reduce the "
    "length of the messages."
)


def openai(message: str) -> dict[str, Any]:
    return {"message": message, "type": "invalid_request_error", "param": None, "code": "context_length_exceeded"}


@pytest.mark.parametrize(
    ("path", "fits", "too_long"),
    [
        (
            CHAT,
            [{**TEN, "max_tokens": 10}, {**TEN, "max_tokens": None}],
            [
                ({**TEN, "max_tokens": 11}, openai(REQUESTED)),
                ({**TWENTY_ONE, "max_tokens": None}, openai(RESULTED)),
            ],
        ),
        (
            COMPLETIONS,
            # of several prompts, each has a context of its own
            [{"prompt": [[1] * 10, [2] * 9], "max_tokens": 10}],
            [({"prompt": [[1] * 3, [2] * 10], "max_tokens": 11}, openai(REQUESTED))],
        ),
        (
            RESPONSES,
            [{"input": "a b c d e f", "max_output_tokens": 10}],
            [
                ({"input": "a b c d e f", "max_output_tokens": 11}, openai(REQUESTED)),
                (
                    {"input": "w " * 16},
                    openai(
                        "Your input exceeds the context window of this model. Please adjust your input and try again."
                    ),
                ),
            ],
        ),
        (
            MESSAGES,
            [{**TEN, "max_tokens": 10}],
            [
                (
                    {**TEN, "max_tokens": 11},
                    {
                        "type": "invalid_request_error",
                        "message": "input length and `max_tokens` exceed context limit: 10 + 11 > 20, decrease input "
                        "length or `max_tokens` and try again",
                    },
                ),
                (
                    TWENTY_ONE,
                    {"type": "invalid_request_error", "message": "prompt is too long: 21 tokens > 20 maximum"},
                ),
            ],
        ),
        (
            AZURE,
            [{**TEN, "max_tokens": 10}],
            [({**TEN, "max_tokens": 11}, {"code": "context_length_exceeded", "message": REQUESTED})],
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_the_words_of_the_api(
    path: str, fits: list[dict[str, Any]], too_long: list[tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    with mock_server(*FAST) as server, Client(server.url) as client:
        taken = [client.ask(path, **each) for each in fits]
        refused = [client.ask(path, **each) for each, _ in too_long]
        truth = server.stop()
    assert [each.status for each in taken] == [200] * len(fits)
    assert [each.status for each in refused] == [400] * len(too_long)
    assert [each.json["error"] for each in refused] == [error for _, error in too_long]
    assert (truth["done"], truth["too_long"]) == (len(fits), len(too_long))
    assert truth["requests"] == len(fits) + len(too_long)
    (api,) = truth["apis"].values()
    assert api["too_long"] == len(too_long)


def test_without_a_limit_the_answer_ends_with_the_context() -> None:
    with mock_server(*FAST) as server, Client(server.url) as client:
        heard = client.ask(**TEN, max_tokens=None)
        embedded = client.ask("/v1/embeddings", input=["w " * 20, "w " * 20], stream=None)
        more = client.ask("/v1/embeddings", input=["w " * 20, "w " * 21], stream=None)
    assert (len(heard.words), heard.finish) == (10, ["length"])
    assert (embedded.status, more.status) == (200, 400)
    assert "(21 in the messages, 0 in the completion)" in more.json["error"]["message"]
