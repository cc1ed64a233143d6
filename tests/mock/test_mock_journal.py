"""What the mock writes down of the requests it received and of the answers that clients left."""

import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from helpers.kept_requests import left, received
from helpers.processes import llmstress, mock_server
from helpers.wire_client import CHAT, COMPLETIONS, MESSAGES, SAY, Client, ask


def has_tokens(count: int, data: bytes) -> bool:
    return b"data:" in data and data.count(b" tok") >= count


FAST = ("--ttft-ms", "1", "--gap-ms", "1", "--tokens", "4")


def test_every_request_of_every_process_is_a_line(tmp_path: Path) -> None:
    file = tmp_path / "kept.jsonl"
    # long bodies, so that parts of two lines could mix
    bodies: list[dict[str, Any]] = [
        {"model": f"m{i}", "max_tokens": 1 + i % 3, "messages": [{"role": "user", "content": f"{i} " * 20_000}]}
        for i in range(40)
    ]
    with mock_server(*FAST, "--procs", "3", "--keep-requests", str(file)) as server:
        clients = [Client(server.url) for _ in range(20)]
        for round_ in (bodies[:20], bodies[20:]):
            for client, body in zip(clients, round_, strict=True):
                client.send(CHAT, **body)
            assert {client.hear().status for client in clients} == {200}
        for client in clients:
            client.socket.close()
        truth = server.stop()
    kept = received(file)
    assert len(kept) == truth["requests"] == 40
    sent = [{**body, "stream": True} for body in bodies]
    assert sorted((line["body"] for line in kept), key=str) == sorted(sent, key=str)
    assert all(line["limit"] == line["body"]["max_tokens"] == line["output_tokens"] for line in kept)
    assert {line["input_tokens"] for line in kept} == {20_004}
    # each connection had two requests, the later one of which has a later stamp
    assert set(Counter(line["connection"] for line in kept).values()) == {2}
    by_connection: dict[str, list[dict[str, Any]]] = {}
    for line in sorted(kept, key=lambda line: int(line["stamp_us"])):
        by_connection.setdefault(line["connection"], []).append(line)
    pairs = [tuple(int(line["model"][1:]) for line in lines) for lines in by_connection.values()]
    assert sorted(pairs) == [(i, i + 20) for i in range(20)]
    assert len({(line["process"], line["number"]) for line in kept}) == 40


def test_a_line_says_what_became_of_a_request_but_not_its_key(tmp_path: Path) -> None:
    file = tmp_path / "kept.jsonl"
    file.write_text('{"event": "earlier"}\n')
    switches = ("--context-tokens", "30", "--prefix-cache", "1000", "--cache-block", "2", "--keep-requests", str(file))
    body = json.dumps({"model": "m", "max_tokens": 3, "messages": SAY}, indent=2).encode()
    with mock_server(*FAST, *switches) as server, Client(server.url) as client:
        client.post(CHAT, body, Authorization="Bearer sk-secret")
        client.post(MESSAGES, body, **{"x-api-key": "sk-secret"})
        client.ask(COMPLETIONS, prompt=[1] * 31)
        client.ask("/stream?prompt=a")
        client.post("/login", b'{"user": "ada", "password": "sk-secret"}')
        client.post(CHAT, b"{}")
        server.stop()
    assert "secret" not in file.read_text()
    assert file.read_text().startswith('{"event": "earlier"}\n'), "lines are appended"
    names = ("path", "api", "has_key", "status", "input_tokens", "cached_tokens", "limit", "output_tokens")
    assert [tuple(line[name] for name in names) for line in received(file)] == [
        (CHAT, "openai-chat", True, 200, 7, 0, 3, 3),
        (MESSAGES, "anthropic", True, 200, 7, 6, 3, 3),
        (COMPLETIONS, "openai-completions", False, 400, 31, 0, None, 0),
    ]
    assert received(file)[0]["body"] == json.loads(body)


def test_without_a_body_or_an_answer(tmp_path: Path) -> None:
    file = tmp_path / "kept.jsonl"
    faults = ("--fault", "reset_before_head=100%", "--faults-until", "1")
    with mock_server(*FAST, *faults, "--keep-requests", str(file)) as server:
        for _ in range(2):
            with Client(server.url) as client:
                client.socket.sendall(b"GET /stream?prompt=a HTTP/1.1\r\nHost: x\r\n\r\n")
                client.hear()
        server.stop()
    assert [(line["status"], line["body"], line["output_tokens"]) for line in received(file)] == [
        (None, None, 0),
        (200, None, 4),
    ]


@pytest.mark.parametrize("procs", ["1", "2"])
def test_a_client_that_leaves_is_told_with_its_tokens(tmp_path: Path, procs: str) -> None:
    file = tmp_path / "kept.jsonl"
    endless = ("--ttft-ms", "1", "--gap-ms", "5", "--tokens", "1000000", "--procs", procs)
    read = []
    with mock_server(*endless, "--keep-requests", str(file)) as server:
        for wanted in (0, 3, 20):
            with Client(server.url) as client:
                client.send(max_tokens=1_000_000)
                heard = client.hear(partial(has_tokens, wanted))
                read.append(len(heard.words))
        ask(server.url, max_tokens=2)
        truth = server.stop()
    tokens = [line["tokens"] for line in left(file)]
    assert len(tokens) == truth["aborted"] == truth["left_after_tokens"]["count"] == 3
    # the mock may have written more before it noticed
    assert all(written >= seen for written, seen in zip(sorted(tokens), sorted(read), strict=True))
    assert truth["left_after_tokens"]["max"] == max(tokens)
    assert truth["left_after_tokens"]["mean"] == round(sum(tokens) / 3, 3)
    requests = {(line["process"], line["number"]): line for line in received(file)}
    assert {requests[line["process"], line["number"]]["limit"] for line in left(file)} == {1_000_000}


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    code, _, err = llmstress("mock", "--port", "0", "--keep-requests", str(tmp_path / "none" / "kept"))
    assert code == 2
    assert f"--keep-requests {tmp_path}/none/kept: No such file or directory" in err
