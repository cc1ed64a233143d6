"""The mock's prefix cache: against a naive model, and over real sockets in every API."""

import random
from typing import Any

import pytest
from helpers.processes import llmstress, mock_server
from helpers.wire_client import CHAT, COMPLETIONS, MESSAGES, RESPONSES, Client, Heard, ask

from llmstress.engine.mock.dialects.prompts import Token
from llmstress.engine.mock.prefix_cache import PrefixCache, ttft_share

FAST = ("--ttft-ms", "1", "--gap-ms", "0", "--tokens", "2")
CACHE = ("--prefix-cache", "100000", "--cache-block", "4")


def text(first: int, count: int) -> str:
    return " ".join(f"w{i}" for i in range(first, first + count))


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


# the cache itself


class NaiveCache:
    """Every prefix as a whole, least recently used first."""

    def __init__(self, blocks: int, block: int) -> None:
        self.blocks = blocks
        self.block = block
        self.known: list[tuple[Token, ...]] = []

    def enter(self, prompt: list[Token]) -> int:
        prefixes = [tuple(prompt[:end]) for end in range(self.block, len(prompt) + 1, self.block)]
        found = 0
        while found < len(prefixes) and prefixes[found] in self.known and len(prefixes[found]) < len(prompt):
            found += 1
        self.known = [each for each in self.known if each not in prefixes] + prefixes[::-1]
        self.known = self.known[-self.blocks :]
        return found * self.block


@pytest.mark.parametrize(("blocks", "block"), [(10_000, 3), (12, 3), (5, 1), (1, 4)])
def test_it_finds_what_a_naive_cache_finds(blocks: int, block: int) -> None:
    source = random.Random(f"{blocks}/{block}")
    prompts: list[list[Token]] = [[]]
    cache, naive = PrefixCache(blocks, block), NaiveCache(blocks, block)
    found = []
    for _ in range(400):
        # a part of an earlier prompt, continued
        earlier = source.choice(prompts[-8:])
        more: list[Token] = [source.randint(0, 2) for _ in range(source.randint(1, 9))]
        prompt = earlier[: source.randint(0, len(earlier))] + more
        prompts.append(prompt)
        found.append((cache.enter(prompt), naive.enter(prompt)))
    assert [mine for mine, _ in found] == [right for _, right in found]
    assert any(mine for mine, _ in found)


def test_the_last_token_is_computed_even_if_all_are_known() -> None:
    cache = PrefixCache(100, 4)
    assert [cache.enter([*range(8)]) for _ in range(2)] == [0, 4]
    assert cache.enter([*range(9)]) == 8
    assert cache.enter([*range(4, 8), *range(4, 8)]) == 0, "known blocks, but behind another beginning"


def test_the_share_of_the_time_to_the_first_token() -> None:
    shares = [ttft_share(cached, 100, 0.1) for cached in (0, 30, 89, 96)]
    assert shares == pytest.approx([1, 0.7, 0.11, 0.1])


# over sockets


def history(path: str, turn: int) -> dict[str, Any]:
    """A conversation of `turn` turns with a system prompt of ten words; each turn adds an answer and a question."""
    messages = [user(text(100, 7))]
    for i in range(1, turn):
        messages += [{"role": "assistant", "content": text(200 * i, 5)}, user([{"type": "text", "text": text(i, 6)}])]
    system = text(0, 10)
    if path == COMPLETIONS:
        return {"prompt": " ".join([system, *(text(100 * i, 12) for i in range(turn))])}
    if path == RESPONSES:
        return {"instructions": system, "input": messages}
    if path == MESSAGES:
        return {"system": system, "messages": messages}
    return {"messages": [{"role": "system", "content": system}, *messages]}


def usage_of(heard: Heard) -> tuple[int, int]:
    """Tokens of the prompt, and the cached ones of them, in the form of any API, streamed or not."""
    bodies = heard.events if heard.headers["content-type"].startswith("text/event-stream") else [heard.json]
    holders = [holder for each in bodies for holder in (each, each.get("response", {})) if holder.get("usage")]
    usage = holders[-1]["usage"]
    if "cache_read_input_tokens" in usage:
        return usage["input_tokens"] + usage["cache_read_input_tokens"], usage["cache_read_input_tokens"]
    if "prompt_tokens" in usage:
        return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]
    return usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"]


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, RESPONSES, MESSAGES])
def test_a_conversation_finds_its_earlier_turns(path: str) -> None:
    with mock_server(*FAST, *CACHE) as server, Client(server.url) as client:
        extra = {"stream_options": {"include_usage": True}} if path in (CHAT, COMPLETIONS) else {}
        turns = [usage_of(client.ask(path, **history(path, turn), **extra)) for turn in (1, 2, 3, 4)]
        again = usage_of(client.ask(path, stream=False, **history(path, 4)))
        truth = server.stop()
    prompts = [prompt for prompt, _ in turns]
    assert prompts == sorted(set(prompts))
    assert [cached for _, cached in turns] == [0, *(prompt // 4 * 4 for prompt in prompts[:-1])]
    assert again == (prompts[-1], (prompts[-1] - 1) // 4 * 4)
    tokens, cached = (sum(each) for each in zip(*turns, again, strict=True))
    assert truth["prefix_cache"] == {"requests": 5, "tokens": tokens, "cached": cached, "hit_rate": cached / tokens}
    assert (truth["usage"]["input"], truth["usage"]["cached"]) == (tokens, cached)


def test_roles_and_earlier_words_are_part_of_a_prefix() -> None:
    said = {"messages": [user(text(0, 20))]}
    others: list[dict[str, Any]] = [
        {"messages": [{"role": "system", "content": text(0, 20)}]},
        {"messages": [user("x " + text(0, 20))]},
        {"messages": [user(text(0, 10)), user(text(10, 10))]},
    ]
    with mock_server(*FAST, *CACHE) as server:
        cached = [usage_of(ask(server.url, stream=False, **each))[1] for each in (said, *others, said)]
    # the third has four marks and ten words in common with the first: three blocks of four
    assert cached == [0, 0, 4, 12, 20]


def test_token_ids_and_several_prompts() -> None:
    ids = [*range(1, 13)]
    with mock_server(*FAST, *CACHE) as server, Client(server.url) as client:
        told = [
            usage_of(client.ask(COMPLETIONS, stream=False, prompt=prompt))
            for prompt in (ids, [*ids, 99], [[*ids, 7], [*ids[:8], 8], [8, *ids]], [text(0, 9), text(0, 9)])
        ]
        truth = server.stop()
    # the second text finds the blocks of the first one, in the same request
    assert told == [(12, 0), (13, 12), (35, 12 + 8), (18, 8)]
    assert truth["prefix_cache"]["requests"] == 4


def test_a_found_beginning_comes_sooner() -> None:
    """1,000 s to the first token, of which 1/10,001 is left for the second request."""
    slow = ("--ttft-ms", "1000000", "--jitter", "0", "--cached-ttft", "0")
    prompt = {"prompt": text(0, 10_001)}
    with mock_server(*slow, *CACHE) as server, Client(server.url) as first, Client(server.url) as second:
        first.send(COMPLETIONS, **prompt)
        first.hear(lambda data: data.endswith(b"\r\n\r\n"))
        assert second.ask(COMPLETIONS, **prompt).ended == "order"
        assert b"data:" not in first.heard_of_late


def test_an_empty_prompt_finds_nothing() -> None:
    with mock_server(*FAST, *CACHE) as server:
        assert usage_of(ask(server.url, COMPLETIONS, stream=False, prompt="")) == (0, 0)
        truth = server.stop()
    assert truth["prefix_cache"] == {"requests": 1, "tokens": 0, "cached": 0, "hit_rate": 0}


def test_only_accepted_requests_enter() -> None:
    with mock_server(*FAST, *CACHE, "--fault", "http_500=100%", "--faults-until", "1") as server:
        statuses = [ask(server.url).status]
        answers = [ask(server.url, stream=False, messages=[user(text(0, 9))]) for _ in range(2)]
        statuses += [each.status for each in answers]
        truth = server.stop()
    assert statuses == [500, 200, 200]
    assert [usage_of(each) for each in answers] == [(13, 0), (13, 12)]
    assert truth["prefix_cache"]["requests"] == 2


def test_each_process_has_a_cache_of_its_own() -> None:
    prompt: dict[str, Any] = {"messages": [user(text(0, 29))], "stream": False}
    with mock_server(*FAST, *CACHE, "--procs", "3") as server:
        clients = [Client(server.url) for _ in range(12)]
        cached = [usage_of(client.ask(**prompt))[1] for client in clients for _ in range(2)]
        for client in clients:
            client.socket.close()
        truth = server.stop()
    misses = cached.count(0)
    assert 1 <= misses <= 3
    assert cached.count(32) == 24 - misses
    assert truth["prefix_cache"]["cached"] == sum(cached)


def test_without_the_switch_nothing_is_cached() -> None:
    with mock_server(*FAST) as server:
        told = [usage_of(ask(server.url, stream=False, messages=[user(text(0, 50))])) for _ in range(2)]
        truth = server.stop()
    assert told == [(54, 0)] * 2
    assert truth["prefix_cache"] == {}
    assert "cached" not in truth["usage"]


def test_a_run_counts_the_cached_tokens_of_the_mock() -> None:
    with mock_server(*FAST, "--prefix-cache", "10000") as server:
        code, summary, _ = llmstress(
            *(server.url, "--requests", "12", "--streams", "2", "--procs", "1", "--prompt", text(0, 40), "--headless")
        )
        truth = server.stop()
    assert code == 0
    assert truth["prefix_cache"]["cached"] == 11 * 32
    assert summary["tokens"]["cached_input"] == 11 * 32
