"""The mock's statistics against the counts of a client, with all features at once."""

from collections import Counter
from typing import Any

import pytest
from helpers.processes import llmstress, mock_server
from helpers.wire_client import CHAT, COMPLETIONS, MESSAGES, RESPONSES, Client, Heard, ask

FAULTS = (
    "http_500",
    "http_429",
    "cut",
    "reset_mid_stream",
    "error_event",
    "no_finish",
    "filtered",
    "no_usage",
    "empty",
)
SWITCHES = (
    *("--ttft-ms", "3", "--gap-ms", "2", "--delays", "exponential", "--tokens", "2..30", "--reasoning", "3"),
    *("--hidden-reasoning", "5", "--ping-every-ms", "7", "--seed", "11"),
    *(word for fault in FAULTS for word in ("--fault", f"{fault}=7%")),
)
ASKED: dict[str, dict[str, Any]] = {
    CHAT: {"stream_options": {"include_usage": True}},
    COMPLETIONS: {"prompt": "x", "stream_options": {"include_usage": True}},
    RESPONSES: {"input": "x"},
    MESSAGES: {},
}
APIS = {CHAT: "openai-chat", COMPLETIONS: "openai-completions", RESPONSES: "openai-responses", MESSAGES: "anthropic"}
PINGS = (": ping", "event: ping", "event: keepalive")


class Counts:
    """Counts of a client that knows the format of each API."""

    def __init__(self) -> None:
        self.tokens: Counter[str] = Counter()
        self.events = self.pings = 0
        self.finished: Counter[str] = Counter()
        self.usage: Counter[str] = Counter()

    def add(self, path: str, heard: Heard) -> None:
        lines = heard.text.decode().split("\n")
        self.pings += sum(line.startswith(PINGS) for line in lines)
        # Anthropic sends a ping of its own when a block begins
        self.pings -= path == MESSAGES and '"index":0,"content_block"' in heard.text.decode()
        for event in heard.events:
            kind = token_in(event)
            if kind:
                self.events += 1
                self.tokens[kind] += 1
            finish = finish_in(event)
            if finish:
                self.finished[finish] += 1
            usage = event.get("usage") or event.get("response", {}).get("usage") or {}
            if usage and event["type" if "type" in event else "object"] != "message_start":
                self._told(usage)

    def _told(self, usage: dict[str, Any]) -> None:
        details: dict[str, int] = next(
            (usage[name] for name in usage if name.startswith(("completion_tokens_d", "output_tokens_d"))), {}
        )
        self.usage["answers"] += 1
        self.usage["input"] += usage["prompt_tokens" if "prompt_tokens" in usage else "input_tokens"]
        self.usage["output"] += usage["completion_tokens" if "completion_tokens" in usage else "output_tokens"]
        self.usage["reasoning"] += details.get("reasoning_tokens", details.get("thinking_tokens", 0))


def token_in(event: dict[str, Any]) -> str:
    """The kind of token in an event of any API; here an event has at most one."""
    if "choices" in event:
        choice = event["choices"][0] if event["choices"] else {}
        delta = choice.get("delta", {})
        return (
            "reasoning"
            if delta.get("reasoning_content")
            else "text"
            if delta.get("content") or choice.get("text")
            else ""
        )
    if event.get("type") == "content_block_delta":
        return {"thinking_delta": "reasoning", "text_delta": "text"}.get(event["delta"]["type"], "")
    return {"response.reasoning_text.delta": "reasoning", "response.output_text.delta": "text"}.get(
        event.get("type", ""), ""
    )


ENDINGS = {
    **{"stop": "stop", "end_turn": "stop", "response.completed": "stop"},
    **{"content_filter": "content_filter", "refusal": "content_filter", "response.incomplete": "content_filter"},
}


def finish_in(event: dict[str, Any]) -> str:
    """The finish reason as the mock's statistics call it."""
    if "choices" in event:
        reason = event["choices"][0].get("finish_reason") if event["choices"] else None
    elif event.get("type") == "message_delta":
        reason = event["delta"]["stop_reason"]
    else:
        reason = event.get("type")
    return ENDINGS.get(reason or "", "")


@pytest.mark.parametrize("form", [(), ("--gzip", "--crlf"), ("--events-per-write", "3", "--close"), ("--slots", "5")])
def test_everything_that_was_sent_is_told(form: tuple[str, ...]) -> None:
    """Forty concurrent clients, each of which keeps its connection as long as possible."""
    answers: list[tuple[str, Heard]] = []
    connections = 0
    with mock_server(*SWITCHES, *form) as server:
        for path, fields in ASKED.items():
            clients = [Client(server.url) for _ in range(30)]
            connections += len(clients)
            for _ in range(2):
                for i, client in enumerate(clients):
                    if client.socket.fileno() < 0:
                        clients[i] = client = Client(server.url)
                        connections += 1
                    client.send(path, **fields)
                for client in clients:
                    heard = client.hear()
                    answers.append((path, heard))
                    if heard.ended != "order":
                        client.socket.close()
            for client in clients:
                client.socket.close()
        truth = server.stop()
    counts = Counts()
    for path, heard in answers:
        if heard.status == 200:
            counts.add(path, heard)
    assert truth["connections"] == connections
    assert truth["requests"] == len(answers) == 240
    assert truth["statuses"] == dict(Counter(str(heard.status) for _, heard in answers))
    assert truth["tokens_by_kind"] == dict(counts.tokens)
    assert truth["tokens"] == truth["events"] == counts.events
    assert truth["endings"] == dict(counts.finished)
    assert truth["usage"] == dict(counts.usage)
    assert truth["pings"] == counts.pings > 0
    # every fault but two is a failure
    harmless = truth["faults"].get("filtered", 0) + truth["faults"].get("no_usage", 0)
    assert set(truth["faults"]) == set(FAULTS)
    assert truth["failed"] == sum(truth["faults"].values()) - harmless
    assert truth["done"] == 240 - truth["failed"]
    assert truth["aborted"] == truth["rate_limited"] == 0
    for path, api in APIS.items():
        own = Counts()
        for _, heard in (pair for pair in answers if pair[0] == path and pair[1].status == 200):
            own.add(path, heard)
        told = truth["apis"][api]
        assert (told["requests"], told["events"], told["tokens"]) == (60, own.events, own.events)
        assert told["done"] + told["failed"] == 60
    firsts = sum(truth[f"ttft{which}_ms"]["count"] for which in ("", "_failed", "_unfinished"))
    gaps = sum(truth[f"gap{which}_ms"]["count"] for which in ("", "_failed", "_unfinished"))
    assert firsts + gaps == counts.events
    assert truth["ttft_unfinished_ms"]["count"] == 0
    assert truth["gap_failed_ms"]["count"] > 0
    assert truth["writes"] == truth["lateness_ms"]["count"]
    assert truth["queue_ms"]["count"] == (
        truth["done"] + truth["failed"] - refused(answers) if "--slots" in form else 0
    )


def refused(answers: list[tuple[str, Heard]]) -> int:
    """Requests that got no answer."""
    return sum(heard.status != 200 for _, heard in answers)


def test_what_nobody_waited_for_is_kept_apart() -> None:
    long = ("--ttft-ms", "0", "--gap-ms", "2", "--tokens", "100000")
    with mock_server(*long) as server, Client(server.url) as gone, Client(server.url) as stays:
        for client in (gone, stays):
            client.send(max_tokens=100_000)
        heard = gone.hear(lambda data: data.count(b" tok") >= 10)
        gone.socket.close()
        stays.hear(lambda data: data.count(b" tok") >= 20)
        assert ask(server.url, stream=False, max_tokens=3).status == 200
        truth = server.stop()
    assert heard.body.count(b" tok") >= 10
    assert [truth[name] for name in ("requests", "done", "aborted", "failed")] == [3, 1, 1, 0]
    assert truth["ttft_unfinished_ms"]["count"] == 2, "of one the client went, of one the server"
    assert truth["gap_unfinished_ms"]["count"] >= 9 + 19
    assert truth["ttft_ms"]["count"] == truth["gap_ms"]["count"] == 0, "the third one was in one piece"
    assert truth["tokens"] == truth["events"] + 3
    assert truth["usage"] == {"answers": 1, "input": 7, "output": 3, "reasoning": 0}


@pytest.mark.slow
def test_our_own_client_says_the_same() -> None:
    """The client's latencies of ok and of failed requests, sample by sample, against the mock's."""
    faults = ("cut", "error_event", "no_finish", "http_500", "filtered", "keepalive_events", "empty")
    switches = [word for fault in faults for word in ("--fault", f"{fault}=8%")]
    with mock_server("--tokens", "2..30", "--reasoning", "2", *switches) as server:
        load = ("--procs", "2", "--streams", "10", "--requests", "240", "--error-pause", "1ms")
        code, summary, _ = llmstress("--url", server.url, "--model", "mock-7b", *load)
        truth = server.stop()
    assert code == 0
    requests, errors = summary["requests"], summary["errors"]
    assert truth["requests"] == requests["started"] == 240
    assert set(truth["faults"]) == set(faults)
    assert truth["done"] == requests["ok"] + requests["filtered"]
    assert truth["faults"]["filtered"] == requests["filtered"] == truth["endings"]["content_filter"]
    assert truth["failed"] == requests["failed"]
    assert errors["truncated"]["count"] == truth["faults"]["cut"] + truth["faults"]["no_finish"]
    assert errors["stream_error"]["count"] == truth["faults"]["error_event"]
    assert errors["http_500"]["count"] == truth["faults"]["http_500"]
    for theirs, ours in (("ttft", "ttft"), ("itl", "gap")):
        assert summary["latency_ms"][theirs]["count"] == truth[f"{ours}_ms"]["count"] > 100
        assert summary["latency_failed_ms"][theirs]["count"] == truth[f"{ours}_failed_ms"]["count"] > 10
    assert truth["gap_unfinished_ms"]["count"] == truth["aborted"] == 0
