"""The bystander's part of the summary, and its line on the console. Pure functions."""

import msgspec

from llmstress.coordinator.output.latencies import Latency, describe
from llmstress.coordinator.output.schema import Bystander, ErrorClass, Sample
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.classes import NOT_ERRORS, NOT_FAILED
from llmstress.engine.telemetry.error_samples import BYSTANDER_NAME
from llmstress.engine.telemetry.formatting import count, latency
from llmstress.engine.telemetry.messages import Phase
from llmstress.engine.telemetry.metrics import BESIDE, BESIDE_LINE, METRICS


def bystander_of(aggregate: Aggregate, asked_per_s: float | None) -> Bystander | msgspec.UnsetType:
    """What the bystander has measured; unset if there is none (`asked_per_s` is None)."""
    if asked_per_s is None:
        return msgspec.UNSET
    whole, steady = aggregate.bystander(), aggregate.bystander(Phase.STEADY)
    ended = whole.ended
    return Bystander(
        asked_per_s=asked_per_s,
        due=whole.counters.due,
        started=whole.counters.started,
        dropped=whole.counters.dropped,
        ok=ended.get("ok", 0),
        failed=sum(n for outcome, n in ended.items() if outcome not in NOT_FAILED),
        filtered=ended.get("filtered", 0),
        cancelled=ended.get("cancelled", 0),
        lost=whole.counters.started - sum(ended.values()),
        latency_ms={name: describe(steady.latency.get(name)) for name in BESIDE},
        errors={
            outcome: ErrorClass(n, _samples(aggregate, outcome))
            for outcome, n in sorted(ended.items())
            if n and outcome not in NOT_ERRORS
        },
    )


def line_of(bystander: Bystander) -> str:
    """The line on the console."""
    others = ("failed", "filtered", "cancelled", "lost", "dropped")
    ends = [f"{count(bystander.ok)} ok", *(f"{count(n)} {name}" for name in others if (n := getattr(bystander, name)))]
    found = [(METRICS[name].label, bystander.latency_ms[name]) for name in BESIDE_LINE]
    latencies = (f"{label} {_percentiles(each)}" for label, each in found if each.count)
    return f"bystander {', '.join(ends)}   {'   '.join(latencies)}"


def _percentiles(found: Latency) -> str:
    shown = []
    for name, ms in (("p50", found.p50), ("p99", found.p99)):
        thin = "~" if name in found.low_sample and ms is not None else ""
        shown.append(f"{name} {thin}{latency(None if ms is None else ms * 1000)}")
    return " ".join(shown)


def _samples(aggregate: Aggregate, outcome: str) -> list[Sample]:
    kept = aggregate.samples.get(f"{BYSTANDER_NAME} {outcome}", [])
    return [Sample(each.status, each.text, each.request_id, each.headers) for each in kept]
