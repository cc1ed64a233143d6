"""A mix of tasks from a file, as it arrives at a server, and its figures by task."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from helpers.http_servers import Handler, served
from helpers.processes import llmstress, mock_server

MIX = """\
[[task]]
name = "chat"
weight = 3
prompt = "hello"
max-tokens = 7
slo = ["e2e<10s"]

[[task]]
name = "complete"
weight = 2
api = "openai-completions"
prompt-tokens = "5..50"
max-tokens = 5

[[task]]
name = "embed"
api = "openai-embeddings"
prompt = "one two three"
header = ["X-Tenant: b"]
"""
WEIGHTS = {"/v1/chat/completions": 3, "/v1/completions": 2, "/v1/embeddings": 1}
TEXT = {"message": {"content": "yes"}, "text": "yes", "finish_reason": "stop"}
ANSWER = msgspec.json.encode(
    {"choices": [TEXT], "data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 2, "completion_tokens": 1}}
)


@contextlib.contextmanager
def keeping(seen: list[tuple[str, dict[str, Any], str]]) -> Iterator[str]:
    """The URL of a server that keeps path, body and tenant of all requests and gives the same answer to all."""

    class Keeper(Handler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body: dict[str, Any] = msgspec.json.decode(self.body())
            seen.append((self.path, body, self.headers.get("X-Tenant", "")))
            self.answer(200, ANSWER, {"Content-Type": "application/json"})

    with served(Keeper) as url:
        yield url


@pytest.mark.parametrize(
    "procs", [pytest.param("1", marks=pytest.mark.slow), "2", pytest.param("5", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("load", [("--total-streams", "10"), ("--rate", "200/s")], ids=["closed", "open"])
def test_weights_hold_and_requests_are_the_same_in_any_number_of_processes(
    tmp_path: Path, procs: str, load: tuple[str, str]
) -> None:
    (tmp_path / "mix.toml").write_text(MIX)
    seen: list[tuple[str, dict[str, Any], str]] = []
    with keeping(seen) as url:
        code, summary, said = llmstress(
            url, "--config", str(tmp_path / "mix.toml"), "--model", "m", "--headless", "--quiet", "--no-probe",
            *("--proxy", "none", "--no-stream", "--procs", procs, "--requests", "120", *load, "--seed", "7"),
        )  # fmt: skip
    assert (code, summary["requests"]["ok"]) == (0, 120), said
    paths = Counter(path for path, _, _ in seen)
    for path, weight in WEIGHTS.items():
        assert abs(paths[path] - 120 * weight / 6) <= int(procs), paths
    assert {(path, tenant) for path, _, tenant in seen if tenant} == {("/v1/embeddings", "b")}
    limits = {(path, body.get("max_tokens")) for path, body, _ in seen}
    assert limits == {("/v1/chat/completions", 7), ("/v1/completions", 5), ("/v1/embeddings", None)}
    made = [body["prompt"] for path, body, _ in seen if path == "/v1/completions"]
    assert len(set(made)) == len(made)
    assert {5 <= len(prompt.split()) <= 50 for prompt in made} == {True}
    assert [task["started"] for task in summary["tasks"]] == [*(paths[path] for path in WEIGHTS)]


def test_each_task_has_its_own_figures(tmp_path: Path) -> None:
    (tmp_path / "mix.toml").write_text(MIX)
    with mock_server("--ttft-ms", "30", "--gap-ms", "2") as server:
        code, summary, said = llmstress(
            server.url, "--config", str(tmp_path / "mix.toml"), "--headless", "--no-probe", "--proxy", "none",
            *("--model", "mock-7b", "--procs", "2", "--total-streams", "12", "--requests", "120"),
        )  # fmt: skip
        truth = server.stop()
    assert (code, summary["requests"]["ok"]) == (0, 120), said
    chat, complete, embed = summary["tasks"]
    assert [task["name"] for task in summary["tasks"]] == ["chat", "complete", "embed"]
    assert [task["share"] for task in summary["tasks"]] == [0.5, 0.333333, 0.166667]
    assert chat["output"] == 7 * chat["ok"]
    assert complete["output"] == 5 * complete["ok"]
    assert chat["output"] + complete["output"] == summary["tokens"]["output"] == truth["tokens"]
    assert sum(task["input"] for task in summary["tasks"]) == summary["tokens"]["input"]
    assert chat["latency_ms"]["ttft"]["count"] == chat["ok"]
    assert "ttft" not in embed["latency_ms"]
    assert embed["latency_ms"]["e2e"]["count"] == embed["ok"] == truth["inputs"]
    assert sum(task["latency_ms"]["e2e"]["count"] for task in summary["tasks"]) == 120
    assert (chat["goodput"]["slos"], embed["goodput"]["slos"]) == (["e2e<10s"], [])
    assert summary["goodput"]["met"] == 120, "an ok request of a task without SLOs is good"
    assert chat["goodput"]["met"] == chat["ok"]
    assert "\ntask " in said
    assert f"\n  chat        50 %  {server.url}/v1/chat/completions   openai-chat   model mock-7b\n" in said


@pytest.mark.slow
def test_models_are_compared() -> None:
    with mock_server("--ttft-ms", "5", "--gap-ms", "1") as server:
        code, summary, said = llmstress(
            server.url, "--models", "lora/a=3,lora/b=1", "--headless", "--no-probe", "--proxy", "none", "--quiet",
            *("--procs", "1", "--total-streams", "4", "--requests", "80", "--fail-if", "lora/b.errors.rate>1%"),
            *("--undecided", "pass"),
        )  # fmt: skip
    assert code == 0, said
    assert [(task["name"], task["model"], task["ok"]) for task in summary["tasks"]] == [
        ("lora/a", "lora/a", 60), ("lora/b", "lora/b", 20)
    ]  # fmt: skip
    a, b = (task["speed"] for task in summary["tasks"])
    assert summary["fairness"]["models"] == pytest.approx((a + b) ** 2 / (2 * (a * a + b * b)), abs=1e-4)
    assert summary["thresholds"][0]["scope"] == "lora/b: whole run"
    assert "fairness of models: " in said


def test_a_failure_has_samples_with_the_name_of_its_task(tmp_path: Path) -> None:
    """A mix once had counts of failures without samples."""
    (tmp_path / "mix.toml").write_text('[[task]]\nname = "good"\n[[task]]\nname = "bad"\ncheck = ["contains:zebra"]\n')
    with mock_server("--ttft-ms", "5", "--gap-ms", "1") as server:
        code, summary, said = llmstress(
            server.url, "--config", str(tmp_path / "mix.toml"), "--headless", "--no-probe", "--quiet",
            *("--model", "mock-7b", "--proxy", "none", "--procs", "1", "--total-streams", "2", "--requests", "8"),
        )  # fmt: skip
    assert code == 0, said
    assert summary["errors"]["validation"]["count"] == 4
    assert {sample["task"] for sample in summary["errors"]["validation"]["samples"]} == {"bad"}
