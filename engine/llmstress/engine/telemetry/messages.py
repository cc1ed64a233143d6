"""The messages that carry measurements from the workers to the coordinator, and on to viewers and records.

All measurements merge by addition: a message that could not be sent is added to the next one, so nothing is lost. Times
are nanoseconds of `time.monotonic_ns()` relative to T0, the start of the run; values in histograms are microseconds.
"""

import contextlib
import enum
from collections.abc import Sequence

import msgspec

from llmstress.engine.telemetry.histogram import Histogram

PROTOCOL_VERSION = 6
"""Raised with every change to a message that an older peer would misread."""


class Phase(enum.IntEnum):
    """Kinds of windows."""

    RAMP = 0
    WARMUP = 1
    STEADY = 2
    """Its samples make the figures of the summary."""
    DRAIN = 3


class Window(msgspec.Struct, array_like=True, frozen=True):
    """A stretch of a run with statistics of its own. A sample belongs to the window in which the stamp lies that
    completes it."""

    index: int
    """Position in the run, from 0. Windows follow one another without gaps."""
    kind: Phase
    label: str
    """Name in charts and tables."""
    begin: int | None
    """ns after T0; None: decided while the run goes on."""
    end: int | None
    """Begin of the next window, in ns after T0. None: decided while the run goes on; the last window, the drain, ends
    with the run."""


def consecutive(begins: Sequence[tuple[Phase, str, int | None]]) -> tuple[Window, ...]:
    """Windows that follow one another, from kind, label and begin (ns after T0; None: not decided yet) of each."""
    ends = [*(begin for _, _, begin in begins[1:]), None]
    return tuple(
        Window(index, kind, label, begin, end)
        for index, ((kind, label, begin), end) in enumerate(zip(begins, ends, strict=True))
    )


LABELS = {Phase.RAMP: "ramp", Phase.WARMUP: "warm-up", Phase.STEADY: "steady", Phase.DRAIN: "drain"}
"""Label of a window that is the only one of its kind."""

_TASK_SHIFT = 16

MAX_WINDOWS = 1 << _TASK_SHIFT


def key_of(window: int, task: int = 0) -> int:
    """The key of a `Part`: window index and task number in one integer.

    The task is in the high bits, so the key of task 0 is the index of the window: one byte of msgpack in a run of one
    task and up to 128 windows, against 5 with the window in the high bits. A tuple as key takes 3 bytes, and its
    decoding allocates an object for each key.
    """
    return task << _TASK_SHIFT | window


BYSTANDER = (1 << 15) - 1
"""The task whose requests are sent beside the load (`--bystander`). They are in no figure of the load."""


def without_bystander(parts: "dict[int, Part]") -> "tuple[dict[int, Part], dict[int, Part]]":
    """The parts of the load, and those of the bystander."""
    if all(task_of(key) != BYSTANDER for key in parts):
        return parts, {}
    apart = {key: part for key, part in parts.items() if task_of(key) == BYSTANDER}
    return {key: part for key, part in parts.items() if key not in apart}, apart


def window_of(key: int) -> int:
    """Index of the window of a part's key."""
    return key & (MAX_WINDOWS - 1)


def task_of(key: int) -> int:
    """Number of the task of a part's key."""
    return key >> _TASK_SHIFT


class Counters(msgspec.Struct, array_like=True):
    """Plain sums."""

    started: int = 0
    events: int = 0
    """Token-bearing events."""
    events_ok: int = 0
    """Token-bearing events of the requests that ended ok in a stream."""
    events_shared: int = 0
    """Token-bearing events that came in the same read as another one: their gaps are 0 or too large."""
    events_unknown: int = 0
    """Valid JSON of a shape the API module doesn't know."""
    output: int = 0
    """Output tokens of ok requests: from the server's usage, else their number of token-bearing events."""
    output_streamed: int = 0
    """The part of `output` that was streamed."""
    output_failed: int = 0
    output_cancelled: int = 0
    inputs: int = 0
    """Inputs processed by ok answers, where requests have several (embeddings)."""
    input: int = 0
    cached_input: int = 0
    reasoning: int = 0
    usage_seen: int = 0
    """Ok requests whose tokens were taken from the server's usage; those of the others were counted in events."""
    connections: int = 0
    connects_repeated: int = 0
    """Connections that needed retransmitted packets to be established; a lost first packet costs a second."""
    stale_retries: int = 0
    """Requests sent again because a kept-alive connection had been closed before a byte of the answer was read."""
    stream_ignored: int = 0
    """Requests that asked for a stream and were answered with one JSON body."""
    cpu_ns: int = 0
    """CPU time of the worker process."""
    host_ns: int = 0
    """Time of all cores that this program may use, as read by one worker."""
    host_busy_ns: int = 0
    """The part of it in which the cores were busy."""
    host_stolen_ns: int = 0
    """The part of it that the hypervisor gave to other virtual machines."""
    long_answers: int = 0
    """Ok streamed answers of one choice with at least `blocks.LONG_ANSWER` token events."""
    in_blocks: int = 0
    """The part of them whose events had been collected (`blocks.in_blocks`)."""
    in_one_block: int = 0
    """The part of these that came in one piece."""
    blocks: int = 0
    """Blocks in which the answers `in_blocks` came."""
    blocks_events: int = 0
    """Token events in these blocks."""
    blocks_late_ns: int = 0
    """Sum over the answers `blocks_dated` of how late their first token was (`blocks.late_ns`)."""
    tried_again: int = 0
    """Answers that a gateway marked as the result of a repeated attempt of its own."""
    blocks_gaps_ns: int = 0
    """Sum over the answers `in_blocks` of the time from the first block to the last."""
    blocks_dated: int = 0
    """Answers of several blocks for which the lateness of the first token is known. It cannot exceed the time since the
    request was sent; where it would, the first block was not generated as fast as the others."""
    tokens_unknown: int = 0
    """Ok requests with an unknown number of tokens: neither usage nor token events."""
    without_text: int = 0
    """Ok streamed answers whose tokens were in no event: prefill runs, or a token without text."""
    contradicted: int = 0
    """Ok answers whose usage contradicts itself or their token events."""
    contradicted_output: int = 0
    """Output tokens of those, as usage has them."""
    contradicted_events: int = 0
    """Token events of those."""
    usage_stopped: int = 0
    """The part of them whose usage ended before their token events did: their tokens are counted by both."""
    stayed_open: int = 0
    """Answers whose body stayed open after their end, until this client closed it."""
    stayed_open_ns: int = 0
    """Sum of the times that their streams waited for the end of the body."""
    short: int = 0
    """Ok answers with fewer tokens than were asked for (`--min-tokens`, `--ignore-eos`)."""
    events_foreign: int = 0
    """Events that are no message of the API: pings, and data that is no JSON object."""
    due: int = 0
    """Requests that have arrived (open model), in the window of their arrival."""
    dropped: int = 0
    """Requests that have arrived and were never started (open model)."""
    slo_met: int = 0
    """Ok requests that met every SLO."""
    slo_unknown: int = 0
    """Ok requests that missed no SLO for certain, but whose value in one of them is unknown."""
    good_output: int = 0
    """The part of `output` that the requests `slo_met` had."""
    deadlines: int = 0
    """Deadlines of the tokens of ok answers (`--deadline`)."""
    deadlines_missed: int = 0
    """The part of them that was missed."""
    fluid: int = 0
    """Answers that met at least `goodput.FLUID` of their deadlines."""
    benefit_milli: int = 0
    """Sum of the benefits that readers had of ok answers (`--reading-speed`), in thousandths of a token."""
    abandoned: int = 0
    """Cancelled requests whose users walked away (`--abandon`); the others were cut off by the end of the run."""
    input_seen: int = 0
    """Ok requests whose usage has the input."""
    cache_written: int = 0
    """The part of `input` that the server wrote to its cache, where usage says so (Anthropic)."""
    unfinished_begun: int = 0
    """Requests that did not end ok, and of whose answer something had come: a token event, or usage."""
    unfinished_seen: int = 0
    """The part of them whose usage has the input."""
    unfinished_input: int = 0
    """Input of `unfinished_seen`."""
    unfinished_cached: int = 0
    unfinished_output: int = 0
    """Output tokens of `unfinished_begun`: by usage, else their token events."""
    sessions: int = 0
    """Sessions (`load/sessions.py`) that have started. A session is counted where its first request is."""
    sessions_completed: int = 0
    sessions_failed: int = 0
    """Sessions that ended because a request failed."""
    sessions_overflowed: int = 0
    """Sessions that ended because the model's context was full."""
    asked_input: int = 0
    """Tokens that the prompts of ok requests were made to have, where the server has counted them."""
    delivered_input: int = 0
    """Tokens that the server has counted in these prompts, with its template and the system message."""
    asked_output: int = 0
    """Tokens that ok answers should have, by lengths of their own, where their tokens are known."""
    delivered_output: int = 0
    """Tokens that these answers had."""
    set_up_again: int = 0
    """How often the set-up of a user was done again after a 401, in flows."""
    user_errors: int = 0
    """Exceptions that the code of users has raised."""
    made_words: int = 0
    """Words of those prompts of `asked_input` that are made of common words (`--words-per-token`)."""

    @property
    def tokens_per_event(self) -> float | None:
        """Mean number of tokens in a token-bearing event of the ok streamed answers; None until there is one."""
        return self.output_streamed / self.events_ok if self.events_ok else None

    def output_of_all(self, per_event: float) -> float:
        """Output tokens, also those of open, failed and cancelled requests: `per_event` for each token-bearing event,
        and the tokens of the answers that were not streamed."""
        return self.events * per_event + self.output - self.output_streamed

    def add(self, other: "Counters") -> None:
        """Add every field of `other`."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


MAX_REASONS = 30
"""Different finish reasons that are counted separately: servers choose them, and they are kept for the whole run."""


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
    """What happened to the requests of one task in one window. `latency` holds the samples of requests that have not
    failed, those in flight included.

    CPU time, load of the host (`cpu_ns`, `host_*`) and `loop_lag` are measured for the process and not for a task. They
    are recorded in the part of task 0, so that a sum over tasks counts them once.
    """

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
    """Reason why the `tpot` of an answer is undetermined (`pace`) -> how many."""
    aside: dict[str, Histogram] = msgspec.field(default_factory=dict)
    """Values beside the latencies: `tpot_by_usage` and `tpot_by_events`, the bounds (µs) of an undetermined `tpot`;
    `short`, the tokens of answers that were shorter than asked; `missed_deadlines` and `idle`, see `goodput`."""
    missed: dict[str, int] = msgspec.field(default_factory=dict)
    """Text of an SLO -> how many ok requests missed it."""

    def add_undetermined(self, why: str, by_usage: int, by_events: int) -> None:
        """Count an answer whose `tpot` lies between these bounds (µs); 0: no bound."""
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
        add_counts(self.missed, other.missed)
        merge_histograms(self.aside, other.aside)
        merge_histograms(self.latency, other.latency)
        merge_histograms(self.latency_failed, other.latency_failed)
        merge_histograms(self.retracted, other.retracted)

    def pack(self) -> None:
        """Keep the histograms in little memory."""
        for histograms in (self.latency, self.latency_failed, self.aside):
            for histogram in histograms.values():
                histogram.pack()

    def unpacked(self) -> "Part":
        """This part, with the bins of all histograms at hand: itself or a copy, so it must not be changed."""
        kept = (self.latency, self.latency_failed, self.aside)
        if all(histogram.packed is None for histograms in kept for histogram in histograms.values()):
            return self
        latency, failed, aside = ({name: each.unpacked() for name, each in histograms.items()} for histograms in kept)
        return msgspec.structs.replace(self, latency=latency, latency_failed=failed, aside=aside)

    def known_reasons(self, finish: dict[str, int]) -> dict[str, int]:
        """`finish` with the reasons that this sum, which contains it, counts as "other"."""
        found: dict[str, int] = {}
        for reason, n in finish.items():
            add_counts(found, {reason if reason in self.finish else "other": n})
        return found

    def bound(self) -> None:
        """Limit the number of different finish reasons: those beyond `MAX_REASONS` become "other"."""
        for reason in list(self.finish)[MAX_REASONS:]:
            if reason != "other":
                add_counts(self.finish, {"other": self.finish.pop(reason)})

    def settle(self) -> dict[str, Histogram]:
        """Take the retracted samples out of `latency`; only for a sum that contains every part they were recorded
        in. Returns those that were in it."""
        taken = {}
        for name, histogram in self.retracted.items():
            # not there: the delta that contained them was lost, which `WorkerState.gaps` counts
            with contextlib.suppress(KeyError, ValueError):
                self.latency[name].subtract(histogram)
                taken[name] = histogram
        self.retracted = {}
        return taken


MAX_SAMPLES_PER_CLASS = 3
"""Distinct examples kept for each class of failure, in a worker and over all workers."""


class ErrorSample(msgspec.Struct, array_like=True, frozen=True):
    """One example of a failed attempt: its class, the final status (0: none came), a text, the server's request id."""

    error: str
    status: int
    text: str
    request_id: str
    headers: str = ""
    """Headers about throttling and retries, `name: value; name: value`."""


class RateLimit(msgspec.Struct, array_like=True, frozen=True):
    """What a server reports about one of its rate limits."""

    limit: int | None
    """None: not reported."""
    remaining: int
    """As last reported."""
    lowest: int
    """The lowest `remaining` that was reported."""
    t: int
    """When it was last reported (ns after T0)."""

    def updated(self, other: "RateLimit") -> "RateLimit":
        """Both reports merged, in any order."""
        later = other if other.t >= self.t else self
        return RateLimit(later.limit, later.remaining, min(self.lowest, other.lowest), later.t)


def merge_rate_limits(mine: dict[str, RateLimit], theirs: dict[str, RateLimit]) -> None:
    """Add `theirs` to `mine`, kind by kind."""
    for kind, limit in theirs.items():
        mine[kind] = mine[kind].updated(limit) if kind in mine else limit


MAX_SIGNS = 5
"""Distinct signs of a gateway that are kept, in a worker and over all workers."""

MAX_SIGN = 100
"""Characters of one."""

MAX_FIELDS = 20
"""Distinct names of unknown text fields that are kept, in a worker and over all workers."""


class Delta(msgspec.Struct, array_like=True, tag=True):
    """What one worker measured between two cuts."""

    worker: int
    seq: int
    """Number of this delta among the worker's, from 0: a gap means that one was lost."""
    t_from: int
    t_to: int
    window: int
    """Index of the window in which the cut lies."""
    open: int
    """Requests of the load in flight at the cut."""
    open_max: int
    """Most requests in flight at any moment since the last cut."""
    merged: int
    """Number of earlier cuts that could not be sent and are contained in this one."""
    rss: int
    """Resident memory of the worker, bytes."""
    parts: dict[int, Part]
    """Window and task (`key_of`) -> what happened to the requests of the task in the window."""
    samples: list[ErrorSample]
    signs: list[str] = []
    """Response headers that identify a gateway, without secrets: all that this worker has seen in the run."""
    rate_limits: dict[str, RateLimit] = msgspec.field(default_factory=dict)
    """Kind (requests, tokens, ...) -> what the server has reported since the last cut."""
    fatal: dict[str, ErrorSample] = msgspec.field(default_factory=dict)
    """Meaning for the run (`end`, `end-first`) -> the first failure of this meaning; each is sent once."""
    fields: list[str] = []
    """Names of fields that the API module doesn't know and whose text was counted as reasoning: all that this worker
    has seen in the run."""
    waiting: int = 0
    """Requests that have arrived and wait for a stream at the cut (open model)."""
    waiting_max: int = 0
    """The most of them at any moment since the last cut."""
    named: list[tuple[str, str]] = []
    """Task and request of the names that the code of users has given, as far as this worker has seen them in the run.
    Their task numbers follow those of the plan, in this order; the coordinator gives them the numbers of the run."""
    corrected_late: dict[int, int] = {}
    """Task -> number from which on its prompts have other words per token: this worker had passed the number that was
    ordered. All that happened in the run."""
