"""What a record of hours costs: feeds the real writer with made-up deltas on a clock of its own, and reads it again.

Eight hours of 16 workers are 1.8 million deltas, which are more than two minutes can hold: by default every worker
reports once in `--interval` seconds with all that it measured since. Size and speed of reading hardly depend on it (all
but the newest minutes is merged over longer stretches); the CPU of writing does, and is told for each delta.
"""

import argparse
import random
import resource
import tempfile
import time
from pathlib import Path

from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import Ended, Message, RunFacts, RunView, WorkerChange, encode
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import Counters, Delta, Part, Phase
from llmstress.engine.telemetry.record import Reader, Writer
from llmstress.engine.telemetry.thinning import take_in

NS = 1_000_000_000


def _histogram(draw: random.Random, n: int, median_us: float, sigma: float) -> Histogram:
    made = Histogram()
    made.record_many([int(median_us * draw.lognormvariate(0, sigma)) for _ in range(n)])
    return made


def deltas(interval_s: float, requests_per_s: float, tokens: int, number: int = 16) -> list[Delta]:
    """Different deltas of a busy worker, to be sent again and again with other numbers."""
    draw = random.Random(1)
    requests = max(1, round(requests_per_s * interval_s))
    made: list[Delta] = []
    for _ in range(number):
        part = Part(
            counters=Counters(
                started=requests,
                events=requests * tokens,
                events_ok=requests * tokens,
                output=requests * tokens,
                output_streamed=requests * tokens,
                input=requests * 20,
                usage_seen=requests,
                cpu_ns=int(interval_s * 5e8),
                host_ns=int(interval_s * 16e9),
                host_busy_ns=int(interval_s * 8e9),
            ),
            ended={"ok": requests, "http_503": 1},
            finish={"stop": requests - requests // 3, "length": requests // 3},
            latency={
                "queue": _histogram(draw, requests, 40, 0.5),
                "ttfb": _histogram(draw, requests, 150_000, 0.3),
                "ttft": _histogram(draw, requests, 200_000, 0.3),
                "ttft_due": _histogram(draw, requests, 200_000, 0.3),
                "ttfa": _histogram(draw, requests, 200_000, 0.3),
                "itl": _histogram(draw, min(requests * tokens, 5_000), 20_000, 0.25),
                "tpot": _histogram(draw, requests, 20_000, 0.05),
                "stall": _histogram(draw, requests, 40_000, 0.4),
                "e2e": _histogram(draw, requests, 1_500_000, 0.15),
                "e2e_due": _histogram(draw, requests, 1_500_000, 0.15),
                "loop_lag": _histogram(draw, max(1, round(40 * interval_s)), 200, 0.8),
            },
            latency_failed={"ttfb": _histogram(draw, 1, 100_000, 0.3)},
        )
        made.append(Delta(0, 0, 0, 0, Phase.STEADY, 100, 100, 0, 60_000_000, {Phase.STEADY: part}, []))
    return made


def opening(workers: int, interval_s: float) -> RunView:
    """A view as a run of so many workers begins with it."""
    facts = RunFacts(
        version="0", api="openai-chat", url="http://127.0.0.1/v1/chat/completions", model="m", procs=workers,
        streams=100, total_streams=100 * workers, ramp_s=0.0, warmup_s=0.0, steady_s=None, interval_s=interval_s,
        grace_s=30.0, requests=None, whole_run=False, started_at="2026-01-01T00:00:00.000+00:00",
    )  # fmt: skip
    view = RunView(facts, Aggregate.over([100] * workers))
    for worker in range(workers):
        view.apply(WorkerChange(worker, "running", pid=1 + worker))
    return view


def main() -> None:
    """Write, read, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--interval", type=float, default=16.0, help="seconds; 0.25 is what a run has")
    parser.add_argument("--requests-per-s", type=float, default=20.0, help="of one worker")
    parser.add_argument("--tokens", type=int, default=64, help="of one answer")
    parser.add_argument("--keep", type=Path, help="the record; else it is removed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = options.keep or Path(directory) / "run.rec"
        written = write(path, options)
        print(f"{path.stat().st_size / 1e6:.1f} MB")
        read(path, written)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def write(path: Path, options: argparse.Namespace) -> RunView:
    """Write the record of a made-up run; gives the view at its end."""
    view = opening(options.workers, options.interval)
    made = deltas(options.interval, options.requests_per_s, options.tokens)
    writer = Writer(path, view)
    steps = int(options.hours * 3600 / options.interval)
    spent, longest, applied = 0.0, 0.0, 0.0

    def tell(t: int, message: Message) -> None:
        nonlocal spent, longest, applied
        encoded = encode(message)
        began = time.process_time()
        writer.turn(message)
        before = time.process_time()
        view.apply(message)
        after = time.process_time()
        writer.append(t, message, encoded)
        took = time.process_time() - after + before - began
        spent, longest, applied = spent + took, max(longest, took), applied + after - before

    for step in range(steps):
        begin, end = int(step * options.interval * NS), int((step + 1) * options.interval * NS)
        for worker in range(options.workers):
            sample = made[(step * 7 + worker) % len(made)]
            sample.worker, sample.seq, sample.t_from, sample.t_to = worker, step, begin, end
            tell(end + 1_000_000 * worker, sample)
    end = int(options.hours * 3600 * NS)
    for worker in range(options.workers):
        tell(end + NS // 10, WorkerChange(worker, "done", deltas=steps))
    tell(end + NS // 5, Ended("duration", options.hours * 3600, 0.0))
    writer.close()
    total = steps * options.workers
    print(
        f"{total:,} deltas: {spent / total * 1e6:.0f} µs each to record, {applied / total * 1e6:.0f} µs to take in; "
        f"the longest took {longest * 1e3:.0f} ms"
    )
    return view


def read(path: Path, written: RunView) -> None:
    """Read the record, as a whole and from several moments."""
    began = time.process_time()
    reader = Reader(path)
    print(f"opened in {time.process_time() - began:.2f} s, level {reader.level}, whole from {reader.whole_from:,}")
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        t = int(reader.end * share)
        began = time.process_time()
        view = reader.opening()
        n = 0
        for moment in reader.moments(goal=t):
            if moment.t > t:
                break
            take_in(view, moment.frame)
            n += 1
        print(f"to {share:4.0%}: {time.process_time() - began:.2f} s, {n} steps, {len(view.aggregate.rows)} rows")
    same = view.aggregate.parts == written.aggregate.parts and view.aggregate.workers == written.aggregate.workers
    print(f"the same totals: {same}; peak {view.aggregate.peak} and {written.aggregate.peak}")


if __name__ == "__main__":
    main()
