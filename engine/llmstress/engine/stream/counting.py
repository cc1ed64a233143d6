"""Counts a request that has ended: its tokens, by class, and what was unusual about its answer."""

from typing import Protocol

from llmstress.engine.api.meaning import Usage
from llmstress.engine.outcome import ABANDONED, End
from llmstress.engine.stream.usage_reports import FEWER
from llmstress.engine.telemetry.blocks import LONG_ANSWER, in_blocks, late_ns
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import Counters, Part

MAX_REASON = 40
"""Characters of a finish reason. Servers choose them, and they are kept for the whole run, so their length is
bounded."""


class Answered(Protocol):
    """What counting needs of a request that has ended. Stamps are monotonic nanoseconds."""

    sent: int
    first_token: int
    last_token: int
    first_block: int
    joined: int
    inputs: int

    @property
    def event_count(self) -> int:
        """Token events."""

    @property
    def single_choice(self) -> bool:
        """All of them are of choice 0."""

    @property
    def finish(self) -> str:
        """The finish reason."""

    @property
    def usage(self) -> Usage | None:
        """What the server reported."""

    @property
    def output(self) -> tuple[int, bool]:
        """Output tokens, and whether the server's usage says so."""

    @property
    def unseen_at(self) -> int:
        """Not 0: the answer had tokens, but no event that carried one."""


def count_end(
    request: Answered,
    end: End,
    part: Part,
    least_output: int,
    asked_input: int = 0,
    asked_output: int = 0,
    made_words: int = 0,
) -> None:
    """Count a request that ended with `end` in the part that its end belongs to.

    least_output: tokens that the answer was asked to have, at least; 0: no minimum. asked_input, asked_output: tokens
    that prompt and answer should have; 0: no such number. made_words: see `Request`.
    """
    counters, events = part.counters, request.event_count
    if end.outcome != "ok":
        if end.outcome == "cancelled":
            counters.output_cancelled += events
            counters.abandoned += end is ABANDONED
        else:
            counters.output_failed += events
        _count_unfinished(request, counters, events)
        return
    output, by_usage = request.output
    usage = request.usage
    reason = request.finish[:MAX_REASON]
    part.finish[reason] = part.finish.get(reason, 0) + 1
    part.bound()
    counters.output += output
    if events:
        counters.events_ok += events
        counters.output_streamed += output
        if events >= LONG_ANSWER and request.single_choice:
            _count_blocks(request, counters, events)
    else:
        counters.inputs += request.inputs
        counters.tokens_unknown += not by_usage
        counters.without_text += request.unseen_at > 0
    if asked_output and (by_usage or events):
        counters.asked_output += asked_output
        counters.delivered_output += output
    if by_usage:
        counters.usage_seen += 1
        if output < least_output:
            counters.short += 1
            part.aside.setdefault("short", Histogram()).record(output)
    if usage is None:
        return
    reasoning = usage.reasoning or 0
    counters.input += usage.input or 0
    if asked_input and usage.input:
        counters.asked_input += asked_input
        counters.delivered_input += usage.input
        counters.made_words += made_words
    counters.input_seen += usage.input is not None
    counters.cached_input += usage.cached_input or 0
    counters.cache_written += usage.cache_written or 0
    counters.reasoning += reasoning
    if usage.output and (not by_usage or output < FEWER * events or reasoning > output):
        counters.contradicted += 1
        counters.usage_stopped += not by_usage
        counters.contradicted_output += output if by_usage else usage.output
        counters.contradicted_events += events


def _count_unfinished(request: Answered, counters: Counters, events: int) -> None:
    """Count what had come of an answer that did not end ok: its provider may bill it."""
    usage = request.usage
    if not events and usage is None:
        return
    counters.unfinished_begun += 1
    counters.unfinished_output += request.output[0]
    if usage is not None and usage.input is not None:
        counters.unfinished_seen += 1
        counters.unfinished_input += usage.input
        counters.unfinished_cached += usage.cached_input or 0


def _count_blocks(request: Answered, counters: Counters, events: int) -> None:
    counters.long_answers += 1
    blocks, lasted = events - request.joined, request.last_token - request.first_token
    if not in_blocks(events, blocks, lasted):
        return
    counters.in_blocks += 1
    counters.in_one_block += blocks == 1
    counters.blocks += blocks
    counters.blocks_events += events
    counters.blocks_gaps_ns += lasted
    late = late_ns(events, request.first_block, lasted)
    if late <= request.first_token - request.sent:
        counters.blocks_late_ns += late
        counters.blocks_dated += blocks > 1
