"""Looking at a run from outside: what is published, what viewers may ask for, what is kept in a file."""

import asyncio
import contextlib
import json
import os
import resource
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.asyncio
from helpers.processes import DEADLINE_S, Run, mock_server
from helpers.summaries import check
from helpers.watching import follow, once, run_of

from llmstress.coordinator.config.errors import CouldNotStart
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.processes import run_directory
from llmstress.coordinator.processes.broadcaster import ASK, BACKLOG, Broadcaster
from llmstress.coordinator.processes.viewer import LiveSource
from llmstress.coordinator.run.facts import run_facts
from llmstress.coordinator.run.load_plan import windows_of
from llmstress.coordinator.run.run_tasks import resolve_tasks
from llmstress.engine.telemetry import record, snapshot
from llmstress.engine.telemetry.aggregate import Aggregate, Notice
from llmstress.engine.telemetry.broadcast import (
    AbortRequested,
    Command,
    DrainRequested,
    Ended,
    Frame,
    Message,
    Paused,
    PauseRequested,
    RunFacts,
    RunView,
    SaveRequested,
    StreamsRequested,
    WorkerChange,
    decode_command,
    encode,
)
from llmstress.engine.telemetry.thinning import take_in
from llmstress.tui.sources.source import SourceLost

FACTS = RunFacts(
    version="1",
    interval_s=0.25,
    api="openai-chat",
    url="http://127.0.0.1/v1/chat/completions",
    model="m",
    procs=1,
    streams=1,
    total_streams=1,
    ramp_s=0.0,
    warmup_s=0.0,
    steady_s=1.0,
    grace_s=1.0,
    requests=None,
    whole_run=False,
    started_at="",
)


@pytest.fixture(autouse=True)
def _at_home(home: Path) -> None:
    """Each run has its directory there."""


def same_figures(view: RunView, summary: dict[str, Any]) -> None:
    """A viewer's figures are those of the summary."""
    figures = snapshot.steady(view.aggregate, view.steady_s)
    tokens, requests = summary["tokens"], summary["requests"]
    assert round(figures.tokens_per_s or 0, 3) == (tokens["output_per_s"] or 0)
    assert round(figures.events_per_s or 0, 3) == (tokens["events_per_s"] or 0)
    assert round(figures.requests_per_s or 0, 3) == (requests["per_s"] or 0)
    assert figures.failed == requests["failed"]
    for metric in ("ttft", "itl", "tpot", "e2e"):
        for name in ("p50", "p99"):
            us = figures.percentile(metric, name)
            assert (None if us is None else round(us / 1000, 3)) == summary["latency_ms"][metric][name]
    assert view.aggregate.counters().started == requests["started"]
    assert view.aggregate.peak == summary["streams"]["peak"]


def test_a_viewer_has_the_figures_of_the_summary() -> None:
    with mock_server() as server:
        arguments = ("--url", server.url, "--model", "mock-7b", "--procs", "2", "--streams", "10", "--duration", "1s")
        with run_of(*arguments, "--warmup", "500ms") as (run, directory):
            view = follow(directory)
            code, summary, _ = run.finish()
    check(summary)
    assert code == 0
    assert view.ended is not None
    assert view.ended.by == "duration" == summary["ended_by"]
    same_figures(view, summary)
    assert [notice.text for notice in view.aggregate.notices if notice.kind == "phase"] == [
        "warm-up begins (0.5s)",
        "steady window begins (1s)",
        "drain begins (at most 30s)",
    ]


@pytest.mark.slow
def test_streams_change_while_the_run_lasts() -> None:
    more = once({0.2: StreamsRequested(50)})
    fewer = once({0.2: StreamsRequested(4)})

    def react(view: RunView, frame: Frame) -> Command | None:
        return fewer(view, frame) if view.aggregate.open == 50 else more(view, frame)

    with mock_server("--gap-ms", "10", "--tokens", "40") as server:
        arguments = ("--url", server.url, "--model", "mock-7b", "--procs", "2", "--streams", "10", "--duration", "3s")
        with run_of(*arguments) as (run, directory):
            view = follow(directory, react)
            code, summary, _ = run.finish()
        truth = server.stop()
    check(summary)
    assert code == 0
    assert truth["open_max"] == summary["streams"]["peak"] == 50
    assert truth["requests"] == summary["requests"]["started"]
    assert [worker.streams for worker in view.aggregate.workers] == [2, 2]
    changes = ["streams 20 → 50", "streams 50 → 4"]
    assert [event["text"] for event in summary["events"] if event["kind"] == "load"] == changes
    assert [change for row in summary["timeline"] for change in row["changes"]] == changes
    assert any("changed manually 2 times" in note for note in summary["verdict"]["notes"])
    same_figures(view, summary)


@pytest.mark.slow
def test_more_streams_than_open_files_allow_are_refused_in_words() -> None:
    with mock_server() as server:
        arguments = ("--url", server.url, "--model", "mock-7b", "--procs", "1", "--streams", "2", "--duration", "1s")
        with run_of(*arguments, nofile=264) as (run, directory):
            follow(directory, once({0.2: StreamsRequested(100_000)}))
            code, summary, _ = run.finish()
    assert code == 0
    assert summary["streams"]["peak"] == 200
    assert "streams 2 → 200 (not 100,000: open files are limited)" in [event["text"] for event in summary["events"]]


@pytest.mark.slow
def test_a_pause_starts_nothing_new() -> None:
    open_while_paused: list[int] = []

    def react(view: RunView, frame: Frame) -> Command | None:
        if view.paused and not view.aggregate.open:
            open_while_paused.append(view.aggregate.open)
            return PauseRequested(False)
        return pause(view, frame)

    pause = once({0.3: PauseRequested(True)})
    with mock_server() as server:
        arguments = ("--url", server.url, "--model", "mock-7b", "--procs", "2", "--streams", "10", "--duration", "2s")
        with run_of(*arguments) as (run, directory):
            follow(directory, react)
            _, summary, _ = run.finish()
    check(summary)
    assert open_while_paused
    kinds = [event["text"] for event in summary["events"] if event["kind"] == "load"]
    assert kinds[:2] == ["paused: no new requests", "resumed"]
    assert summary["timeline"][-1]["open"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code", "ended_by"),
    [(DrainRequested(), 0, "signal"), (AbortRequested(), 130, "abort")],
    ids=["drain", "abort"],
)
def test_a_viewer_ends_the_run(command: Command, code: int, ended_by: str) -> None:
    with mock_server() as server:
        arguments = ("--url", server.url, "--model", "mock-7b", "--procs", "2", "--streams", "10", "--duration", "60s")
        with run_of(*arguments) as (run, directory):
            view = follow(directory, once({0.3: command}))
            ended, summary, _ = run.finish()
    check(summary)
    assert (ended, summary["ended_by"]) == (code, ended_by)
    assert bool(summary["requests"]["cancelled"]) == (code == 130)
    same_figures(view, summary)


@pytest.mark.slow
def test_a_viewer_without_control_changes_nothing() -> None:
    with mock_server() as server:
        arguments = ("--url", server.url, "--model", "mock-7b", "--procs", "1", "--streams", "5", "--duration", "1s")
        with run_of(*arguments) as (run, directory):
            view = follow(directory, once({0.1: AbortRequested(), 0.3: StreamsRequested(50)}), controls=False)
            code, _, _ = run.finish()
    assert code == 0
    assert view.aggregate.workers[0].streams == 5


@pytest.mark.slow
def test_the_summary_so_far_is_saved_on_demand(tmp_path: Path) -> None:
    with mock_server() as server:
        arguments = ("--url", server.url, "--model", "mock-7b", "--procs", "1", "--streams", "5", "--duration", "1s")
        with run_of(*arguments, cwd=tmp_path) as (run, directory):
            follow(directory, once({0.5: SaveRequested()}))
            run.finish()
    (saved,) = tmp_path.glob("llmstress-*.json")
    summary = json.loads(saved.read_text("utf-8"))
    requests = summary["requests"]
    assert requests["started"] == requests["ok"] + requests["open"]
    assert requests["ok"] > 0
    assert requests["open"] == 5
    assert summary["ended_by"] == "running"


@pytest.mark.slow
def test_a_viewer_notices_that_the_coordinator_is_gone() -> None:
    def kill(view: RunView, frame: Frame) -> Command | None:
        if view.aggregate.elapsed_ns:
            os.kill(run.process.pid, signal.SIGKILL)
            run.process.wait()
        return None

    with mock_server() as server:
        arguments = ("--url", server.url, "--model", "mock-7b", "--procs", "1", "--streams", "5", "--duration", "60s")
        with (
            run_of(*arguments) as (run, directory),
            pytest.raises(SourceLost, match="its coordinator has ended"),
        ):
            follow(directory, kill)
    assert directory.exists()
    assert run_directory.running() == []
    assert not directory.exists(), "what a killed run leaves is cleared by whoever looks next"


@pytest.mark.slow
def test_a_record_ends_with_the_figures_of_the_summary(tmp_path: Path) -> None:
    kept = tmp_path / "run.rec"
    with mock_server() as server:
        arguments = ("--url", server.url, "--model", "mock-7b", "--procs", "2", "--streams", "10", "--duration", "1s")
        run = Run(*arguments, "--record", str(kept))
        _, summary, _ = run.finish()
    reader = record.Reader(kept)
    view = reader.opening()
    for moment in reader.moments():
        take_in(view, moment.frame)
    same_figures(view, summary)
    assert view.aggregate.notices[-1].kind == "end"
    assert list(tmp_path.iterdir()) == [kept]


@contextlib.asynccontextmanager
async def broadcasting(workers: int = 1) -> AsyncIterator[tuple[Broadcaster, Path]]:
    with run_directory.own_directory() as directory:
        view = RunView(FACTS, Aggregate.over([1] * workers))
        async with Broadcaster(directory, view, None) as broadcaster:
            yield broadcaster, directory


def test_a_viewer_that_missed_something_begins_again_with_a_keyframe() -> None:
    async def body() -> None:
        async with broadcasting() as (broadcaster, directory):
            source = LiveSource(directory, controls=False)
            frames = source.frames()
            first = await anext(frames)
            assert isinstance(first, RunView)
            # far more than the sockets hold: what doesn't fit is dropped
            for number in range(20 * BACKLOG):
                broadcaster.publish(Notice(number, "note", "x" * 1000), number)
            seen: list[Frame] = []
            while not any(isinstance(frame, RunView) for frame in seen):
                seen.append(await anext(frames))
                if len(seen) % 100 == 0:
                    broadcaster.publish(Paused(True), 0)
            numbers = [frame.t for frame in seen if isinstance(frame, Notice)]
            assert numbers == list(range(len(numbers))), "in order and without a gap until the keyframe"
            assert len(numbers) < 20 * BACKLOG
            again = seen[-1]
            assert isinstance(again, RunView)
            assert again.aggregate.notices[-1].t == 20 * BACKLOG - 1
            source.close()

    asyncio.run(asyncio.wait_for(body(), DEADLINE_S))


def test_a_keyframe_for_another_viewer_takes_nothing_from_the_first() -> None:
    async def body() -> None:
        async with broadcasting() as (broadcaster, directory):
            first, second = LiveSource(directory, controls=False), LiveSource(directory, controls=False)
            frames, others = first.frames(), second.frames()
            assert isinstance(await anext(frames), RunView)
            assert isinstance(await anext(others), RunView)
            messages: list[Message] = [Paused(True), Ended("duration", 1.0, 0.0), WorkerChange(0, "done")]
            for message in messages:
                broadcaster.publish(message, 0)
            assert [await anext(frames) for _ in messages] == messages
            assert [await anext(others) for _ in messages] == messages
            first.close()
            second.close()

    asyncio.run(asyncio.wait_for(body(), DEADLINE_S))


def test_a_stranger_s_bytes_are_no_command() -> None:
    async def body() -> None:
        async with broadcasting() as (broadcaster, directory):
            context = zmq.asyncio.Context()
            stranger = context.socket(zmq.PUSH)
            stranger.connect(f"ipc://{directory / ASK}")
            for data in (b"", b"\xff" * 100, b"\x91" * 3000, encode(Paused(True)), encode(StreamsRequested(7))):
                await stranger.send(data)
            assert await broadcaster.next_command() == StreamsRequested(7)
            stranger.close()
            context.term()

    asyncio.run(asyncio.wait_for(body(), DEADLINE_S))


@pytest.mark.parametrize(
    "command", [DrainRequested(), AbortRequested(), PauseRequested(True), StreamsRequested(5), SaveRequested()]
)
def test_commands_survive_the_wire(command: Command) -> None:
    assert decode_command(encode(command)) == command


def test_the_directory_of_a_run_is_private_and_goes_with_it(home: Path) -> None:
    with run_directory.own_directory() as directory:
        assert directory.stat().st_mode & 0o777 == 0o700
        assert directory.parent.stat().st_mode & 0o777 == 0o700
        assert run_directory.running() == [directory]
        assert run_directory.coordinator_of(directory) == os.getpid()
    assert run_directory.running() == []


def test_a_place_that_others_could_have_made_is_refused(home: Path) -> None:
    (home / "llmstress").symlink_to(home)
    with pytest.raises(CouldNotStart, match="belongs to another user"):
        run_directory.home()
    (home / "llmstress").unlink()
    (home / "llmstress").mkdir(mode=0o755)
    assert run_directory.home().stat().st_mode & 0o777 == 0o700
    shutil.rmtree(home / "llmstress")


def test_a_window_that_is_the_whole_run_holds_the_ramp() -> None:
    options = Options(procs=1, prompt="p", requests=10**9, duration_s=60.0, ramp_up_s=30.0)
    tasks = resolve_tasks(options, lambda _: "http://h", {})
    view = RunView(run_facts(options, tasks), Aggregate.over([1], windows=windows_of(options)))
    view.aggregate.elapsed_ns = 85 * 10**9
    assert view.steady_s == 85
    view.aggregate.elapsed_ns = 120 * 10**9
    assert view.steady_s == 90


def test_a_record_that_can_t_be_written_is_said_before_anything_starts(tmp_path: Path) -> None:
    there = tmp_path / "run.rec"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(there))  # opening it fails for any user
        run = Run("--url", "http://127.0.0.1:9", "--model", "m", "--record", str(there))
        code, _, said = run.finish()
    assert (code, said.count("\n")) == (2, 1)
    assert "--record" in said


@pytest.mark.slow
def test_a_full_disk_ends_the_record_and_not_the_run(tmp_path: Path) -> None:
    kept = tmp_path / "run.rec"
    with mock_server() as server:
        arguments = ("--url", server.url, "--model", "m", "--procs", "1", "--streams", "5", "--duration", "2s")
        run = Run(*arguments, "--record", str(kept))
        run.wait_for("steady")
        # a file that may not grow any more, as on a full disk
        resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, (kept.stat().st_size, kept.stat().st_size))
        code, summary, said = run.finish()
    check(summary)
    assert code == 0
    assert said.count("the record ends here") == 1
    reader = record.Reader(kept)
    view = reader.opening()
    for moment in reader.moments():
        take_in(view, moment.frame)
    assert view.ended is None, "what had been written by then can be shown"


@pytest.mark.parametrize("path", ["/dev/null", "/dev/full"])
def test_a_record_is_a_regular_file(path: str) -> None:
    code, _, said = Run("--url", "http://127.0.0.1:9", "--model", "m", "--record", path).finish()
    assert code == 2
    assert "needs a regular file" in said


def test_lost_workers_streams_are_no_target() -> None:
    view = RunView(FACTS, Aggregate.over([100, 100]))
    view.apply(WorkerChange(1, "lost", reason="killed"))
    assert snapshot.take(view.aggregate).target == 100
