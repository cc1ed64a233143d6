"""The mock with limits over real sockets: rate limits with status 429, slots that make requests wait, freezes."""

from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from helpers.processes import mock_server
from helpers.wire_client import CHAT, MESSAGES, Client, Heard, ask

FAST = ("--ttft-ms", "1", "--gap-ms", "1")
THREE_REQUESTS = ("--requests-per-s", "0.001", "--burst-ms", "3600000")
"""A bucket of 3.6, which needs 17 minutes for one more."""
WORDS = [f" tok{i % 10}" for i in range(8)]


def left(answers: list[Heard], name: str = "x-ratelimit-remaining-requests") -> list[int]:
    return [int(each.headers[name]) for each in answers]


# rates


@pytest.mark.parametrize("stream", [True, False])
def test_more_requests_than_allowed_are_refused(stream: bool) -> None:
    with mock_server(*FAST, *THREE_REQUESTS) as server, Client(server.url) as client:
        answers = [client.ask(stream=stream) for _ in range(5)]
        truth = server.stop()
    assert [each.status for each in answers] == [200, 200, 200, 429, 429]
    assert left(answers) == [2, 1, 0, 0, 0]
    assert {each.headers["x-ratelimit-limit-requests"] for each in answers} == {"3"}
    assert all("m" in each.headers["x-ratelimit-reset-requests"] for each in answers), "minutes, as Go writes them"
    assert b"rate_limit_exceeded" in answers[3].body
    counts = [truth[name] for name in ("requests", "done", "rate_limited", "failed", "aborted", "connections")]
    assert counts == [5, 3, 2, 0, 0, 1]
    assert truth["statuses"] == {"200": 3, "429": 2}
    assert truth["apis"]["openai-chat"] == {
        **{"requests": 5, "done": 3, "rate_limited": 2, "tokens": 24},
        "events": 24 if stream else 0,
    }


def test_tokens_are_limited_with_those_of_the_prompt() -> None:
    # the bucket holds 36 tokens; a request has 7 in its prompt and 8 in its answer
    with mock_server(*FAST, "--tokens-per-s", "0.01", "--burst-ms", "3600000") as server, Client(server.url) as client:
        answers = [client.ask(max_tokens=limit) for limit in (100, 100, 100, 1, 1)]
        truth = server.stop()
    # 36 - 15 - 15 leaves six and a few thousandths, fewer than eight
    assert [each.status for each in answers] == [200, 200, 429, 429, 429]
    assert left(answers, "x-ratelimit-remaining-tokens") == [21, 6, 6, 6, 6]
    assert truth["rate_limited"] == 3
    assert truth["tokens"] == 16


def test_without_limits_nothing_is_said_about_them() -> None:
    with mock_server(*FAST) as server:
        assert not [name for name in ask(server.url).headers if "limit" in name or "retry" in name]


def test_every_answer_tells_of_the_limits() -> None:
    with mock_server(*FAST, *THREE_REQUESTS) as server:
        answers = [ask(server.url), ask(server.url, messages=3), ask(server.url, "/v1/nothing")]
    assert [each.status for each in answers] == [200, 400, 404]
    assert left(answers) == [2, 2, 2]


def test_anthropic_tells_it_in_its_own_words() -> None:
    with mock_server(*FAST, *THREE_REQUESTS) as server, Client(server.url) as client:
        answers = [client.ask(MESSAGES) for _ in range(4)]
    assert left(answers, "anthropic-ratelimit-requests-remaining") == [2, 1, 0, 0]
    assert all(each.headers["anthropic-ratelimit-requests-reset"].endswith("Z") for each in answers)
    assert [each.status for each in answers] == [200, 200, 200, 429]
    assert b'"rate_limit_error"' in answers[3].body


@pytest.mark.parametrize(
    ("style", "names"),
    [
        ("seconds", ["retry-after"]),
        ("ms", ["retry-after", "retry-after-ms"]),
        ("date", ["retry-after"]),
        ("none", []),
    ],
)
def test_when_to_come_back(style: str, names: list[str]) -> None:
    with mock_server(*FAST, *THREE_REQUESTS, "--retry-after-style", style) as server, Client(server.url) as client:
        answers = [client.ask() for _ in range(4)]
    assert not [name for each in answers[:3] for name in each.headers if name.startswith("retry")]
    refused = answers[3].headers
    assert sorted(name for name in refused if name.startswith("retry")) == names
    # 0.6 of 3.6 or a little more are left: the missing 0.4 take 400 s
    if style == "date":
        assert refused["retry-after"].endswith(" GMT")
        assert parsedate_to_datetime(refused["retry-after"]).tzinfo is not None
    elif names:
        assert 1 <= int(refused["retry-after"]) <= 400
    if style == "ms":
        assert int(refused["retry-after"]) == -(-int(refused["retry-after-ms"]) // 1_000)


def test_processes_share_a_rate() -> None:
    # a third of 3.6 is 1.2: each process admits one request
    with mock_server(*FAST, *THREE_REQUESTS, "--procs", "3") as server:
        statuses = [ask(server.url).status for _ in range(40)]
        truth = server.stop()
    assert 1 <= statuses.count(200) <= 3
    assert truth["done"] == statuses.count(200)
    assert truth["rate_limited"] == statuses.count(429) == 40 - truth["done"]


# slots


def test_who_has_no_slot_waits_for_one() -> None:
    endless = ("--slots", "1", "--fault", "never_ends=100%", "--faults-until", "1")
    with mock_server(*FAST, *endless) as server, Client(server.url) as first:
        first.send()
        first.hear(lambda data: b" tok" in data)
        waiting = [Client(server.url) for _ in range(3)]
        for client in waiting:
            client.send()
            # its head has arrived, so it waits for a slot
            client.hear(lambda data: data.endswith(b"\r\n\r\n"))
        first.hear(lambda data: data.count(b" tok") > 100)
        assert not [client for client in waiting if b"data:" in client.heard_of_late]
        # the client in the middle disconnects; the others follow in order once the first has ended
        waiting.pop(1).socket.close()
        first.socket.close()
        assert [client.hear().words for client in waiting] == [WORDS] * 2
        for client in waiting:
            client.socket.close()
        truth = server.stop()
    assert (truth["requests"], truth["done"], truth["failed"], truth["aborted"]) == (4, 2, 1, 1)
    assert truth["queue_ms"]["count"] == 3, "one never had a slot"
    assert truth["open_max"] == 4
    assert truth["ttft_ms"]["max"] >= truth["queue_ms"]["max"] > 50, "a client sees the wait in its time to first token"


def test_slots_are_enough_for_all_in_turn() -> None:
    with mock_server(*FAST, "--slots", "2") as server:
        clients = [Client(server.url) for _ in range(20)]
        for client in clients:
            client.send()
        assert [client.hear().words for client in clients] == [WORDS] * 20
        for client in clients:
            client.socket.close()
        truth = server.stop()
    assert (truth["done"], truth["queue_ms"]["count"]) == (20, 20)


# freezes


def test_nothing_is_sent_in_a_freeze_and_everything_after_it() -> None:
    freezing = ("--freeze-every-ms", "200", "--freeze-for-ms", "100")
    with mock_server("--ttft-ms", "0", "--gap-ms", "5", "--tokens", "100", *freezing) as server:
        heard = ask(server.url)
        truth = server.stop()
    assert heard.words == [f" tok{i % 10}" for i in range(100)]
    # 500 ms of gaps include at least one freeze; everything due in it is sent right after it
    assert truth["gap_ms"]["max"] > 90
    assert truth["lateness_ms"]["max"] > 80
    assert truth["gap_ms"]["p50"] < 50
    assert truth["done"] == 1


def test_requests_in_a_freeze_are_answered_after_it() -> None:
    # mostly frozen, and busy for longer than the time before the first freeze: no request is forgotten
    freezing = ("--freeze-every-ms", "40", "--freeze-for-ms", "36")
    with mock_server("--ttft-ms", "0", "--gap-ms", "0", *freezing) as server, Client(server.url) as client:
        answers: list[Any] = [client.ask() for _ in range(60)]
        answers += [client.ask("/v1/nothing"), client.ask(stream=False)]
        for count in (1, 2, 3):
            client.send(CHAT, max_tokens=count)
        words = [client.hear().words for _ in range(3)]
        truth = server.stop()
    assert [each.status for each in answers] == [200] * 60 + [404, 200]
    assert words == [WORDS[:1], WORDS[:2], WORDS[:3]]
    assert truth["done"] == 64
    assert truth["ttft_ms"]["max"] > 20, "who came in a freeze waited for its end"
