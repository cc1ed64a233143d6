"""Whole runs against servers that refuse and throttle: what ends them, what is sent again, and what is said of it."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers.http_servers import Handler, served
from helpers.processes import Run, llmstress, mock_server
from helpers.summaries import check

pytestmark = pytest.mark.slow

KEY = "sk-planted-0123456789"
STREAM = b"".join(
    b"data: %b\n\n" % each
    for each in (
        *[b'{"choices":[{"index":0,"delta":{"content":"a"}}]}'] * 3,
        b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
        b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":3}}',
        b"[DONE]",
    )
)
EVENTS = {"Content-Type": "text/event-stream"}

Answer = tuple[int, dict[str, str], bytes]
Script = Callable[[int, int], Answer]
"""What to answer, given how many requests came before, to the server and over the same connection."""


class Scripted(Handler):
    """Answers by a script; it knows what it was asked, and what it answered."""

    protocol_version = "HTTP/1.1"
    script: Script
    lock: threading.Lock
    answered: list[int]

    def setup(self) -> None:
        super().setup()
        self.turn = 0

    def do_POST(self) -> None:
        self.body()
        with self.lock:
            status, headers, body = type(self).script(len(self.answered), self.turn)
            self.answered.append(status)
        self.turn += 1
        self.answer(status, body, headers)


@pytest.fixture
def serve() -> Iterator[Callable[[Script], tuple[str, list[int]]]]:
    """Servers that answer by scripts: URL, and the statuses that were answered."""
    with contextlib.ExitStack() as stack:

        def start(script: Script) -> tuple[str, list[int]]:
            attributes = {"script": staticmethod(script), "lock": threading.Lock(), "answered": []}
            handler: type[Scripted] = type("OfOneScript", (Scripted,), attributes)
            return stack.enter_context(served(handler)), handler.answered

        yield start


Serve = Callable[[Script], tuple[str, list[int]]]


def always(*answer: Any) -> Script:
    return lambda before, turn: answer


REFUSED = {
    "a wrong key": (401, b'{"error":{"message":"Incorrect API key provided: %b"}}' % KEY.encode(), "Incorrect API key"),
    "a forbidden region": (403, b'{"error":"not in your country"}', "not in your country"),
    "no such model": (404, b'{"error":{"message":"The model `m` does not exist"}}', "The model `m` does not exist"),
    "a bad parameter": (400, b"temperature: not\n  here", "temperature: not here"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("status", "body", "words"), REFUSED.values(), ids=REFUSED)
def test_a_refused_first_answer_ends_the_run_in_its_own_words(
    status: int, body: bytes, words: str, serve: Serve
) -> None:
    url, answered = serve(always(status, {}, body))
    code, summary, said = llmstress(
        *("--url", url, "--model", "m", "--no-probe", "--procs", "2", "--streams", "60", "--duration", "60s"),
        *("--error-pause", "0s", "--retries", "3", "--api-key-env", "PLANTED"),
        env={"PLANTED": KEY},
    )
    check(summary)
    assert (code, summary["ended_by"]) == (5, "errors")
    assert summary["requests"]["failed"] == summary["requests"]["started"] == len(answered) <= 120
    assert summary["requests"]["retries"] == 0
    assert f"the first answer is http_{status}: " in said
    assert words in said
    [warning] = [event["text"] for event in summary["events"] if event["kind"] == "warning"]
    assert words in warning
    assert KEY not in said + json.dumps(summary)


@pytest.mark.slow
def test_a_table_of_the_user_s_own_keeps_the_run_going(serve: Serve) -> None:
    url, answered = serve(always(404, {}, b"no"))
    code, summary, _ = llmstress(
        *("--url", url, "--model", "m", "--no-probe", "--procs", "1", "--streams", "5", "--requests", "40"),
        *("--error-pause", "0s", "--on-status", "404=count"),
    )
    check(summary)
    assert (code, summary["ended_by"]) == (5, "requests")
    assert summary["errors"]["http_404"]["count"] == len(answered) == 40


def test_a_stray_refusal_after_good_answers_ends_nothing(serve: Serve) -> None:
    url, answered = serve(lambda before, turn: (403, {}, b"") if before == 20 else (200, EVENTS, STREAM))
    code, summary, _ = llmstress(
        *("--url", url, "--model", "m", "--no-probe", "--procs", "1", "--streams", "4", "--requests", "60"),
    )
    check(summary)
    assert (code, summary["ended_by"]) == (0, "requests")
    assert (summary["requests"]["ok"], summary["errors"]["http_403"]["count"], len(answered)) == (59, 1, 60)


def test_a_used_up_quota_ends_the_run_at_any_time(serve: Serve) -> None:
    body = b'{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}'
    url, answered = serve(
        lambda before, turn: (200, EVENTS, STREAM) if before < 40 else (429, {"Retry-After": "1"}, body)
    )
    code, summary, said = llmstress(
        *("--url", url, "--model", "m", "--no-probe", "--procs", "1", "--streams", "10", "--duration", "60s"),
        *("--retries", "5", "--error-pause", "0s"),
    )
    check(summary)
    assert (code, summary["ended_by"]) == (0, "quota")
    assert summary["requests"]["ok"] == 40
    assert summary["errors"]["quota"]["count"] == len(answered) - 40 == 10
    assert "the provider's quota is used up (429): " in said
    assert "You exceeded your current quota" in said
    assert any("insufficient_quota" in event["text"] for event in summary["events"])


def test_throttled_requests_succeed_later_and_are_counted_to_the_unit(serve: Serve) -> None:
    def script(before: int, turn: int) -> Answer:
        left = {"x-ratelimit-limit-requests": "500", "x-ratelimit-remaining-requests": str(500 - before)}
        if turn % 2:
            return 200, EVENTS | left, STREAM
        return 429, {"Retry-After-Ms": "80"} | left, b'{"error":{"message":"slow down"}}'

    url, answered = serve(script)
    code, summary, said = llmstress(
        *("--url", url, "--model", "m", "--no-probe", "--procs", "2", "--streams", "5", "--requests", "30"),
        *("--retries", "3"),
    )
    check(summary)
    assert code == 0
    assert (answered.count(429), answered.count(200)) == (30, 30)
    requests = summary["requests"]
    assert (requests["started"], requests["ok"], requests["failed"]) == (30, 30, 0)
    assert (requests["retries"], requests["retried"]) == (30, {"rate_limited": 30})
    assert summary["errors"] == {}
    [sample] = summary["retry_samples"]["rate_limited"]
    assert (sample["status"], "slow down" in sample["text"]) == (429, True)
    assert sample["headers"].startswith("retry-after-ms: 80; x-ratelimit-limit-requests: 500; ")
    latency, failed = summary["latency_ms"], summary["latency_failed_ms"]
    for metric in ("queue", "ttfb", "ttft", "ttft_due", "e2e", "e2e_due"):
        assert latency[metric]["count"] == 30
    assert failed["ttfb"]["count"] == 30
    assert failed["connect"]["count"] == 10
    assert latency["connect"]["count"] == 0, "all went over connections that stood"
    for metric in ("ttft", "e2e"):
        assert latency[f"{metric}_due"]["min"] >= 80
        assert latency[f"{metric}_due"]["mean"] - latency[metric]["mean"] >= 80, "the wait is in one, not in the other"
    assert summary["rate_limits"]["requests"]["limit"] == 500
    assert summary["rate_limits"]["requests"]["lowest"] == 500 - 59
    assert 500 - 59 <= summary["rate_limits"]["requests"]["remaining"] <= 500
    assert "retries   30 after 30 rate_limited" in said
    assert "\ne2e_due " in said
    assert "\nttft_due " in said
    assert "of 500 requests left, lowest 441" in said
    assert any("30 retries after failures" in note for note in summary["verdict"]["notes"])


@pytest.mark.slow
def test_what_fails_in_all_its_attempts_has_failed_once(serve: Serve) -> None:
    url, answered = serve(always(503, {"Retry-After": "0"}, b"busy"))
    code, summary, _ = llmstress(
        *("--url", url, "--model", "m", "--no-probe", "--procs", "1", "--streams", "6", "--requests", "6"),
        *("--retries", "1"),
    )
    check(summary)
    assert (code, summary["ended_by"]) == (5, "requests")
    assert len(answered) == 12
    assert summary["errors"]["http_503"]["count"] == summary["requests"]["failed"] == 6
    assert summary["requests"]["retried"] == {"http_503": 6}
    assert summary["latency_failed_ms"]["queue"]["count"] == 6


@pytest.mark.slow
def test_what_waits_for_another_attempt_when_the_grace_is_over_is_cancelled(serve: Serve) -> None:
    url, answered = serve(always(429, {"Retry-After": "100"}, b"come back tomorrow"))
    code, summary, _ = llmstress(
        *("--url", url, "--model", "m", "--no-probe", "--procs", "1", "--streams", "6", "--duration", "1s"),
        *("--retries", "1", "--grace", "200ms"),
    )
    check(summary)
    assert code == 5
    assert len(answered) == summary["requests"]["cancelled"] == summary["requests"]["retries"] == 6


@pytest.mark.slow
def test_what_is_left_is_shown_while_the_run_lasts(serve: Serve) -> None:
    limits = {
        "anthropic-ratelimit-requests-limit": "1000",
        "anthropic-ratelimit-requests-remaining": "900",
        "anthropic-ratelimit-input-tokens-limit": "50000",
        "anthropic-ratelimit-input-tokens-remaining": "12000",
    }
    url, _ = serve(lambda before, turn: (503 if turn == 0 else 200, EVENTS | limits, b"" if turn == 0 else STREAM))
    run = Run(
        *("--url", url, "--model", "m", "--no-probe", "--procs", "1", "--streams", "2", "--duration", "30s"),
        *("--retries", "2"),
    )
    line = run.wait_for("retries 2")
    assert "left 12,000 of 50,000 input-tokens" in line
    run.process.terminate()
    code, summary, _ = run.finish()
    check(summary)
    assert code == 143
    assert summary["rate_limits"] == {
        "input-tokens": {"limit": 50_000, "remaining": 12_000, "lowest": 12_000},
        "requests": {"limit": 1000, "remaining": 900, "lowest": 900},
    }


@pytest.mark.slow
def test_without_retries_and_limits_nothing_is_said_of_them() -> None:
    with mock_server() as server:
        code, summary, said = llmstress(
            *("--url", server.url, "--model", "m", "--procs", "1", "--streams", "5", "--requests", "50"),
            *("--retries", "3"),
        )
    check(summary)
    assert code == 0
    assert (summary["requests"]["retries"], summary["rate_limits"]) == (0, {})
    assert summary["latency_ms"]["e2e_due"]["count"] == 50
    assert not any(word in said for word in ("retries ", "rate limit"))
