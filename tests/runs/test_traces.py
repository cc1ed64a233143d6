"""Runs that replay a trace: each row becomes one request, with the length of its answer, and not before its time."""

import datetime
import gzip
import json
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from helpers.block_caches import tokens_shared
from helpers.http_servers import Handler, served
from helpers.processes import DEADLINE_S, Run, llmstress, mock_server

from llmstress.coordinator.run.conductor import OPEN_HEAD_START_S

STAMPS_MS = [0, 400, 400, 900, 1300, 1700, 2000, 2400, 3000, 3200]
SPEED = 4.0
CLOCK_S = 0.002
"""The start of the run is known to the millisecond."""


class Seen(NamedTuple):
    """A request at the server."""

    at: float
    max_tokens: int


def trace_file(directory: Path, lengths: Sequence[int | None], *more: str) -> Path:
    """A trace with these lengths of answers, in an order of its own, and `more` lines; compressed."""
    rows: list[dict[str, Any]] = [
        {"timestamp": 5000 + at, "input_length": 9} | ({} if length is None else {"output_length": length})
        for at, length in zip(STAMPS_MS, lengths, strict=True)
    ]
    rows[3], rows[7] = rows[7], rows[3]
    path = directory / "trace.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join([*map(json.dumps, rows), *more]).encode()))
    return path


def replayed(path: Path, *flags: str) -> tuple[int, dict[str, Any], str, list[Seen]]:
    """Exit code, summary and stderr of a run with two processes, and what its server has seen."""
    seen: list[Seen] = []

    class Server(Handler):
        def do_POST(self) -> None:
            at, asked = time.time(), json.loads(self.body())
            seen.append(Seen(at, asked["max_tokens"]))
            choice = {"index": 0, "message": {"content": "x"}, "finish_reason": "length"}
            usage = {"prompt_tokens": 9, "completion_tokens": asked["max_tokens"]}
            self.answer(200, json.dumps({"choices": [choice], "usage": usage}).encode())

    with served(Server) as url:
        given = ("--url", url, "--model", "m", "--procs", "2", "--no-stream", "--proxy", "none")
        code, summary, said = llmstress(*given, "--trace", str(path), *flags)
    return code, summary, said, seen


@pytest.mark.slow
def test_each_row_is_one_request_at_its_time(tmp_path: Path) -> None:
    lengths = [11, 12, 13, 14, 15, 16, 17, 18, 19, 0]
    path = trace_file(tmp_path, lengths, '{"timestamp": "soon"}', "", '{"timestamp": 1, "output_length": -1}')
    code, summary, said, seen = replayed(path, "--speed", "4", "--skip-bad-rows", "--ignore-eos")
    assert (code, summary["ended_by"]) == (0, "requests")
    assert summary["requests"]["ok"] == summary["requests"]["started"] == len(seen) == 10
    due_s = {max(1, length): at / 1000 / SPEED for at, length in zip(STAMPS_MS, lengths, strict=True)}
    assert sorted(each.max_tokens for each in seen) == sorted(due_s)
    t0 = datetime.datetime.fromisoformat(summary["run"]["started_at"]).timestamp() + OPEN_HEAD_START_S
    for each in seen:
        assert each.at - t0 >= due_s[each.max_tokens] - CLOCK_S, f"{each.max_tokens} tokens: too early"
    trace = summary["trace"]
    assert trace["skipped_rows"][0].pop("why").startswith("timestamp is 'soon', and must be")
    assert trace["skipped_rows"][1].pop("why").startswith("output_length is -1, and must be")
    assert trace == {
        "format": "Mooncake",
        "stamps": "ms",
        "rows": 10,
        "used": 10,
        "skipped": 2,
        "skipped_rows": [{"line": 11}, {"line": 13}],
        "unsorted": 2,
        "span_s": 3.2,
        "speed": 4.0,
        "lengths": ["input", "output"],
    }
    assert summary["run"]["phases_s"]["steady"] >= 3.2 / SPEED
    assert not any(rule["id"] == "short-answers" for rule in summary["verdict"]["rules"]), "each is held to its length"
    assert (
        "trace: 10 rows in 3.2s (Mooncake format, stamps in ms), replayed in 0.8s; input and output lengths used"
        in said
    )
    assert "bad rows left out: 2 of 12; line 11: timestamp is 'soon'" in said
    assert "rows earlier than the row above them: 2 of 10; all rows were sorted by their stamps" in said
    assert "whole trace → drain" in said


@pytest.mark.slow
def test_a_duration_cuts_a_trace_and_a_limit_of_the_user_replaces_its_lengths(tmp_path: Path) -> None:
    path = trace_file(tmp_path, [11, None, 13, 14, 15, 16, 17, 18, 19, 20])
    code, summary, said, seen = replayed(path, "--duration", "1.1s", "--max-tokens", "7")
    assert (code, summary["ended_by"]) == (0, "duration")
    assert summary["trace"]["used"] == 4, "those at 0, 0.4, 0.4 and 0.9 s"
    assert (summary["trace"]["rows"], summary["trace"]["lengths"]) == (10, ["input"])
    assert len(seen) == summary["requests"]["started"] <= 4
    assert {each.max_tokens for each in seen} <= {7}
    assert "stamps in ms); input lengths used" in said
    assert "trace, at most 1.1s → drain" in said


def test_the_cache_of_a_server_hits_what_the_hash_ids_imply(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    for number in range(30):  # sessions that grow, and some prompts that are cut within a block of another one
        session, turn = number % 5, number // 5
        ids = [7, *(100 * session + block for block in range(turn))]
        tokens = 512 * len(ids) - (100 if number % 3 else 300)
        rows.append({"timestamp": 20 * number, "input_length": tokens, "output_length": 2, "hash_ids": ids})
    path = tmp_path / "trace.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    cached, total = tokens_shared([(row["input_length"], row["hash_ids"]) for row in rows], 512)
    with mock_server("--prefix-cache", "1000000", "--cache-block", "512") as server:
        code, summary, _ = llmstress(
            server.url, "--api", "openai-completions", "--model", "mock-7b", "--headless", "--quiet", "--no-probe",
            *("--proxy", "none", "--procs", "2", "--trace", str(path), "--speed", "2"),
        )  # fmt: skip
        truth = server.stop()
    assert (code, summary["requests"]["ok"]) == (0, 30)
    assert 0.3 < cached / total < 0.9
    assert truth["prefix_cache"]["cached"] == summary["tokens"]["cached_input"] == cached
    assert summary["tokens"]["input"] == total
    assert summary["tokens"]["asked"] == {
        "input": total, "input_delivered": total, "output": 60, "output_delivered": 60
    }  # fmt: skip


def test_ctrl_c_ends_the_reading_of_a_trace_that_never_comes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR)
    with tempfile.TemporaryDirectory(prefix="llmstress-test-") as runtime:  # sockets need a short path
        given = ("--url", "http://127.0.0.1:9", "--model", "m", "--trace", str(pipe))
        run = Run(*given, env={"XDG_RUNTIME_DIR": runtime})
        try:
            deadline = time.monotonic() + DEADLINE_S
            # a signal that comes between the opening and the read would be noticed when the read has ended: never
            while not (_has_open(run.process.pid, pipe) and _reads_a_pipe(run.process.pid)):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            run.process.send_signal(signal.SIGINT)
            code, _, said = run.finish()
        finally:
            run.end()
        assert (code, "Traceback" in said) == (130, False)
        assert not list(Path(runtime, "llmstress").iterdir()), "the run's directory"
    os.close(held)


def _reads_a_pipe(pid: int) -> bool:
    """Whether the main thread of a process waits in the kernel for what a pipe has. A process that only sleeps may wait
    for something else, and then begin to read when the signal has come."""
    where = Path(f"/proc/{pid}/wchan").read_text()
    asleep = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"
    return asleep and ("pipe_read" in where or where in ("", "0"))  # some kernels don't say where


def _has_open(pid: int, path: Path) -> bool:
    """Whether a process has a file open."""
    try:
        return any(each.resolve() == path for each in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:  # a descriptor that was closed meanwhile
        return False
