"""Screens for tests: a source that a test fills, a small recorded run, and the text that a screen shows."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from llmstress.engine.schedule import windows
from llmstress.engine.telemetry import record
from llmstress.engine.telemetry.aggregate import Aggregate, Notice
from llmstress.engine.telemetry.broadcast import Command, Ended, Frame, RunFacts, RunView, WorkerChange, encode
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import Counters, Delta, ErrorSample, Part, Phase
from llmstress.tui.app import StressApp
from llmstress.tui.messages import ChartsDue, FiguresDue
from llmstress.tui.sources.source import Playback, SourceLost

S = 1_000_000_000
STEP = S // 4

HOSTILE = (
    "[bold red]not markup[/] [/nothing] [@click=app.exit]no link[/]",
    "\x1b[2J\x1b]0;title\x07 escapes \x9b31m \x00\x08\x7f",
    "line\nbreak\r\nand\ttab\u2028and more",
    "x" * 10_000,
    "\u202eright to left \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627\u2066",
    "wide 漢字 👩\u200d👩\u200d👧 e\u0301\u0301\u0301 $error {0} %s",
)


class QueueSource:
    """A live run: what a test puts in comes out of `frames`, what the screen asks for is kept."""

    def __init__(self, *frames: Frame, controls: bool = True) -> None:
        self.controls = controls
        self.playback: Playback | None = None
        self.sent: list[Command] = []
        self._queue: asyncio.Queue[Frame | SourceLost] = asyncio.Queue()
        self.give(*frames)

    def give(self, *frames: Frame | SourceLost) -> None:
        """Let the screen have these."""
        for frame in frames:
            self._queue.put_nowait(frame)

    async def frames(self) -> AsyncIterator[Frame]:
        while True:
            frame = await self._queue.get()
            if isinstance(frame, SourceLost):
                raise frame
            yield frame

    async def send(self, command: Command) -> None:
        self.sent.append(command)


def facts(**changed: Any) -> RunFacts:
    values: dict[str, Any] = {
        "version": "0.1.0",
        "interval_s": 0.25,
        "api": "openai-chat",
        "url": "http://127.0.0.1:8000/v1/chat/completions",
        "model": "mock-7b",
        "procs": 2,
        "streams": 20,
        "ramp_s": 1.0,
        "warmup_s": 1.0,
        "steady_s": 8.0,
        "grace_s": 30.0,
        "requests": None,
        "whole_run": False,
        "started_at": "2026-01-01T00:00:00.000+00:00",
    }
    values |= changed
    return RunFacts(**({"total_streams": values["procs"] * values["streams"]} | values))


def histogram(*us: int) -> Histogram:
    made = Histogram()
    made.record_many(us)
    return made


def delta(worker: int, seq: int, **changed: Any) -> Delta:
    """A quarter of a second of a worker: 5 answers with 20 tokens each, the same every time."""
    t = (seq + 1) * STEP
    phase = Phase.RAMP if t <= S else Phase.WARMUP if t <= 2 * S else Phase.STEADY if t <= 10 * S else Phase.DRAIN
    base = 200_000 + 1_000 * seq
    part = Part(
        counters=Counters(
            started=5 + (20 if seq == 0 else 0),
            events=100,
            events_ok=100,
            output=100,
            output_streamed=100,
            input=50,
            usage_seen=5,
            cpu_ns=STEP // (2 if worker == 0 else 1),
        ),
        ended={"ok": 5},
        latency={
            "queue": histogram(*range(20, 70, 10)),
            "ttfb": histogram(*(base // 2 + 700 * n for n in range(5))),
            "ttft": histogram(*(base + 4_000 * n * n for n in range(5))),
            "ttfa": histogram(*(base + 4_000 * n * n for n in range(5))),
            "itl": histogram(*(19_000 + 20 * n for n in range(95))),
            "tpot": histogram(*(19_900 + 50 * n for n in range(5))),
            "stall": histogram(*(24_000 + 500 * n for n in range(5))),
            "e2e": histogram(*(base + 380_000 + 4_000 * n for n in range(5))),
            "loop_lag": histogram(*(100 + 150 * n for n in range(10))),
        },
    )
    samples: list[ErrorSample] = []
    if worker == 1 and seq % 8 == 7:
        part.ended["http_503"] = 1
        part.counters.started += 1
        samples.append(ErrorSample("http_503", 503, "the model is overloaded, try again later", "req-7"))
    made = Delta(worker, seq, seq * STEP, t, phase, 20, 20, 0, 60_000_000 + 1_000_000 * worker, {phase: part}, samples)
    for name, value in changed.items():
        setattr(made, name, value)
    return made


def new_view(facts: RunFacts) -> RunView:
    """A run before its first message, with the windows that belong to its facts."""
    planned = windows(
        ramp_ns=int(facts.ramp_s * S),
        warmup_ns=None if facts.warmup_requests is not None else int(facts.warmup_s * S),
        steady_ns=None if facts.steady_s is None else int(facts.steady_s * S),
        whole_run=facts.whole_run,
    )
    return RunView(facts, Aggregate.over([facts.streams] * facts.procs, windows=planned))


def opening(procs: int = 2, streams: int = 20, **changed: Any) -> RunView:
    """A view as a run begins with it, its workers running."""
    view = new_view(facts(procs=procs, streams=streams, **changed))
    for worker in range(procs):
        view.apply(WorkerChange(worker, "running", pid=1000 + worker, startup_cpu_s=0.3, rss=45_000_000))
    return view


def story(seconds: float = 11.0, *, lost_s: float | None = 6.0) -> list[tuple[int, Frame]]:
    """What happens in a run of two workers, with the moment of each message; one may be lost."""
    told: list[tuple[int, Frame]] = [(0, Notice(0, "phase", "ramp-up: 1s"))]
    begins = {S: "warm-up: 1s", 2 * S: "steady: 8s", 10 * S: "drain: at most 30s"}
    for seq in range(int(seconds * S) // STEP):
        t = (seq + 1) * STEP
        for worker in range(2):
            if worker == 1 and lost_s is not None and t > lost_s * S:
                continue
            told.append((t, delta(worker, seq)))
        if lost_s is not None and t == int(lost_s * S):
            told.append((t, WorkerChange(1, "lost", reason="killed by SIGKILL (out of memory?)")))
            told.append((t, Notice(t, "warning", "worker 1 was lost: killed by SIGKILL (out of memory?)")))
        if t in begins:
            told.append((t, Notice(t, "phase", begins[t])))
    return told


def ending(seconds: float = 11.0, by: str = "duration") -> list[tuple[int, Frame]]:
    t = int(seconds * S)
    return [(t, WorkerChange(0, "done")), (t, Ended(by, 8.0, 1.0)), (t, Notice(t, "end", "the run has ended"))]


def write_record(path: Path, told: list[tuple[int, Frame]], view: RunView | None = None) -> Path:
    """The record of a run in which this happens; `view`: how it begins."""
    view = view or opening()
    writer = record.Writer(path, view, -S // 2)
    for t, frame in told:
        assert not isinstance(frame, RunView)
        writer.turn(frame)
        view.apply(frame)
        writer.append(t, frame, encode(frame))
    writer.close()
    return path


def on_screen(
    app: StressApp, steps: Callable[[Pilot[int]], Awaitable[None]], size: tuple[int, int] = (100, 30)
) -> StressApp:
    """Run `app` without a terminal, let a test take its steps, and give it back ended."""

    async def run() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await settle(pilot)
            await steps(pilot)

    asyncio.run(run())
    return app


async def settle(pilot: Pilot[int]) -> None:
    """Wait until what was given is shown; doesn't wait for the timers."""
    for _ in range(2):
        await asyncio.sleep(0.01)
        pilot.app.post_message(FiguresDue())
        pilot.app.post_message(ChartsDue())
        await pilot.pause()


async def settle_until(pilot: Pilot[int], condition: Callable[[], bool]) -> None:
    """Wait until what was given has led to something."""
    for _ in range(1000):
        await settle(pilot)
        if condition():
            return
    raise AssertionError("it never came to that")


async def press(pilot: Pilot[int], *keys: str) -> None:
    """Press keys and wait until what they do is shown."""
    await pilot.press(*keys)
    await settle(pilot)


def lines_of(app: StressApp) -> list[str]:
    """What stands on the screen, line by line."""
    return [strip.text for strip in app.screen._compositor.render_strips()]


def text_of(app: StressApp) -> str:
    """What stands on the screen."""
    return "\n".join(line.rstrip() for line in lines_of(app))
