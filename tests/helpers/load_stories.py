"""Recorded runs whose load changes: stages of a rate, and a sweep over numbers of streams."""

from typing import Any

import msgspec
from helpers.screens import STEP, S, facts, histogram

from llmstress.engine.telemetry.aggregate import Aggregate, Notice
from llmstress.engine.telemetry.broadcast import Asked, Ended, Frame, RunView, Windows, WorkerChange
from llmstress.engine.telemetry.load_profile import Piece, Profile
from llmstress.engine.telemetry.messages import BYSTANDER, Counters, Delta, Part, Phase, Window, consecutive, key_of
from llmstress.engine.telemetry.slo import Objectives, Slo

SLOS = (Slo("ttft", 300_000, True, "ttft<300ms"), Slo("tpot", 50_000, True, "tpot<50ms"))
WORKERS = 2

STAGES = consecutive(
    [
        *((Phase.STEADY, f"stage {number}", (number - 1) * 4 * S) for number in (1, 2, 3, 4)),
        (Phase.DRAIN, "drain", 16 * S),
    ]
)
"""Four stages of 4 s."""

RATES = Profile(
    "requests",
    (
        Piece(0, 4 * S, 20.0, 20.0),
        Piece(4 * S, 8 * S, 20.0, 100.0),
        Piece(8 * S, 12 * S, 100.0, 100.0),
        Piece(12 * S, 16 * S, 200.0, 200.0),
    ),
)


def load_view(windows: tuple[Window, ...], profile: Profile | None, **changed: Any) -> RunView:
    """A run of two workers as it begins, with these windows and this load over time."""
    known = facts(**({"ramp_s": 0.0, "warmup_s": 0.0, "steady_s": 16.0} | changed))
    view = RunView(known, Aggregate.over([known.streams] * WORKERS, windows=windows), profile=profile)
    for worker in range(WORKERS):
        view.apply(WorkerChange(worker, "running", pid=1000 + worker, startup_cpu_s=0.3, rss=45_000_000))
    return view


def staged_view() -> RunView:
    """A run whose rate has four stages, and two SLOs."""
    return load_view(STAGES, RATES, arrival="poisson", objectives=Objectives(SLOS), streams=30)


def load_delta(
    worker: int, seq: int, window: int, requests: int, *, due: int = 0, waiting: int = 0, streams: int = 0
) -> Delta:
    """A quarter of a second in which a worker answers so many requests with 10 tokens each.

    `streams`: requests in flight; latencies grow with them.
    """
    ttft, tpot = 150_000 + 4_000 * streams, 20_000 + 100 * streams
    late = sum(ttft + 4_000 * n >= SLOS[0].limit_us for n in range(requests))
    dropped = max(0, due - 20)
    part = Part(
        counters=Counters(
            started=requests,
            due=due,
            dropped=dropped,
            events=10 * requests,
            events_ok=10 * requests,
            output=10 * requests,
            output_streamed=10 * requests,
            usage_seen=requests,
            cpu_ns=STEP // 4,
            slo_met=requests - late,
        ),
        ended={"ok": requests} if requests else {},
        latency={
            "queue": histogram(*(50 + 1_000 * waiting for _ in range(requests))),
            "ttft": histogram(*(ttft + 4_000 * n for n in range(requests))),
            "itl": histogram(*(tpot + 10 * n for n in range(9 * requests))),
            "tpot": histogram(*(tpot + 50 * n for n in range(requests))),
            "e2e": histogram(*(ttft + 9 * tpot + 4_000 * n for n in range(requests))),
            "loop_lag": histogram(*(100 + 150 * n for n in range(10))),
        },
        missed={SLOS[0].text: late} if late else {},
    )
    t = (seq + 1) * STEP
    made = Delta(worker, seq, seq * STEP, t, window, streams, streams, 0, 60_000_000, {window: part}, [])
    made.waiting = made.waiting_max = waiting
    return made


def staged(until_s: float = 16.5) -> list[tuple[int, Frame]]:
    """What happens in the run of `staged_view`: in the last stage 160 of the 200 requests per second are started, some
    wait, and some are dropped."""
    told: list[tuple[int, Frame]] = [(0, Notice(0, "phase", "stage 1 begins (4s)"))]
    for seq in range(int(until_s * S) // STEP):
        t = (seq + 1) * STEP
        begin = seq * STEP
        window = min(begin // (4 * S), 4)
        due = 0 if window == 4 else round(RATES.amount(0, t) / WORKERS) - round(RATES.amount(0, begin) / WORKERS)
        requests = min(due, 20)
        waiting = 3 * (due - requests)
        told += [
            (t, load_delta(worker, seq, window, requests, due=due, waiting=waiting, streams=requests))
            for worker in range(WORKERS)
        ]
        if t % (4 * S) == 0 and window < 3:
            told.append((t, Notice(t, "phase", f"stage {window + 2} begins (4s)")))
    return told


def beside(told: list[tuple[int, Frame]]) -> list[tuple[int, Frame]]:
    """The same with a bystander, whose requests are sent by worker 0: one in each delta, with a TTFT of 160 ms."""
    made: list[tuple[int, Frame]] = []
    for t, frame in told:
        if isinstance(frame, Delta) and frame.worker == 0:
            seen = Part(Counters(started=1, due=1), {"ok": 1}, latency={"ttft": histogram(160_000)})
            frame = msgspec.structs.replace(frame, parts=frame.parts | {key_of(frame.window, BYSTANDER): seen})
        made.append((t, frame))
    return made


LEVELS = (1, 4, 16, 64)


def swept_view() -> RunView:
    """A sweep over numbers of streams, as it begins: the load of the first point settles."""
    windows = consecutive([(Phase.WARMUP, "→ 1", 0), (Phase.STEADY, "1", None), (Phase.DRAIN, "drain", None)])
    return load_view(windows, Profile("streams", (Piece(0, None, 1.0, 1.0),)), steady_s=None, streams=32, points=4)


def swept(points: int = len(LEVELS), measured_s: float = 4.0) -> list[tuple[int, Frame]]:
    """What happens in the first `points` points of it: each settles for a second and is measured for 4 s, the last one
    for `measured_s`. The server has 16 slots."""
    told: list[tuple[int, Frame]] = []
    seq = 0
    known: list[tuple[Phase, str, int | None]] = []
    view = swept_view()
    for number, level in enumerate(LEVELS[:points]):
        at = seq * STEP
        known += [(Phase.WARMUP, f"→ {level}", at), (Phase.STEADY, str(level), None)]
        told.append((at, Windows(consecutive([*known, (Phase.DRAIN, "drain", None)]))))
        assert view.profile is not None
        view.profile = view.profile.held(at, float(level))
        told.append((at, Asked(view.profile)))
        seconds = 4.0 if number < points - 1 else measured_s
        for step in range(int((1 + seconds) * S) // STEP):
            if step == S // STEP:
                known[-1] = (Phase.STEADY, str(level), seq * STEP)
                told.append((seq * STEP, Windows(consecutive([*known, (Phase.DRAIN, "drain", None)]))))
            window = 2 * number + (step >= S // STEP)
            for worker in range(WORKERS):
                requests = min(level, 16) if worker == 0 or level > 1 else 0
                told.append(((seq + 1) * STEP, load_delta(worker, seq, window, requests, streams=level // WORKERS)))
            seq += 1
    return told


def load_ending(t: int, by: str = "duration", steady_s: float = 16.0) -> list[tuple[int, Frame]]:
    """The end of such a run."""
    return [*((t, WorkerChange(worker, "done")) for worker in range(WORKERS)), (t, Ended(by, steady_s, 0.5))]
