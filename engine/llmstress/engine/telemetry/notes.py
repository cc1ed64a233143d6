"""The rules that add a note to a verdict and leave its status as it is: one function for each, and the table."""

from collections.abc import Iterator

from llmstress.engine.telemetry import collecting
from llmstress.engine.telemetry.asked import ASKED
from llmstress.engine.telemetry.formatting import share_range
from llmstress.engine.telemetry.goodput import goodput
from llmstress.engine.telemetry.reasons import (
    MAX_DROPPED_SHARE,
    MAX_IN_BLOCKS,
    MIN_IN_BLOCKS,
    MIN_UNDETERMINED_SHARE,
    dropped,
    foreign_blocks,
    partly_undetermined,
)
from llmstress.engine.telemetry.rules import Measured, Rule, Values
from llmstress.engine.telemetry.undetermined import SENTENCE, answers_words, median_of, undetermined_values

MAX_TOKENS_PER_EVENT = 1.2
MAX_SHARED_READS = 0.2
MAX_CACHED_SHARE = 0.05
MAX_HOST_BUSY = 0.95
MAX_HOST_STOLEN = 0.02
MIN_STAYED_OPEN_SHARE = 0.01
STAYED_OPEN = "the body stayed open after the end"
"""The note about bodies begins so."""

_NO_REASON = "none"
"""The finish reason of answers that had none."""


def some_blocks(measured: Measured) -> Iterator[Values]:
    """Answers in blocks, if they are not enough for a reason."""
    found = foreign_blocks(measured)
    if found is not None and found.share <= MAX_IN_BLOCKS:
        yield found.values


def undetermined(measured: Measured) -> Iterator[Values]:
    """Answers whose `tpot` is undetermined, unless that is a reason."""
    if measured.whole.undetermined and not any(partly_undetermined(measured)):
        yield undetermined_values(measured.whole)


def several_tokens(measured: Measured) -> Iterator[Values]:
    """Events that carry several tokens."""
    per_event = measured.whole.counters.tokens_per_event or 0.0
    if per_event > MAX_TOKENS_PER_EVENT:
        yield {"per_event": per_event}


def cached_input(measured: Measured) -> Iterator[Values]:
    """Input tokens that the server took from its cache."""
    counters = measured.whole.counters
    if counters.input and counters.cached_input / counters.input > MAX_CACHED_SHARE:
        yield {
            "share": counters.cached_input / counters.input,
            "cached": counters.cached_input,
            "input": counters.input,
        }


def contradicted(measured: Measured) -> Iterator[Values]:
    """Answers whose usage contradicts itself or their events."""
    counters = measured.whole.counters
    if counters.contradicted:
        yield {
            "answers": answers_words(counters.contradicted, measured.ok),
            "output": counters.contradicted_output,
            "events": counters.contradicted_events,
        }


def tokens_unknown(measured: Measured) -> Iterator[Values]:
    """Answers whose tokens neither usage nor events count."""
    if unknown := measured.whole.counters.tokens_unknown:
        yield {"answers": answers_words(unknown, measured.ok)}


def without_usage(measured: Measured) -> Iterator[Values]:
    """Answers whose tokens were counted in events."""
    counters = measured.whole.counters
    by_events = measured.ok - counters.usage_seen - counters.tokens_unknown - counters.usage_stopped
    if by_events > 0:
        yield {"answers": answers_words(by_events, measured.ok)}


def without_text(measured: Measured) -> Iterator[Values]:
    """Answers whose tokens no event showed."""
    if n := measured.whole.counters.without_text:
        yield {"answers": answers_words(n, measured.ok)}


def without_reason(measured: Measured) -> Iterator[Values]:
    """Answers that ended with the protocol's end event alone."""
    if n := measured.whole.finish.get(_NO_REASON, 0):
        yield {"answers": answers_words(n, measured.ok, share=True)}


def short_answers(measured: Measured) -> Iterator[Values]:
    """Answers with fewer tokens than the request asked for."""
    if n := measured.whole.counters.short:
        median = median_of(measured.whole, "short")
        yield {
            "answers": answers_words(n, measured.ok, share=True),
            "median": f" (median {median:,} tokens)" if median is not None else "",
        }


def stayed_open(measured: Measured) -> Iterator[Values]:
    """Bodies that llmstress closed, because they had no end after that of the answer."""
    counters = measured.whole.counters
    if measured.ok and counters.stayed_open / measured.ok >= MIN_STAYED_OPEN_SHARE:
        answers = answers_words(counters.stayed_open, measured.ok)
        yield {"answers": answers, "seconds": counters.stayed_open_ns / 1e9}


def shared_reads(measured: Measured) -> Iterator[Values]:
    """Events that shared a read, where a rule about blocks does not explain it."""
    counters = measured.whole.counters
    share = counters.events_shared / counters.events if counters.events else 0.0
    if share > MAX_SHARED_READS and foreign_blocks(measured) is None:
        yield {"share": share}


def stream_ignored(measured: Measured) -> Iterator[Values]:
    """Requests for a stream that were answered with one body."""
    if n := measured.whole.counters.stream_ignored:
        yield {"requests": n}


def unknown_events(measured: Measured) -> Iterator[Values]:
    """Events of a shape that the API module does not know."""
    if n := measured.whole.counters.events_unknown:
        yield {"events": n}


def foreign_events(measured: Measured) -> Iterator[Values]:
    """Events that are no messages of the API."""
    if n := measured.whole.counters.events_foreign:
        yield {"events": n}


def unknown_fields(measured: Measured) -> Iterator[Values]:
    """Text in fields that the API module does not know."""
    if measured.fields:
        yield {"fields": ", ".join(measured.fields)}


def slo_unknown(measured: Measured) -> Iterator[Values]:
    """Answers of which it is unknown whether they met the SLOs."""
    found = goodput(measured.steady, measured.steady_s)
    if found.unknown:
        answers = answers_words(found.unknown, measured.steady.ended.get("ok", 0))
        yield {"answers": answers, "range": share_range(found.share, found.share_max)}


def busy_host(measured: Measured) -> Iterator[Values]:
    """The cores of this machine had no time left."""
    counters = measured.steady.counters
    if counters.host_ns and (busy := counters.host_busy_ns / counters.host_ns) > MAX_HOST_BUSY:
        yield {"share": busy}


def stolen_host(measured: Measured) -> Iterator[Values]:
    """A hypervisor gave time of this machine's cores to others."""
    counters = measured.steady.counters
    if counters.host_ns and (stolen := counters.host_stolen_ns / counters.host_ns) > MAX_HOST_STOLEN:
        yield {"share": stolen}


def repeated_connects(measured: Measured) -> Iterator[Values]:
    """Connections whose packets had to be sent again."""
    counters = measured.whole.counters
    if counters.connects_repeated:
        yield {"repeated": counters.connects_repeated, "connections": counters.connections}


def stale_connections(measured: Measured) -> Iterator[Values]:
    """Requests that met a kept connection which the server had closed."""
    if n := measured.whole.counters.stale_retries:
        yield {"requests": n}


def gateway_retries(measured: Measured) -> Iterator[Values]:
    """Answers that a gateway says it had to try again for."""
    if n := measured.whole.counters.tried_again:
        yield {"answers": n}


def retries(measured: Measured) -> Iterator[Values]:
    """Requests that were sent again after a failure."""
    if n := sum(measured.whole.retried.values()):
        yield {"retries": n}


def some_dropped(measured: Measured) -> Iterator[Values]:
    """Requests that arrived and never started, if they are not enough for a reason."""
    counters = measured.whole.counters
    if counters.dropped and not any(dropped(measured)):
        yield {"dropped": counters.dropped, "due": counters.due}


def waited(measured: Measured) -> Iterator[Values]:
    """Requests of the open model that waited for a stream."""
    if measured.waiting_max and measured.whole.counters.due:
        streams = sum(worker.streams for worker in measured.workers)
        yield {"waiting": measured.waiting_max, "streams": streams}


def changed_load(measured: Measured) -> Iterator[Values]:
    """The load was changed by hand."""
    if n := measured.load_changes:
        yield {"times": "once" if n == 1 else f"{n} times"}


NOTES = (
    Rule(
        id="some-blocks",
        status="note",
        looks_at="long answers that came in blocks, where this client was neither busy nor late",
        limit=f"over {MIN_IN_BLOCKS:.0%} of the long answers, at most {MAX_IN_BLOCKS:.0%}",
        sentence=collecting.SENTENCE,
        advice=collecting.ADVICE,
        applies=some_blocks,
    ),
    Rule(
        id="tpot-undetermined",
        status="note",
        looks_at="ok answers whose `tpot` is undetermined",
        limit=f"any, if `tpot-partial` does not apply: no answer has a `tpot`, or fewer than "
        f"{MIN_UNDETERMINED_SHARE:.0%} of the ok answers lack one",
        sentence=SENTENCE,
        of_one_answer=True,
        applies=undetermined,
    ),
    Rule(
        id="slo-unknown",
        status="note",
        looks_at="ok answers of the steady window that missed no SLO for certain, and whose value in one of them is "
        "unknown: `tpot` is undetermined, or the answer had no token event",
        limit="any",
        sentence="it is unknown whether {answers} met the SLOs, because their tpot is undetermined or they were not "
        "streamed: goodput is {range} of the finished requests",
        applies=slo_unknown,
    ),
    Rule(
        id="tokens-per-event",
        status="note",
        looks_at="`tokens.per_event`",
        limit=f"over {MAX_TOKENS_PER_EVENT:g}",
        sentence="usage counts {per_event:.2f} tokens per token event: itl is the gap between events",
        of_one_answer=True,
        applies=several_tokens,
    ),
    Rule(
        id="cached-input",
        status="note",
        looks_at="`tokens.cached_input` ÷ `tokens.input`",
        limit=f"over {MAX_CACHED_SHARE:.0%}",
        sentence="{share:.0%} of the input came from the server's cache ({cached:,} of {input:,} tokens): TTFT is "
        "shorter than with prompts that the server has not seen",
        advice="for prompts that no cache has, use --prompt-tokens, or --salt with --prompts",
        applies=cached_input,
    ),
    Rule(
        id="usage-contradicts",
        status="note",
        looks_at="ok answers whose usage contradicts itself or their token events",
        limit="any",
        sentence="usage contradicts the events of {answers}: it counts {output:,} output tokens, and {events:,} token "
        "events came",
        advice="don't rely on tokens, tpot and per_event",
        of_one_answer=True,
        applies=contradicted,
    ),
    Rule(
        id="tokens-unknown",
        status="note",
        looks_at="ok answers with neither usage nor token events",
        limit="any",
        sentence="tokens unknown for {answers}: the server sent no usage",
        of_one_answer=True,
        applies=tokens_unknown,
    ),
    Rule(
        id="no-usage",
        status="note",
        looks_at="ok answers with token events and without usage",
        limit="any",
        sentence="{answers} came without usage: tokens are counted in events",
        of_one_answer=True,
        applies=without_usage,
    ),
    Rule(
        id="no-text",
        status="note",
        looks_at="ok answers whose usage counts tokens, but no event has one",
        limit="any",
        sentence="{answers} had tokens but no text (a prefill, or a special token): ttft is the time of the finish "
        "event",
        of_one_answer=True,
        applies=without_text,
    ),
    Rule(
        id="no-finish-reason",
        status="note",
        looks_at="ok answers with finish `none`",
        limit="any",
        sentence="{answers} ended with the protocol's end event but without a finish reason; --require-finish counts "
        "them as truncated",
        of_one_answer=True,
        applies=without_reason,
    ),
    Rule(
        id="short-answers",
        status="note",
        looks_at="ok answers with fewer tokens than `--min-tokens` or `--ignore-eos` asked for",
        limit="any",
        sentence="{answers} had fewer tokens than --min-tokens or --ignore-eos asked for{median}: the server does not "
        "support or ignores them",
        of_one_answer=True,
        applies=short_answers,
    ),
    *ASKED,
    Rule(
        id="open-body",
        status="note",
        looks_at="answers whose body stayed open after their end",
        limit=f"{MIN_STAYED_OPEN_SHARE:.0%} of the ok answers or more",
        sentence=f"{STAYED_OPEN} of {{answers}}: streams waited {{seconds:,.1f}} s in all, then llmstress closed the "
        "connections",
        of_one_answer=True,
        applies=stayed_open,
    ),
    Rule(
        id="shared-reads",
        status="note",
        looks_at="token events that shared a read with another one, where no rule about blocks applies",
        limit=f"over {MAX_SHARED_READS:.0%} of the token events",
        sentence="{share:.0%} of the events shared a read with another one: they were sent together or this client "
        "read them late, so single gaps in itl are not meaningful",
        applies=shared_reads,
    ),
    Rule(
        id="stream-ignored",
        status="note",
        looks_at="requests for a stream that were answered with one JSON body",
        limit="any",
        sentence="{requests:,} requests asked for a stream but got a single JSON body: they have no ttft",
        applies=stream_ignored,
    ),
    Rule(
        id="unknown-events",
        status="note",
        looks_at="events that are JSON of a shape that the API module does not know",
        limit="any",
        sentence="{events:,} events were JSON of an unknown shape and were ignored",
        applies=unknown_events,
    ),
    Rule(
        id="foreign-events",
        status="note",
        looks_at="events that are no messages of the API, such as pings",
        limit="any",
        sentence="{events:,} events were not messages of the API (e.g. pings) and were ignored",
        applies=foreign_events,
    ),
    Rule(
        id="unknown-fields",
        status="note",
        looks_at="text in fields that the API module does not know",
        limit="any",
        sentence="text in unknown fields ({fields}) was counted as reasoning",
        of_one_answer=True,
        applies=unknown_fields,
    ),
    Rule(
        id="busy-host",
        status="note",
        looks_at="time in which the cores of this machine ran anything, in the steady window",
        limit=f"over {MAX_HOST_BUSY:.0%}",
        sentence="the cores of this machine were {share:.0%} busy: if the target runs on it too, llmstress may have "
        "slowed it down",
        applies=busy_host,
    ),
    Rule(
        id="stolen-host",
        status="note",
        looks_at="time of the cores that a hypervisor gave to other machines, in the steady window",
        limit=f"over {MAX_HOST_STOLEN:.0%}",
        sentence="{share:.0%} of this machine's CPU time went to other machines on its host: time stamps may be late "
        "for that reason",
        applies=stolen_host,
    ),
    Rule(
        id="repeated-connects",
        status="note",
        looks_at="connections whose packets had to be sent again before they stood",
        limit="any",
        sentence="{repeated:,} of {connections:,} connections lost packets while they opened, which costs a second "
        "each; often the target's listen queue is full",
        advice="use a longer --ramp-up",
        applies=repeated_connects,
    ),
    Rule(
        id="stale-connections",
        status="note",
        looks_at="requests that were sent again, because the server had closed the kept connection",
        limit="any",
        sentence="{requests:,} requests were sent again on a new connection because the server had closed the idle one",
        applies=stale_connections,
    ),
    Rule(
        id="gateway-retries",
        status="note",
        looks_at="answers whose headers say that a gateway had tried before",
        limit="any",
        sentence="{answers:,} answers were not a gateway's first attempt, according to their headers "
        "(x-litellm-attempted-retries, -fallbacks): their latencies include the failed attempts",
        applies=gateway_retries,
    ),
    Rule(
        id="retries",
        status="note",
        looks_at="requests that were sent again after a failure",
        limit="any",
        sentence="{retries:,} retries after failures (--retries): ttft and e2e measure the last attempt, ttft_due and "
        "e2e_due include all attempts and the waits between them",
        applies=retries,
    ),
    Rule(
        id="some-dropped",
        status="note",
        looks_at="requests that arrived (open model) and never started",
        limit=f"up to {MAX_DROPPED_SHARE:.1%} of those that arrived",
        sentence="{dropped:,} of {due:,} requests that were due never started",
        applies=some_dropped,
    ),
    Rule(
        id="waited",
        status="note",
        looks_at="requests that waited for a stream (open model)",
        limit="any",
        sentence="up to {waiting:,} requests waited because all {streams:,} streams were in use: queue, ttft_due and "
        "e2e_due include the wait, ttft and e2e do not",
        applies=waited,
    ),
    Rule(
        id="changed-load",
        status="note",
        looks_at="changes of the load by hand",
        limit="any",
        sentence="the load was changed manually {times} during the run: figures may mix values from before and after",
        applies=changed_load,
    ),
)
"""In the order in which they are printed."""
