"""Whole runs: the command, its workers and the mock as real processes."""

import base64
import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from helpers.bench import HEAD, TOKEN
from helpers.http_servers import Handler, served
from helpers.processes import Run, alive, llmstress, mock_server, wait_until_gone, workers_of
from helpers.summaries import check

KEY = "sk-planted-0123456789"


def test_requests_and_tokens_agree_with_the_server_to_the_unit() -> None:
    with mock_server("--procs", "2") as server:
        code, summary, _ = llmstress(
            "--url", server.url, "--model", "mock-7b", "--procs", "2", "--streams", "25", "--requests", "301"
        )
        truth = server.stop()
    check(summary)
    assert code == 0
    assert summary["ended_by"] == "requests"
    assert summary["complete"]
    assert summary["requests"]["ok"] == summary["requests"]["started"] == truth["requests"] == truth["done"] == 301
    assert summary["tokens"]["output"] == summary["tokens"]["events"] == truth["tokens"] == 301 * 8
    assert summary["tokens"]["source"] == "usage"
    assert summary["finish"] == {"stop": 301}
    assert summary["streams"] == {"target": 50, "peak": 50}
    latency = summary["latency_ms"]
    assert latency["ttft"]["count"] == latency["e2e"]["count"] == 301
    # a busy machine may read an answer all at once, which has no tpot
    assert latency["tpot"]["count"] + summary["tpot_undetermined"]["count"] == 301
    assert latency["itl"]["count"] == 301 * 7
    assert latency["connect"]["count"] == 50
    assert [worker["state"] for worker in summary["client"]["workers"]] == ["done", "done"]


@pytest.mark.slow
def test_a_run_by_the_clock_has_all_phases_and_drains() -> None:
    with mock_server() as server:
        code, summary, said = llmstress(
            *("--url", server.url, "--procs", "2", "--streams", "10"),
            *("--ramp-up", "200ms", "--warmup", "300ms", "--duration", "1s", "--max-tokens", "5"),
        )
        truth = server.stop()
    check(summary)
    assert code == 0
    assert summary["ended_by"] == "duration"
    assert summary["run"]["model"] == "mock-7b", "the only one that the target lists"
    phases = summary["run"]["phases_s"]
    assert (phases["ramp"], phases["warmup"], phases["steady"]) == (0.2, 0.3, 1.0)
    assert summary["requests"]["ok"] == truth["done"] == truth["requests"]
    assert summary["tokens"]["output"] == truth["tokens"] == 5 * truth["done"]
    assert summary["finish"] == {"length": truth["done"]}
    assert 0 < summary["latency_ms"]["ttft"]["count"] < truth["done"], "only the window's"
    assert "2 processes × 10 = 20 streams" in said
    assert "ramp-up 0.2s → warm-up 0.3s → steady 1s → drain (at most 30s)" in said


@pytest.mark.slow
def test_what_is_still_open_after_the_grace_period_is_cancelled() -> None:
    with mock_server("--tokens", "100000") as server:
        code, summary, _ = llmstress(
            *("--url", server.url, "--model", "mock-7b", "--procs", "1", "--streams", "5"),
            *("--duration", "500ms", "--grace", "200ms", "--max-tokens", "100000"),
        )
    check(summary)
    assert code == 5, "no request succeeded"
    assert summary["requests"]["cancelled"] == summary["requests"]["started"] == 5
    assert summary["tokens"]["output_cancelled"] == summary["tokens"]["events"] > 0
    assert summary["verdict"]["status"] == "degraded"
    assert summary["latency_ms"]["ttft"]["count"] == 5


@pytest.mark.slow
def test_answers_that_are_not_streamed() -> None:
    with mock_server() as server:
        code, summary, _ = llmstress(
            "--url", server.url, "--model", "m", "--procs", "1", "--streams", "4", "--requests", "20", "--no-stream"
        )
        truth = server.stop()
    check(summary)
    assert code == 0
    assert summary["requests"]["ok"] == truth["done"] == 20
    assert summary["tokens"]["output"] == truth["tokens"]
    assert summary["tokens"]["events"] == summary["latency_ms"]["ttft"]["count"] == 0
    assert summary["tokens"]["output_per_s"] > 0
    assert summary["latency_ms"]["e2e"]["count"] == 20


@pytest.mark.slow
def test_the_summary_is_written_to_a_file_with_histograms(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    with mock_server() as server:
        code, summary, _ = llmstress(
            *("--url", server.url, "--procs", "1", "--streams", "5", "--requests", "50", "--output", str(path))
        )
    assert code == 0
    written = json.loads(path.read_text("utf-8"))
    check(written)
    assert [each.name for each in tmp_path.iterdir()] == ["summary.json"]
    histogram = HdrHistogram.decode(written["histograms"]["ttft"])
    assert histogram.get_total_count() == written["latency_ms"]["ttft"]["count"] == 50
    assert base64.b64decode(written["histograms"]["itl"])
    assert "histograms" not in summary
    del written["histograms"]
    assert written == summary


def test_without_a_url_it_shows_everything_working() -> None:
    code, summary, said = llmstress("--streams", "5", "--duration", "1s", "--max-tokens", "3")
    check(summary)
    assert code == 0
    assert summary["requests"]["ok"] > 0
    assert "no --url" in said
    assert "the mock reports" in said


# --- losses and signals

LONG = ("--model", "mock-7b", "--streams", "10", "--duration", "30s", "--max-tokens", "100000")
"""A run that no test waits for."""


@pytest.mark.slow
def test_a_killed_worker_is_a_loss_and_the_others_go_on() -> None:
    with mock_server("--tokens", "50") as server:
        run = Run("--url", server.url, "--model", "m", "--procs", "2", "--streams", "10", "--duration", "3s")
        run.wait_for("steady")
        run.wait_for("steady")
        victim = workers_of(run.process.pid)[0]
        os.kill(victim, signal.SIGKILL)
        code, summary, said = run.finish()
    check(summary)
    assert code == 4
    assert summary["complete"] is False
    assert summary["ended_by"] == "duration"
    assert summary["verdict"]["status"] == "invalid"
    assert "SIGKILL" in summary["verdict"]["reasons"][0]
    states = {worker["pid"]: worker["state"] for worker in summary["client"]["workers"]}
    assert states.pop(victim) == "lost"
    assert list(states.values()) == ["done"]
    assert 0 < summary["requests"]["lost"] <= 10
    assert summary["errors"]["lost"]["count"] == summary["requests"]["lost"]
    assert summary["requests"]["ok"] > 0
    assert "was lost" in said


@pytest.mark.slow
def test_when_all_workers_are_killed_the_summary_still_appears() -> None:
    with mock_server() as server:
        run = Run("--url", server.url, "--procs", "2", *LONG)
        run.wait_for("steady")
        run.wait_for("steady")
        for victim in workers_of(run.process.pid):
            os.kill(victim, signal.SIGKILL)
        code, summary, _ = run.finish()
    check(summary)
    assert (code, summary["complete"], summary["ended_by"]) == (4, False, "lost")


@pytest.mark.slow
def test_a_worker_that_dies_before_it_is_ready_ends_the_run_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text("raise ImportError('no uvloop today')")
    with mock_server() as server:
        code, summary, said = llmstress("--url", server.url, *LONG, env={"PYTHONPATH": str(tmp_path)})
        truth = server.stop()
    assert code == 3
    assert not summary
    assert "died before it was ready" in said
    assert "no uvloop today" in said
    assert "Traceback" not in said
    assert truth["requests"] == 0


@pytest.mark.slow
def test_no_process_outlives_a_killed_coordinator() -> None:
    run = Run("--procs", "2", *LONG)
    run.wait_for("steady")
    children = run.children()
    assert len(children) == 3, "two workers and the mock"
    assert all(alive(child) for child in children)
    run.process.kill()
    run.finish()
    wait_until_gone(children)


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ([signal.SIGINT], 130),
        pytest.param([signal.SIGTERM], 143, marks=pytest.mark.slow),
        # shell and kernel both tell of a closed terminal
        pytest.param([signal.SIGHUP, signal.SIGHUP], 143, marks=pytest.mark.slow),
    ],
    ids=["int", "term", "hup"],
)
def test_a_signal_drains_and_gives_the_full_summary(numbers: list[signal.Signals], code: int) -> None:
    with mock_server() as server:
        run = Run("--url", server.url, "--procs", "2", "--streams", "10", "--duration", "30s", "--model", "m")
        run.wait_for("steady")
        run.wait_for("steady")
        run.process.send_signal(numbers[0])
        run.wait_for("finishing open requests")
        for number in numbers[1:]:
            run.process.send_signal(number)
        ended_with, summary, _ = run.finish()
        truth = server.stop()
    check(summary)
    assert ended_with == code
    assert summary["ended_by"] == "signal"
    assert summary["complete"]
    assert summary["requests"]["cancelled"] == 0
    assert summary["requests"]["ok"] == truth["done"] == truth["requests"]


def test_a_second_ctrl_c_ends_at_once_with_the_summary_so_far() -> None:
    with mock_server("--tokens", "100000") as server:
        run = Run("--url", server.url, "--procs", "2", *LONG)
        run.wait_for("steady")
        run.wait_for("steady")
        run.process.send_signal(signal.SIGINT)
        run.wait_for("finishing open requests")
        run.process.send_signal(signal.SIGINT)
        code, summary, _ = run.finish()
    check(summary)
    assert code == 130
    assert summary["requests"]["cancelled"] == summary["requests"]["started"] == 20
    assert summary["tokens"]["output_cancelled"] == summary["tokens"]["events"] > 0


# --- targets that don't work


@pytest.fixture
def refused() -> Iterator[str]:
    """A URL that nobody listens at."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


def test_a_target_that_isn_t_there_is_said_before_anything_starts(refused: str) -> None:
    code, summary, said = llmstress("--url", refused, *LONG)
    assert (code, summary) == (3, {})
    assert "can't be reached" in said
    assert said.count("\n") == 1


@pytest.mark.slow
def test_a_target_that_refuses_all_gives_exit_code_5_and_no_spin(refused: str) -> None:
    code, summary, said = llmstress(
        *("--url", refused, "--model", "m", "--no-probe", "--procs", "1", "--streams", "20"),
        *("--duration", "1s", "--error-pause", "400ms"),
    )
    check(summary)
    assert code == 5
    lines = said.splitlines()
    assert lines[-1].startswith("llmstress: no request succeeded: 100% of ")
    assert lines[-1].endswith(" requests failed (connect_refused 100%); exit code 5")
    assert "no latencies, because no request succeeded; `llmstress probe`" in lines[-2]
    assert "measurement: valid (of the failures only: no request succeeded)" in lines
    assert not any(line.startswith(("tokens", "ttft")) for line in said.splitlines())
    assert list(summary["errors"]) == ["connect_refused"]
    # at 200 ms to 600 ms a pause, a stream can't start more than 6 times in a second
    assert 20 <= summary["requests"]["failed"] <= 20 * 6
    assert summary["latency_failed_ms"]["queue"]["count"] == summary["requests"]["failed"]


@pytest.mark.slow
def test_max_errors_ends_the_run(refused: str) -> None:
    code, summary, said = llmstress(
        *("--url", refused, "--model", "m", "--no-probe", "--procs", "2", "--streams", "20", "--duration", "30s"),
        *("--max-errors", "25", "--error-pause", "100ms"),
    )
    check(summary)
    assert (code, summary["ended_by"]) == (6, "errors")
    assert summary["requests"]["failed"] >= 25
    assert "--max-errors is reached" in said
    assert said.splitlines()[-1].endswith("exit code 6 because of --max-errors 25")


@pytest.mark.slow
def test_a_share_of_errors_is_compared_at_the_end_of_a_short_run() -> None:
    with mock_server("--fault", "http_500=50%", "--seed", "3") as server:
        load = ("--url", server.url, "--model", "m", "--procs", "2", "--streams", "5", "--requests", "40")
        limited = llmstress(*load, "--error-pause", "1ms", "--max-errors", "5%")
        unlimited = llmstress(*load, "--error-pause", "1ms")
    code, summary, said = limited
    check(summary)
    assert (code, summary["ended_by"], summary["requests"]["started"]) == (6, "errors", 40)
    assert said.splitlines()[-1].endswith("exit code 6 because of --max-errors 5%")
    code, summary, said = unlimited
    assert (code, summary["ended_by"]) == (0, "requests")
    table = said[said.index("outcome: ") :].splitlines()
    failed = summary["requests"]["failed"]
    assert table[0] == f"outcome: {failed / 40:.1%} of 40 requests failed (http_500 {failed / 40:.1%})".replace(
        ".0%", "%"
    )
    assert table[1].startswith("measurement: ")


@pytest.mark.slow
def test_max_total_tokens_ends_the_run_before_it_costs_more() -> None:
    tokens, streams, limit = 400, 10, 2_000
    with mock_server("--tokens", str(tokens), "--gap-ms", "5") as server:
        code, summary, said = llmstress(
            *("--url", server.url, "--model", "m", "--procs", "2", "--streams", str(streams // 2), "--duration", "60s"),
            *("--max-tokens", str(tokens), "--max-total-tokens", str(limit), "--interval", "50ms"),
        )
        truth = server.stop()
    check(summary)
    assert (code, summary["ended_by"]) == (0, "quota")
    assert "--max-total-tokens is reached" in said
    assert any("--max-total-tokens" in event["text"] for event in summary["events"])
    assert summary["requests"]["cancelled"] == 0
    counted = summary["tokens"]
    assert counted["output"] == truth["tokens"]
    # when the limit is reached each stream finishes its answer, or one more on a slow machine
    assert limit <= truth["tokens"] + counted["input"] < limit + 2 * streams * tokens


@pytest.mark.slow
def test_a_limit_that_is_reached_in_the_planned_drain_doesn_t_end_the_run() -> None:
    tokens, streams, limit = 400, 10, 2_000
    with mock_server("--tokens", str(tokens), "--gap-ms", "5") as server:
        code, summary, said = llmstress(
            *("--url", server.url, "--model", "m", "--procs", "1", "--streams", str(streams), "--max-tokens", "400"),
            # a token every 4 ms at most: 1,250 within the window
            *("--duration", "500ms", "--max-total-tokens", str(limit), "--interval", "50ms"),
        )
        truth = server.stop()
    check(summary)
    assert (code, summary["ended_by"]) == (0, "duration")
    assert summary["requests"]["cancelled"] == 0
    assert summary["tokens"]["output"] == truth["tokens"] == streams * tokens > limit
    assert "--max-total-tokens" not in said


@pytest.mark.slow
def test_tokens_of_answers_that_never_end_count_too() -> None:
    with mock_server("--tokens", "1000000") as server:
        code, summary, _ = llmstress(
            *("--url", server.url, "--model", "m", "--procs", "1", "--streams", "10", "--duration", "60s"),
            *("--max-tokens", "1000000", "--max-total-tokens", "500", "--grace", "100ms", "--interval", "50ms"),
        )
    check(summary)
    assert (code, summary["ended_by"]) == (5, "quota")
    assert summary["requests"]["cancelled"] == summary["requests"]["started"] == 10
    assert summary["tokens"]["output_cancelled"] >= 500


class Refusing(Handler):
    """Notes what it was asked; refuses everything."""

    protocol_version = "HTTP/1.1"
    status = 401
    seen: list[tuple[str, dict[str, str]]]

    def do_GET(self) -> None:
        self.refuse()

    def do_POST(self) -> None:
        self.body()
        self.refuse()

    def refuse(self) -> None:
        self.seen.append((self.path, dict(self.headers)))
        words = b'{"error":{"message":"wrong key: %s"}}' % self.headers.get("Authorization", "").encode()
        self.answer(404 if self.command == "GET" and self.status != 401 else self.status, words)


@pytest.fixture
def refusing(request: pytest.FixtureRequest) -> Iterator[tuple[str, type[Refusing]]]:
    """A server that answers everything with one status."""
    handler = type("Noting", (Refusing,), {"seen": [], "status": request.param})
    with served(handler) as url:
        yield url, handler


@pytest.mark.parametrize("refusing", [401], indirect=True)
def test_a_refused_key_is_said_before_anything_starts(refusing: tuple[str, type[Refusing]]) -> None:
    url, handler = refusing
    code, summary, said = llmstress("--url", url, *LONG, "--api-key-env", "PLANTED", env={"PLANTED": KEY})
    assert (code, summary) == (3, {})
    assert "wrong key" in said
    assert KEY not in said
    [(path, headers)] = handler.seen
    assert path == "/v1/models"
    assert headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("refusing", [403], indirect=True)
def test_a_key_reaches_the_target_and_nothing_else(refusing: tuple[str, type[Refusing]], tmp_path: Path) -> None:
    url, handler = refusing
    path = tmp_path / "out.json"
    run = Run(
        *("--url", f"{url}/proxy/v1?api-key={KEY}", "--model", "m", "--procs", "1", "--streams", "3"),
        *("--duration", "2s", "--api-key-env", "PLANTED", "--header", f"X-Other: {KEY}x", "--output", str(path)),
        *("--on-status", "403=count"),
        env={"PLANTED": KEY, "OPENAI_API_KEY": KEY},
    )
    run.wait_for("steady")
    run.wait_for("steady")
    [worker] = workers_of(run.process.pid)
    assert KEY.encode() not in Path(f"/proc/{worker}/cmdline").read_bytes()
    assert KEY.encode() not in Path(f"/proc/{worker}/environ").read_bytes()
    code, summary, said = run.finish()
    assert code == 5
    assert KEY not in said + json.dumps(summary) + path.read_text()
    assert "***" in summary["errors"]["http_403"]["samples"][0]["text"]
    asked = [headers for where, headers in handler.seen if where == f"/proxy/v1/chat/completions?api-key={KEY}"]
    assert asked
    assert all((each["Authorization"], each["X-Other"]) == (f"Bearer {KEY}", f"{KEY}x") for each in asked)


@pytest.mark.parametrize("refusing", [500], indirect=True)
def test_a_key_is_not_sent_to_a_host_that_doesn_t_own_it(refusing: tuple[str, type[Refusing]]) -> None:
    url, handler = refusing
    llmstress("--url", url, "--model", "m", "--procs", "1", "--requests", "2", env={"OPENAI_API_KEY": KEY})
    assert handler.seen
    assert all("Authorization" not in headers for _, headers in handler.seen)


def test_more_streams_than_descriptors_is_said_before_anything_starts() -> None:
    code, _, said = llmstress("--url", "http://127.0.0.1:1", "--model", "m", "--procs", "1", "--streams", "100000000")
    assert code == 3
    assert "--streams" in said


class Flood(Handler):
    """Token after token, as fast as they are read."""

    def do_POST(self) -> None:
        self.body()
        self.wfile.write(HEAD)
        with contextlib.suppress(ConnectionError):
            while True:
                self.wfile.write(TOKEN * 2_000)


@pytest.mark.slow
def test_a_server_that_floods_its_clients_costs_no_worker_and_little_memory() -> None:
    with served(Flood) as url:
        code, summary, _ = llmstress(
            *("--url", url, "--model", "m", "--procs", "1", "--streams", "5", "--no-probe"),
            *("--duration", "2s", "--timeout-total", "1s"),
        )
    check(summary)
    assert code == 5
    assert summary["complete"]
    assert summary["requests"]["started"] == summary["errors"]["timeout_total"]["count"]
    [worker] = summary["client"]["workers"]
    assert worker["rss_mb"] < 250, "690 when what waits was counted in reads only, 84 since"
