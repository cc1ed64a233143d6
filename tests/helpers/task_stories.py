"""A recorded run of a mix: three tasks, of which one is not streamed, and failures of one."""

from helpers.screens import STEP, S, histogram, opening

from llmstress.engine.telemetry.broadcast import Frame, RunView, TaskFacts
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import Counters, Delta, Part, Phase, key_of
from llmstress.engine.telemetry.slo import Objectives, Slo

SLO = Slo("ttft", 300_000, True, "ttft<300ms")
URL = "http://127.0.0.1:8000/v1/"

TASKS = (
    TaskFacts(
        name="chat",
        weight=6,
        api="openai-chat",
        url=f"{URL}chat/completions",
        model="mock-7b",
        slos=(SLO.text,),
    ),
    TaskFacts(name="summaries", weight=3, api="openai-completions", url=f"{URL}completions", model="mock-7b"),
    TaskFacts(name="embeddings", weight=1, api="openai-embeddings", url=f"{URL}embeddings", model="mock-e"),
)


def mixed_view(tasks: tuple[TaskFacts, ...] = TASKS) -> RunView:
    """The run as it begins, with the windows of `screens.opening`: steady from 2 s to 10 s."""
    return opening(tasks=tasks, objectives=Objectives((SLO,)))


def mixed(seconds: float = 11.0) -> list[tuple[int, Frame]]:
    """What happens in it: 24, 12 and 4 requests per second and worker."""
    return [
        ((seq + 1) * STEP, mixed_delta(worker, seq, (6, 3, 1)))
        for seq in range(int(seconds * S) // STEP)
        for worker in range(2)
    ]


def mixed_delta(worker: int, seq: int, requests: tuple[int, ...]) -> Delta:
    """A quarter of a second in which so many requests of each task end. The last task is not streamed; one request of
    the second task fails every two seconds."""
    t = (seq + 1) * STEP
    phase = Phase.RAMP if t <= S else Phase.WARMUP if t <= 2 * S else Phase.STEADY if t <= 10 * S else Phase.DRAIN
    parts = {}
    for task, n in enumerate(requests):
        streamed = task < len(requests) - 1
        part = streamed_part(n, 150_000 * (task + 1), judged=task == 0) if streamed else whole_part(n)
        if task == 1 and worker == 1 and seq % 8 == 7:
            part.ended["http_503"] = 1
            part.counters.started += 1
        parts[key_of(phase, task)] = part
    return Delta(worker, seq, seq * STEP, t, phase, 20, 20, 0, 60_000_000, parts, [])


def streamed_part(requests: int, ttft: int, *, judged: bool) -> Part:
    """So many answers of 20 tokens; a quarter of the input comes from the cache. The last of six answers is slow.

    `judged`: by `SLO`; else every answer is good.
    """
    tokens = 20 * requests
    ttfts = [2 * ttft + 1_000 if n % 6 == 5 else ttft + 4_000 * n for n in range(requests)]
    late = sum(judged and each >= SLO.limit_us for each in ttfts)
    return Part(
        counters=Counters(
            started=requests,
            events=tokens,
            events_ok=tokens,
            output=tokens,
            output_streamed=tokens,
            input=40 * requests,
            cached_input=10 * requests,
            usage_seen=requests,
            slo_met=requests - late,
        ),
        ended={"ok": requests},
        latency={
            "ttft": histogram(*ttfts),
            "itl": histogram(*(20_000 for _ in range(19 * requests))),
            "tpot": histogram(*(20_000 + 50 * n for n in range(requests))),
            "e2e": histogram(*(each + 380_000 for each in ttfts)),
        },
        missed={SLO.text: late} if late else {},
    )


def whole_part(requests: int) -> Part:
    """So many answers that are not streamed and have no tokens."""
    latency = {"e2e": histogram(*(80_000 + 1_000 * n for n in range(requests)))} if requests else dict[str, Histogram]()
    return Part(
        Counters(started=requests, input=8 * requests, inputs=requests, slo_met=requests),
        {"ok": requests} if requests else {},
        latency=latency,
    )
