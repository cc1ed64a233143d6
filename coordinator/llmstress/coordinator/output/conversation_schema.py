"""Conversations in the summary (`schema`)."""

import msgspec

from llmstress.coordinator.output.latencies import Latency


class TurnRow(msgspec.Struct, frozen=True, kw_only=True):
    """The requests of one turn of all conversations. Counts and means cover the whole run, latencies the steady
    windows."""

    task: str
    """Name of the task; empty without a mix."""
    turn: str
    """`turn 20+`: the 20th and all later ones."""
    started: int
    ok: int
    failed: int
    input_mean: float | None
    """Input tokens of an ok answer as the server counts them: with each turn, the history grows. Null if it reports
    none."""
    output_mean: float | None
    """Output tokens of an ok answer."""
    latency_ms: dict[str, Latency]
    """ttft, tpot and e2e."""


class Conversations(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the conversations of the whole run. `started` is the sum of completed, failed, overflowed and
    cut_off."""

    started: int
    completed: int
    """They had all their turns."""
    failed: int
    """They ended with a turn that failed."""
    overflowed: int
    """They ended because the model's context was full. If the server says so with an error, the request counts as
    failed with its class."""
    cut_off: int
    """They were not over when the run ended, or their stream was not wanted any more."""
    sessions_per_s: float | None
    """Conversations that were completed, per second of the steady windows."""
    started_per_s: float | None
    """Conversations that started, per second of the steady windows."""
    turns: list[TurnRow]
