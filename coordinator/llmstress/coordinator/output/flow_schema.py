"""Flows in the summary (`schema`)."""

import msgspec

from llmstress.coordinator.output.latencies import Latency


class FlowStepRow(msgspec.Struct, frozen=True, kw_only=True):
    """The requests of one step of a flow. Counts cover the whole run, latencies the steady windows."""

    step: str
    started: int
    ok: int
    failed: int
    latency_ms: dict[str, Latency]
    """ttft, tpot and e2e, as far as its answers have them."""


class FlowRow(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the flows of one task in the whole run. `started` is the sum of completed, failed and cut_off."""

    task: str
    started: int
    completed: int
    """They had all their steps."""
    failed: int
    """They ended with a step that failed."""
    cut_off: int
    """They were not over when the run ended, or their stream was not wanted any more."""
    set_up_again: int
    """How often the set-up was done again because a step was answered with 401. The refused requests count as failed
    with their class."""
    flows_per_s: float | None
    """Flows that were completed, per second of the steady windows."""
    started_per_s: float | None
    """Flows that started, per second of the steady windows."""
    duration_ms: Latency
    """Of the flows that were completed in the steady windows, from the moment at which the first request was due to the
    end of the last one, with set-up and waits between steps."""
    steps: list[FlowStepRow]
