"""The messages that carry measurements from a worker to whoever aggregates them.

Everything in here merges by addition: a message that could not be sent is added to the next one and nothing is
lost. Times are nanoseconds of `time.monotonic_ns()` relative to T0, the start of the run; values inside
histograms are microseconds.
"""

import contextlib
import enum

import msgspec

from llmstress.engine.telemetry.histogram import Histogram

PROTOCOL_VERSION = 4
"""Raised with every change to a message that an older peer would misread."""


class Phase(enum.IntEnum):
    """Where in the run a sample belongs: decided by the stamp that completes it."""

    RAMP = 0
    WARMUP = 1
    STEADY = 2
    DRAIN = 3


class Counters(msgspec.Struct, array_like=True):
    """Plain sums."""

    started: int = 0
    events: int = 0
    """Token-bearing events."""
    events_ok: int = 0
    """Token-bearing events of the requests that ended ok in a stream."""
    events_shared: int = 0
    """Token-bearing events that shared their read with another one: their gaps are 0 or too large."""
    events_unknown: int = 0
    """Valid JSON of a shape the API module doesn't know."""
    output: int = 0
    """Output tokens of ok requests, as the server's usage says, else their token-bearing events."""
    output_streamed: int = 0
    """The part of `output` that came as a stream."""
    output_failed: int = 0
    output_cancelled: int = 0
    inputs: int = 0
    """Inputs dealt with by ok answers, where requests have several (embeddings)."""
    input: int = 0
    cached_input: int = 0
    reasoning: int = 0
    usage_seen: int = 0
    """Ok requests whose tokens came from the server's usage; the other ok ones were counted in events."""
    connections: int = 0
    connects_repeated: int = 0
    """Connections for which packets had to be sent again before they stood; a lost first one costs a second."""
    stale_retries: int = 0
    """Requests sent again because a kept connection had died before a byte of the answer was read."""
    stream_ignored: int = 0
    """Requests that asked for a stream and were answered with one JSON body."""
    cpu_ns: int = 0
    """CPU time of the worker process."""
    host_ns: int = 0
    """Time of all cores that this program may use, as one worker saw it pass."""
    host_busy_ns: int = 0
    """The part of it in which they ran anything."""
    host_stolen_ns: int = 0
    """The part of it that the hypervisor gave to other machines."""
    long_answers: int = 0
    """Ok streamed answers of one choice with at least `blocks.LONG_ANSWER` token events."""
    in_blocks: int = 0
    """The part of them whose events somebody had collected (`blocks.in_blocks`)."""
    in_one_block: int = 0
    """The part of these that came in one piece."""
    blocks: int = 0
    """Blocks that `in_blocks` came in."""
    blocks_events: int = 0
    """Token events in these."""
    blocks_late_ns: int = 0
    """How late the first tokens of those `blocks_dated` were (`blocks.late_ns`), summed up."""
    tried_again: int = 0
    """Answers of which a gateway says that they are of a later attempt than its first."""
    blocks_gaps_ns: int = 0
    """Time from the first block to the last one of the answers `in_blocks`, summed up."""
    blocks_dated: int = 0
    """Answers of several blocks of which can be said how late their first token was. It can't be later than the time
    since the request was sent; what would be later was not made as fast as the other blocks."""
    tokens_unknown: int = 0
    """Ok requests whose tokens nobody counted: neither usage nor token events."""
    without_text: int = 0
    """Ok streamed answers whose tokens no event bore: prefill runs, or a token without text."""
    contradicted: int = 0
    """Ok answers whose usage contradicts itself or their token events."""
    contradicted_output: int = 0
    """Output tokens of those, as usage has them."""
    contradicted_events: int = 0
    """Token events of those."""
    usage_stopped: int = 0
    """The part of them whose usage stopped before their token events did: their tokens are counted by both."""
    stayed_open: int = 0
    """Answers whose body stayed open after their end, until this client closed it."""
    stayed_open_ns: int = 0
    """How long their streams waited for the end of the body, summed up."""
    short: int = 0
    """Ok answers with fewer tokens than were asked for (`--min-tokens`, `--ignore-eos`)."""
    events_foreign: int = 0
    """Events that are no message of the API at all: pings, and data that is no JSON object."""

    @property
    def tokens_per_event(self) -> float | None:
        """What a token-bearing event of an ok streamed answer carries; None until there is one."""
        return self.output_streamed / self.events_ok if self.events_ok else None

    def add(self, other: "Counters") -> None:
        """Add every field of `other`."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


MAX_REASONS = 30
"""Different finish reasons that are told apart: they are a server's words, and stay for the whole run."""


def add_counts(mine: dict[str, int], theirs: dict[str, int]) -> None:
    """Add `theirs` to `mine`, name by name."""
    for key, n in theirs.items():
        mine[key] = mine.get(key, 0) + n


def merge_histograms(mine: dict[str, Histogram], theirs: dict[str, Histogram]) -> None:
    """Add `theirs` to `mine`, name by name; `theirs` stays as it is."""
    for name, histogram in theirs.items():
        if name in mine:
            mine[name].merge(histogram)
        else:
            mine[name] = histogram.copy()


class Part(msgspec.Struct, array_like=True):
    """What happened in one phase. `latency` holds the samples of requests that did not fail, in-flight included."""

    counters: Counters = msgspec.field(default_factory=Counters)
    ended: dict[str, int] = msgspec.field(default_factory=dict)
    """Class of a request's end -> how many."""
    finish: dict[str, int] = msgspec.field(default_factory=dict)
    """Finish reason, in the API's own words -> how many."""
    latency: dict[str, Histogram] = msgspec.field(default_factory=dict)
    latency_failed: dict[str, Histogram] = msgspec.field(default_factory=dict)
    retracted: dict[str, Histogram] = msgspec.field(default_factory=dict)
    """Samples reported earlier in `latency` whose request has failed since; they are in `latency_failed` now."""
    retried: dict[str, int] = msgspec.field(default_factory=dict)
    """Class of a failure after which a request was sent again -> how many."""
    undetermined: dict[str, int] = msgspec.field(default_factory=dict)
    """Why the `tpot` of an answer can't be said (`pace`) -> how many."""
    aside: dict[str, Histogram] = msgspec.field(default_factory=dict)
    """What stands beside the latencies: `tpot_by_usage` and `tpot_by_events`, the bounds (µs) of what is undetermined;
    `short`, the tokens of answers that were shorter than asked."""

    def add_undetermined(self, why: str, by_usage: int, by_events: int) -> None:
        """Count an answer whose `tpot` lies between these bounds (µs); 0: there are none."""
        self.undetermined[why] = self.undetermined.get(why, 0) + 1
        for name, bound in (("tpot_by_usage", by_usage), ("tpot_by_events", by_events)):
            if bound:
                self.aside.setdefault(name, Histogram()).record(bound)

    def add(self, other: "Part") -> None:
        """Add everything of `other`."""
        self.counters.add(other.counters)
        add_counts(self.ended, other.ended)
        add_counts(self.finish, other.finish)
        add_counts(self.retried, other.retried)
        add_counts(self.undetermined, other.undetermined)
        merge_histograms(self.aside, other.aside)
        merge_histograms(self.latency, other.latency)
        merge_histograms(self.latency_failed, other.latency_failed)
        merge_histograms(self.retracted, other.retracted)

    def bound(self) -> None:
        """Keep a server's different finish reasons few: those beyond `MAX_REASONS` become "other"."""
        for reason in list(self.finish)[MAX_REASONS:]:
            if reason != "other":
                add_counts(self.finish, {"other": self.finish.pop(reason)})

    def settle(self) -> None:
        """Take the retracted samples out of `latency`; only for a sum that holds all they were recorded in."""
        for name, histogram in self.retracted.items():
            # not there: the delta that held them was lost, which is counted where deltas are
            with contextlib.suppress(KeyError, ValueError):
                self.latency[name].subtract(histogram)
        self.retracted.clear()


MAX_SAMPLES_PER_CLASS = 3
"""Distinct examples of a class of failure that are kept, in a worker and over all of them."""


class ErrorSample(msgspec.Struct, array_like=True, frozen=True):
    """One example of a failed attempt: its class, the final status (0: none came), a text, the server's id for it."""

    error: str
    status: int
    text: str
    request_id: str
    headers: str = ""
    """Those that throttle or advise, `name: value; name: value`."""


class RateLimit(msgspec.Struct, array_like=True, frozen=True):
    """What a server says of one of its rate limits."""

    limit: int | None
    """None: it doesn't say."""
    remaining: int
    """At the last word of it."""
    lowest: int
    """The least that ever remained."""
    t: int
    """When the last word came (ns after T0)."""

    def updated(self, other: "RateLimit") -> "RateLimit":
        """Both together, whichever is the later one."""
        later = other if other.t >= self.t else self
        return RateLimit(later.limit, later.remaining, min(self.lowest, other.lowest), later.t)


def merge_rate_limits(mine: dict[str, RateLimit], theirs: dict[str, RateLimit]) -> None:
    """Add `theirs` to `mine`, kind by kind."""
    for kind, limit in theirs.items():
        mine[kind] = mine[kind].updated(limit) if kind in mine else limit


MAX_SIGNS = 5
"""Distinct signs of a gateway that are kept, in a worker and over all of them."""

MAX_SIGN = 100
"""Characters of one."""

MAX_FIELDS = 20
"""Distinct names of unknown text fields that are kept, in a worker and over all of them."""


class Delta(msgspec.Struct, array_like=True, tag=True):
    """What one worker measured between two cuts."""

    worker: int
    seq: int
    """Counts this worker's deltas from 0: a gap means one was lost."""
    t_from: int
    t_to: int
    phase: Phase
    open: int
    """Requests in flight at the cut."""
    open_max: int
    """Most requests in flight at any moment since the last cut."""
    merged: int
    """How many earlier cuts could not be sent and are contained in this one."""
    rss: int
    """Resident memory of the worker, bytes."""
    parts: dict[int, Part]
    """Phase -> what happened in it."""
    samples: list[ErrorSample]
    signs: list[str] = []
    """Headers of answers by which a gateway can be told, without secrets: all that this worker has seen in the run."""
    rate_limits: dict[str, RateLimit] = msgspec.field(default_factory=dict)
    """Kind (requests, tokens, ...) -> what the server said of it since the last cut."""
    grave: dict[str, ErrorSample] = msgspec.field(default_factory=dict)
    """What it means for the run (`end`, `end-first`) -> the first failure that means it; each is sent once."""
    fields: list[str] = []
    """Names of fields that the API module doesn't know and whose text was counted as reasoning: all that this worker
    has seen in the run."""
