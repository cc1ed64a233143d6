"""Made-up runs with everything that a record has to keep, and the figures that two views of a run must share."""

import random
from typing import Any, cast

import msgspec
from helpers.screens import STEP, S, histogram, opening

from llmstress.engine.telemetry.aggregate import Aggregate, Notice
from llmstress.engine.telemetry.broadcast import Ended, Message, Paused, RunView, WorkerChange
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import BYSTANDER, Counters, Delta, ErrorSample, Part, Phase, RateLimit, key_of

WORKERS = 3


def eventful(seconds: int, seed: int = 0) -> list[tuple[int, Message]]:
    """What happens in a run of three workers: failures that take samples back, finish reasons without end, rate limits,
    notices, changes of the load, a bystander, and one worker that is lost after two thirds."""
    draw = random.Random(seed)
    told: list[tuple[int, Message]] = []
    recorded: list[list[tuple[Phase, int]]] = [[] for _ in range(WORKERS)]
    """Samples that a failure may still take back, with their phases."""
    lost_at = seconds * 2 // 3 * S
    for seq in range(seconds * S // STEP):
        end = (seq + 1) * STEP
        if draw.random() < 0.05:
            told.append((end, Notice(end, draw.choice(("note", "warning", "load")), f"note {seq}")))
        if draw.random() < 0.02:
            told.append((end, Paused(draw.random() < 0.5)))
            told.append((end, WorkerChange(0, streams=draw.randrange(1, 50))))
        for worker in range(WORKERS):
            if worker == 1 and end > lost_at:
                continue
            told.append((end + worker, _delta(draw, worker, seq, seconds, recorded[worker])))
        if end == lost_at:
            told.append((end + WORKERS, WorkerChange(1, "lost", reason="killed")))
    last = seconds * S + S // 10
    told += [(last, WorkerChange(worker, "done", deltas=seconds * S // STEP)) for worker in (0, 2)]
    return [*told, (last, Ended("duration", seconds / 2, 1.0)), (last, Notice(last, "end", "the run has ended"))]


def _delta(draw: random.Random, worker: int, seq: int, seconds: int, recorded: list[tuple[Phase, int]]) -> Delta:
    begin, end = seq * STEP, (seq + 1) * STEP
    share = end / (seconds * S)
    phase = Phase.RAMP if share <= 0.1 else Phase.WARMUP if share <= 0.2 else Phase.STEADY
    part, samples = Part(), list[ErrorSample]()
    parts: dict[int, Part] = {phase: part}
    for _ in range(draw.randrange(4)):
        us = draw.randrange(100, 10_000_000)
        recorded.append((phase, us))
        part.latency.setdefault("ttft", Histogram()).record(us)
        part.ended["ok"] = part.ended.get("ok", 0) + 1
        reason = draw.choice(("stop", "length", f"odd {draw.randrange(100)}"))
        part.finish[reason] = part.finish.get(reason, 0) + 1
        if us >= S // 1000:
            part.missed["ttft<1s"] = part.missed.get("ttft<1s", 0) + 1
        part.aside.setdefault("idle", Histogram()).record(us // 2)
    met = part.ended.get("ok", 0) - sum(part.missed.values())
    if recorded and draw.random() < 0.3:
        recorded_in, us = recorded.pop(draw.randrange(len(recorded)))
        parts.setdefault(recorded_in, Part()).retracted["ttft"] = histogram(us)
        part.latency_failed["ttft"] = histogram(us)
        part.ended["reset"] = 1
        samples.append(ErrorSample("reset", 0, f"words {draw.randrange(5)}", f"req-{seq}"))
    if seq % 3 == 0:
        seen = Part(Counters(started=1), {"ok": 1}, {}, {"ttft": histogram(1_000 * seq + worker)})
        parts[key_of(phase, BYSTANDER)] = seen
    ended = sum(part.ended.values())
    part.counters = Counters(
        started=ended + draw.randrange(2), events=draw.randrange(100), cpu_ns=draw.randrange(STEP), slo_met=met
    )
    part.latency["loop_lag"] = histogram(*(draw.randrange(2_000) for _ in range(4)))
    return Delta(
        worker,
        seq + (seq > 20),  # one delta of each worker never came
        begin,
        end,
        phase,
        draw.randrange(30),
        draw.randrange(30, 60),
        int(draw.random() < 0.05),
        draw.randrange(10**6, 10**8),
        parts,
        samples,
        ["server: nginx"] if seq == 5 else [],
        {"requests": RateLimit(100, draw.randrange(100), draw.randrange(100), end)} if seq % 7 == 0 else {},
        {"end-first": ErrorSample("http_401", 401, f"no {worker}", "")} if seq == 9 else {},
    )


def after(told: list[tuple[int, Message]], until: int | None = None) -> RunView:
    """The view that these messages make: all, or those up to a time."""
    view = opening(WORKERS, 10)
    for t, message in told:
        if until is None or t <= until:
            view.apply(message)
    return view


def parts_after(told: list[tuple[int, Message]], numbers: set[int]) -> dict[int, Any]:
    """Number of deltas -> the parts after so many."""
    view, seen, found = opening(WORKERS, 10), 0, {}
    for _, message in told:
        view.apply(message)
        if isinstance(message, Delta):
            seen += 1
            if seen in numbers:
                found[seen] = parts_of(view.aggregate)
    return found


def parts_of(aggregate: Aggregate) -> dict[str, Any]:
    """Its parts. Which of them are packed does not matter: that depends on when a failure took samples back."""
    parts = {key: part.unpacked() for key, part in aggregate.parts.items()}
    return cast(dict[str, Any], msgspec.to_builtins(parts, str_keys=True))


def figures_of(aggregate: Aggregate) -> dict[str, Any]:
    """All of it but the timeline and the recent past, whose steps may be longer in a record."""
    left_out = ("rows", "row_ns", "row_open", "recent", "earlier")
    kept = {name: getattr(aggregate, name) for name in aggregate.__struct_fields__ if name not in left_out}
    return {name: msgspec.to_builtins(value, str_keys=True) for name, value in kept.items()} | {
        "parts": parts_of(aggregate)
    }
