"""Things to know about a run that take nothing from its figures: odd answers, connections, the machine."""

import msgspec

from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.messages import Counters, Part

MAX_TOKENS_PER_EVENT = 1.2
MAX_SHARED_READS = 0.2
MAX_HOST_BUSY = 0.95
MAX_HOST_STOLEN = 0.02
MIN_STAYED_OPEN_SHARE = 0.01
STAYED_OPEN = "the body stayed open after the end"

_NO_REASON = "none"
"""The finish reason of answers that had none."""


def notes_of(aggregate: Aggregate, blocks: str, *, collected: bool, tpot_missing: bool) -> list[str]:
    """All that is to be noted.

    blocks: what is to be said of answers that came in blocks; empty: nothing. collected: somebody collects events.
    tpot_missing: answers without a `tpot` are a reason of the verdict already.
    """
    whole = whole_run(aggregate)
    counters = whole.counters
    notes = [
        *([blocks] if blocks else []),
        *([] if tpot_missing else _undetermined(whole)),
        *_tokens_and_ends(whole),
        *_events(counters, collected=collected),
        *notes_of_fields(aggregate.fields),
        *_host(aggregate.steady.counters),
        *_connections(counters),
    ]
    if retries := sum(whole.retried.values()):
        notes.append(
            f"{retries:,} retries after failures (--retries): ttft and e2e measure the last attempt, ttft_due and "
            "e2e_due include all attempts and the waits between them"
        )
    changes = sum(notice.kind == "load" for notice in aggregate.notices)
    if changes:
        times = "once" if changes == 1 else f"{changes} times"
        notes.append(
            f"the load was changed manually {times} during the run: figures may mix values from before and after"
        )
    return notes


def whole_run(aggregate: Aggregate) -> Part:
    """All windows and tasks together, without their latencies."""
    whole = Part()
    for part in aggregate.parts.values():
        whole.add(msgspec.structs.replace(part, latency={}, latency_failed={}, retracted={}))
    return whole


def notes_of_answers(part: Part) -> list[str]:
    """What was odd about the good answers: their tokens, their pace, their ends."""
    return [*_undetermined(part), *_tokens_and_ends(part)]


def said_of_undetermined(part: Part) -> str:
    """How many answers have no `tpot`, why, and between which bounds it lies; at least one has none."""
    count, ok = sum(part.undetermined.values()), part.ended.get("ok", 0)
    why = ", ".join(f"{reason} {n:,}" for reason, n in sorted(part.undetermined.items(), key=lambda pair: -pair[1]))
    by_usage, by_events = (median_of(part, name) for name in BOUNDS)
    bounds = ""
    if by_usage is not None and by_events is not None:
        bounds = f": {by_usage / 1000:.3g} ms by usage, {by_events / 1000:.3g} ms by events"
    if ok == 1:
        why = next(iter(part.undetermined))
    return f"the tpot of {_some(count, ok)} can't be determined ({why}){bounds}"


def median_of(part: Part, name: str) -> int | None:
    """The median of what stands beside the latencies under this name, be it a single value; None: nothing does."""
    found = part.aside.get(name)
    if found is None or found.count < 2:
        return found.max if found is not None else None
    return found.percentiles((5_000,))[0]


BOUNDS = ("tpot_by_usage", "tpot_by_events")
"""Names of the bounds in `Part.aside`."""


def _undetermined(part: Part) -> list[str]:
    return [said_of_undetermined(part)] if part.undetermined else []


def _tokens_and_ends(part: Part) -> list[str]:
    ok = part.ended.get("ok", 0)
    return [*_tokens(part.counters, ok), *_endings(part, ok)]


def _some(n: int, ok: int, *, share: bool = False) -> str:
    """So many of the good answers; a single one is what a probe has."""
    if ok == 1:
        return "the answer"
    return f"{n:,} of {ok:,} answers" + (f" ({n / ok:.0%})" if share else "")


def _tokens(counters: Counters, ok: int) -> list[str]:
    notes = []
    if (per_event := counters.tokens_per_event or 0.0) > MAX_TOKENS_PER_EVENT:
        notes.append(f"usage counts {per_event:.2f} tokens per token event: itl is the gap between events")
    if counters.contradicted:
        notes.append(
            f"usage contradicts the events of {_some(counters.contradicted, ok)}: it counts "
            f"{counters.contradicted_output:,} output tokens, and {counters.contradicted_events:,} token events came: "
            "don't rely on tokens, tpot and per_event"
        )
    if counters.tokens_unknown:
        notes.append(f"tokens unknown for {_some(counters.tokens_unknown, ok)}: the server sent no usage")
    by_events = ok - counters.usage_seen - counters.tokens_unknown - counters.usage_stopped
    if by_events > 0:
        notes.append(f"{_some(by_events, ok)} came without usage: tokens are counted in events")
    if counters.without_text:
        notes.append(
            f"{_some(counters.without_text, ok)} had tokens but no text (a prefill, or a special token): ttft is the "
            "time of the finish event"
        )
    return notes


def _endings(part: Part, ok: int) -> list[str]:
    notes, counters = [], part.counters
    if no_reason := part.finish.get(_NO_REASON, 0):
        notes.append(
            f"{_some(no_reason, ok, share=True)} ended with the protocol's end event but without a finish reason; "
            "--require-finish counts them as truncated"
        )
    if counters.short:
        lengths = median_of(part, "short")
        median = f" (median {lengths:,} tokens)" if lengths is not None else ""
        notes.append(
            f"{_some(counters.short, ok, share=True)} had fewer tokens than --min-tokens or --ignore-eos asked "
            f"for{median}: the server does not support or ignores them"
        )
    if ok and counters.stayed_open / ok >= MIN_STAYED_OPEN_SHARE:
        notes.append(
            f"{STAYED_OPEN} of {_some(counters.stayed_open, ok)}: streams waited "
            f"{counters.stayed_open_ns / 1e9:,.1f} s in all, then llmstress closed the connections"
        )
    return notes


def _events(counters: Counters, *, collected: bool) -> list[str]:
    notes = []
    shared = counters.events_shared / counters.events if counters.events else 0.0
    if not collected and shared > MAX_SHARED_READS:
        notes.append(
            f"{shared:.0%} of the events shared a read with another one: they were sent together or this client read "
            "them late, so single gaps in itl are not meaningful"
        )
    if counters.stream_ignored:
        notes.append(
            f"{counters.stream_ignored:,} requests asked for a stream but got a single JSON body: they have no ttft"
        )
    if counters.events_unknown:
        notes.append(f"{counters.events_unknown:,} events were JSON of an unknown shape and were ignored")
    if counters.events_foreign:
        notes.append(f"{counters.events_foreign:,} events were not messages of the API (e.g. pings) and were ignored")
    return notes


def notes_of_fields(fields: list[str]) -> list[str]:
    """What is to be said of text in fields that the API module doesn't know."""
    return [f"text in unknown fields ({', '.join(fields)}) was counted as reasoning"] if fields else []


def _host(counters: Counters) -> list[str]:
    if not counters.host_ns:
        return []
    notes = []
    busy, stolen = counters.host_busy_ns / counters.host_ns, counters.host_stolen_ns / counters.host_ns
    if busy > MAX_HOST_BUSY:
        notes.append(
            f"the cores of this machine were {busy:.0%} busy: if the target runs on it too, llmstress may have slowed "
            "it down"
        )
    if stolen > MAX_HOST_STOLEN:
        notes.append(
            f"{stolen:.0%} of this machine's CPU time went to other machines on its host: it may be late for that "
            "reason"
        )
    return notes


def _connections(counters: Counters) -> list[str]:
    notes = []
    if counters.connects_repeated:
        notes.append(
            f"{counters.connects_repeated:,} of {counters.connections:,} connections lost packets while they opened, "
            "which costs a second each; often the target's listen queue is full: use a longer --ramp-up"
        )
    if counters.stale_retries:
        notes.append(
            f"{counters.stale_retries:,} requests were sent again on a new connection because the server had closed "
            "the idle one"
        )
    if counters.tried_again:
        notes.append(
            f"{counters.tried_again:,} answers were not a gateway's first attempt, according to their headers "
            "(x-litellm-attempted-retries, -fallbacks): their latencies include the failed attempts"
        )
    return notes
