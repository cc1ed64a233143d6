"""Runs of several windows: summary, viewer and record have the same figures of each, and nothing is missing."""

import asyncio
from pathlib import Path

import pytest
import zmq
import zmq.asyncio
from helpers.processes import DEADLINE_S, Run, mock_server
from helpers.screens import opening
from helpers.summaries import check

from llmstress.coordinator.processes import run_directory, viewer
from llmstress.coordinator.processes.broadcaster import NUMBER_BYTES, WATCH
from llmstress.coordinator.processes.viewer import LiveSource
from llmstress.engine.telemetry.broadcast import Paused, RunView, encode
from llmstress.engine.telemetry.record import Reader
from llmstress.engine.telemetry.thinning import take_in
from llmstress.engine.telemetry.windows import steady_windows


@pytest.mark.slow
def test_stages_of_the_open_model_add_up_to_the_run(tmp_path: Path) -> None:
    kept = tmp_path / "run.rec"
    with mock_server() as server:
        stages = ("--stage", "500ms:40/s:step", "--stage", "500ms:120/s", "--stage", "1s:60/s:step")
        run = Run("--url", server.url, "--model", "mock-7b", "--procs", "2", *stages, "--record", str(kept))
        code, summary, said = run.finish()
        truth = server.stop()
    check(summary)
    assert code == 0
    load, rows = summary["load"], summary["windows"]
    assert (load["model"], load["arrival"], load["unit"]) == ("open", "poisson", "requests")
    assert load["due"] == load["started"] + load["dropped"]
    assert load["started"] == summary["requests"]["started"] == truth["requests"]
    assert [row["label"] for row in rows] == ["stage 1", "stage 2", "stage 3"]
    assert [(row["begin_s"], row["seconds"], row["asked"]) for row in rows] == [
        (0.0, 0.5, 40.0),
        (0.5, 0.5, 80.0),
        (1.0, 1.0, 60.0),
    ]
    assert load["asked_per_s"] == 60.0
    assert sum(row["due"] for row in rows) == load["due"]
    for name in ("ttft", "queue"):
        counts = [row["latency_ms"][name]["count"] for row in rows if name in row["latency_ms"]]
        assert sum(counts) == summary["latency_ms"][name]["count"]
    assert "load      asked 60.0/s, due " in said
    assert [line.split()[:2] for line in said.splitlines() if line.startswith("stage ")] == [
        ["stage", "1"],
        ["stage", "2"],
        ["stage", "3"],
    ]
    reader = Reader(kept)
    view = reader.opening()
    for moment in reader.moments(goal=0):
        take_in(view, moment.frame)
    for row, found in zip(rows, steady_windows(view), strict=True):
        assert (row["label"], row["due"], row["started"], row["ok"]) == (
            found.label,
            found.due,
            found.started,
            found.ok,
        )
        assert row["asked"] == found.asked
        assert row["seconds"] == pytest.approx(found.seconds, abs=1e-6)
        for metric, described in row["latency_ms"].items():
            p50 = found.percentile(metric, "p50")
            assert described["p50"] == (None if p50 is None else p50 / 1000)


def test_a_viewer_asks_again_if_its_keyframe_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "ASK_AGAIN_S", 0.0)

    async def body() -> None:
        context = zmq.asyncio.Context()
        run = context.socket(zmq.XPUB)
        run.setsockopt(zmq.XPUB_VERBOSE, 1)

        async def say(number: int, message: RunView | Paused) -> None:
            await run.send_multipart([number.to_bytes(NUMBER_BYTES, "big"), encode(message)])

        with run_directory.own_directory() as directory:
            run.bind(f"ipc://{directory / WATCH}")
            source = LiveSource(directory, controls=False)
            frames = source.frames()
            first = asyncio.ensure_future(anext(frames))
            assert await run.recv() == b"\1"
            await say(7, Paused(True))  # the keyframe was dropped
            assert [await run.recv(), await run.recv()] == [b"\0", b"\1"]
            await say(8, opening())
            assert isinstance(await first, RunView)
            await say(9, Paused(True))
            assert await anext(frames) == Paused(True)
            source.close()
            run.close(linger=0)
            context.term()

    asyncio.run(asyncio.wait_for(body(), DEADLINE_S))
