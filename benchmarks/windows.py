"""What many windows cost: the deltas of a made-up sweep go through the real aggregate, on a clock of its own.

A sweep has two windows a point: one in which the load settles, and one that counts. Prints the CPU time of taking in a
delta and of a picture of the run (`snapshot.take`, the verdict, the figures of all windows), the memory of the
aggregate, and the size of a keyframe.
"""

import argparse
import gc
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from record import NS, deltas, opening

from llmstress.engine.telemetry import snapshot
from llmstress.engine.telemetry.broadcast import RunView, Windows, decode, encode
from llmstress.engine.telemetry.messages import Delta, Part, Phase, consecutive, key_of
from llmstress.engine.telemetry.record import Writer
from llmstress.engine.telemetry.verdict import judge
from llmstress.engine.telemetry.windows import steady_windows

T = TypeVar("T")

DELTAS = 400
"""Different ones: with fewer, a window would have fewer different values than in a real run."""


def main() -> None:
    """Sweep and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--settle", type=float, default=2.0, help="seconds")
    parser.add_argument("--point", type=float, default=20.0, help="seconds")
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--interval", type=float, default=2.0, help="seconds between reports; 0.25 is what a run has")
    parser.add_argument("--requests-per-s", type=float, default=20.0, help="of one worker")
    parser.add_argument("--tokens", type=int, default=64, help="of one answer")
    parser.add_argument("--record", type=Path, help="write a record to this file, too")
    options = parser.parse_args()
    made = deltas(options.interval, options.requests_per_s, options.tokens, DELTAS)
    before = rss()
    view = sweep(options, made)
    gc.collect()
    print(f"memory of the aggregate {(rss() - before) / 1e6:.0f} MB")
    frame, took = timed(lambda: encode(view))
    print(f"keyframe {len(frame) / 1e6:.2f} MB, encoded in {took:.1f} ms")
    again, took = timed(lambda: decode(frame))
    print(f"decoded in {took:.1f} ms")
    assert isinstance(again, RunView)
    _, took = timed(lambda: again.aggregate.steady)
    print(f"first sum of a viewer {took:.1f} ms")
    pictures: dict[str, Callable[[], object]] = {
        "snapshot.take": lambda: snapshot.take(view.aggregate, view.steady_s),
        "verdict": lambda: judge(view.aggregate, view.steady_s),
        "figures of all windows": lambda: steady_windows(view),
    }
    for name, do in pictures.items():
        _, took = timed(do)
        print(f"{name} {took:.2f} ms")


def rss() -> int:
    """Resident memory of this process, bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def sweep(options: argparse.Namespace, made: list[Delta]) -> RunView:
    """The run after its last point; prints what a delta costs at the begin and at the end."""
    view = opening(options.workers, options.interval)
    parts = [part for sample in made for part in sample.parts.values()]
    writer = None if options.record is None else Writer(options.record, view)
    begins, t, seq = [], 0, 0
    spent: list[float] = []
    for point in range(options.points):
        lengths = ((Phase.WARMUP, f"→ {point}", options.settle), (Phase.STEADY, f"{point}", options.point))
        for kind, label, seconds in lengths:
            begins.append((kind, label, t))
            if kind is Phase.WARMUP:
                planned = [
                    *begins,
                    (Phase.STEADY, f"{point}", t + int(options.settle * NS)),
                    (Phase.DRAIN, "drain", None),
                ]
                view.apply(Windows(consecutive(planned)))
            window = len(begins) - 1
            for _ in range(max(1, round(seconds / options.interval))):
                begin, end = t, t + int(options.interval * NS)
                for worker in range(options.workers):
                    number = (seq * options.workers + worker) % len(made)
                    sample, part = made[number], parts[number]
                    sample.parts = {key_of(window): part}
                    sample.worker, sample.seq, sample.t_from, sample.t_to = worker, seq, begin, end
                    sample.window = window
                    if seq % 5 == 0 and window > 3 and part.latency_failed:  # a failure takes samples back
                        failed = part.latency_failed
                        sample.parts = {key_of(window - 2): Part(retracted=dict(failed)), **sample.parts}
                    began = time.process_time()
                    if writer is not None:
                        writer.turn(sample)
                    view.apply(sample)
                    if writer is not None:
                        writer.append(end, sample, encode(sample))
                    spent.append(time.process_time() - began)
                seq, t = seq + 1, end
    tenth = len(spent) // 10
    print(
        f"{len(spent):,} deltas: {sum(spent[:tenth]) / tenth * 1e3:.2f} ms each in the first tenth, "
        f"{sum(spent[-tenth:]) / tenth * 1e3:.2f} ms in the last; longest "
        f"{max(spent) * 1e3:.0f} ms"
    )
    if writer is not None:
        writer.close()
        print(f"record {options.record.stat().st_size / 1e6:.1f} MB")
    return view


def timed(do: Callable[[], T]) -> tuple[T, float]:
    """What `do` returns, and how long it took (ms)."""
    began = time.process_time()
    made = do()
    return made, (time.process_time() - began) * 1e3


if __name__ == "__main__":
    main()
