"""How much load a run asks for, and how long: the part of the options that the load models need."""

import msgspec

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.load_text import MOST_PERIODS, Rate, Stage, Turns
from llmstress.coordinator.config.sweep_text import Search, Sweep
from llmstress.engine.control import Think
from llmstress.engine.telemetry.shares import share

DEFAULT_DURATION_S = 60.0

DEFAULT_STREAMS = 100
"""Streams of all processes together if neither `--streams` nor `--total-streams` is given."""

DEFAULT_IN_FLIGHT = 10_000
"""The same for requests that arrive at a rate: the most in flight, if the machine allows so many."""

MOST_PROCS = 1024

MOST_STREAMS = 10**9
"""Beyond any machine; `host/preflight.py` compares the number with the limits of this one."""

MOST = 10**12
"""The highest value of most numbers: sums of such values still fit into 64 bits."""

MOST_STAGES = 1_000

LEAST_POINT_S, MOST_POINT_S = 1.0, 3600.0

QUEUE_TIMEOUT_S = 60.0
"""The default of `--queue-timeout`."""

LEAST_BURSTINESS, MOST_BURSTINESS = 0.001, 1_000.0

SLOWEST, FASTEST = 0.001, 1_000.0
"""Bounds of `--speed`."""


def default_total(procs: int | None) -> int:
    """The default of `--total-streams`: `DEFAULT_STREAMS`, or one stream per process if there are more processes.

    `procs`: the value of `--procs`; None: not given.
    """
    return max(DEFAULT_STREAMS, procs or 0)


def check_bounds(*bounds: tuple[str, int | None, int, int]) -> None:
    """Check flags, each with its value (None: not given), the lowest and the highest one.

    Raises:
        UsageError: a value is out of range.
    """
    for flag, value, low, high in bounds:
        if value is not None and not low <= value <= high:
            bound = f"at least {low}" if value < low else f"at most {high}"
            raise UsageError(f"{flag} must be {bound}, not {value}")


class LoadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The size, the shape and the length of the load. Names that end in `_s` are seconds."""

    procs: int
    streams: int | None = None
    """Streams of each process; None: a share of `total`."""
    total: int | None = None
    """Streams of all processes together; None: `streams` of each process, or the default if that is None as well."""
    duration_s: float | None = None
    requests: int | None = None
    ramp_up_s: float = 0.0
    warmup_s: float = 0.0
    warmup_requests: int | None = None
    """The warm-up lasts until this many requests of all processes have ended; None: `warmup_s`."""
    grace_s: float = 30.0
    rate: Rate | None = None
    """Open model: requests arrive at this rate. None: closed model, or `stages` say it."""
    arrival: str | None = None
    """constant, poisson or gamma; None: gamma with `burstiness`, else poisson."""
    burstiness: float | None = None
    max_queue: int | None = None
    """Most requests that wait for a stream; None: no limit."""
    queue_timeout_s: float | None = None
    """A request that has waited this long for a stream is dropped; 0: no limit; None: `QUEUE_TIMEOUT_S`."""
    think: Think = Think()
    pacing_s: float = 0.0
    turns: Turns | None = None
    """Requests are the turns of conversations. None: each request stands for itself."""
    answers: str | None = None
    """The answers in the history of a conversation: server or scripted; None: server."""
    stages: tuple[Stage, ...] = ()
    trace: str | None = None
    """Open model: requests arrive at the times in this file. None: there is no trace."""
    speed: float = 1.0
    """The trace is replayed so many times as fast as it was recorded."""
    skip_bad_rows: bool = False
    once: bool = False
    """The run is over when each row of the file of prompts was asked once."""
    bystander: Rate | None = None
    """Rate of short requests beside the load."""
    seed: int = 0
    sweep: Sweep | None = None
    """One point after the other at these loads."""
    search: Search | None = None
    """`llmstress find`."""
    point_s: float = 20.0
    """Length of a point of a sweep, or of a probe of a search."""

    def check_load(self) -> None:
        """Check bounds and contradictions.

        Raises:
            UsageError: a check failed; the message names the flag.
        """
        check_bounds(
            ("--procs", self.procs, 1, MOST_PROCS),
            ("--streams", self.streams, 1, MOST_STREAMS),
            ("--total-streams", self.total, 1, MOST_STREAMS),
            ("--requests", self.requests, 1, MOST),
            ("--warmup-requests", self.warmup_requests, 1, MOST),
            ("--max-queue", self.max_queue, 0, MOST),
            ("--seed", self.seed, 0, (1 << 63) - 1),
        )
        if self.duration_s == 0:
            raise UsageError("--duration must be longer than 0")
        if self.streams is not None and self.total is not None:
            raise UsageError("--streams (per process) and --total-streams can't be used together: drop one of them")
        if self.warmup_requests is not None and self.warmup_s:
            raise UsageError("--warmup and --warmup-requests can't be used together: drop one of them")
        if not LEAST_POINT_S <= self.point_s <= MOST_POINT_S:
            raise UsageError(f"--point must lie between {LEAST_POINT_S:g} s and an hour, not {self.point_s:g} s")
        if self.course:
            self._check_course()
        if self.stages:
            self._check_stages()
        self._check_trace()
        self._check_turns()
        if self.open:
            self._check_open()
        else:
            self._check_closed()

    def _check_stages(self) -> None:
        for flag, given in (
            ("--rate", self.rate is not None),
            ("--duration", self.duration_s is not None),
            ("--requests", self.requests is not None),
            ("--ramp-up", self.ramp_up_s > 0),
            ("--warmup", self.warmup_s > 0),
            ("--warmup-requests", self.warmup_requests is not None),
        ):
            if given:
                raise UsageError(f"{flag} and --stage can't be used together: the stages say how long and how much")
        if len({stage.rate for stage in self.stages if stage.target}) > 1:
            raise UsageError("--stage: give all stages in streams (100), or all as rates (50/s)")
        if len(self.stages) > MOST_STAGES:
            raise UsageError(f"--stage: at most {MOST_STAGES:,} stages, not {len(self.stages):,}")
        periods = sum(stage.seconds / stage.period_s for stage in self.stages if stage.period_s)
        if periods > MOST_PERIODS:
            raise UsageError(f"--stage: all sine waves together may have {MOST_PERIODS:,} periods, not {periods:,.0f}")
        if not any(stage.target for stage in self.stages):
            raise UsageError("--stage: every stage asks for a load of 0; give one a number of streams or a rate")
        if not self.open and self.streams is not None:
            raise UsageError("--streams and --stage in streams can't be used together: drop one of them")

    def _check_course(self) -> None:
        for flag, given in (
            ("--stage", bool(self.stages)),
            ("--rate", self.rate is not None),
            ("--trace", self.trace is not None),
            ("--duration", self.duration_s is not None),
            ("--requests", self.requests is not None),
            ("--ramp-up", self.ramp_up_s > 0),
            ("--warmup", self.warmup_s > 0),
            ("--warmup-requests", self.warmup_requests is not None),
            ("--streams", self.streams is not None and not self.open),
        ):
            if given:
                raise UsageError(f"{flag} and {self.course} can't be used together: {self.course} says the load itself")
        if self.search is not None and not self.search.budget_s:
            raise UsageError("--budget must be longer than 0")
        if self.search is not None and self.search.lowest > self.search.highest:
            raise UsageError(f"--from {self.search.lowest:g} is above --to {self.search.highest:g}")

    def _check_trace(self) -> None:
        if self.trace is None:
            if self.speed != 1:
                raise UsageError("--speed needs a trace: give its file with --trace FILE")
            return
        if not SLOWEST <= self.speed <= FASTEST:
            raise UsageError(f"--speed must lie between {SLOWEST:g} and {FASTEST:g}, not {self.speed:g}")
        for flag, given in (
            ("--rate", self.rate is not None),
            ("--stage", bool(self.stages)),
            ("--arrival", self.arrival is not None),
            ("--burstiness", self.burstiness is not None),
            ("--ramp-up", self.ramp_up_s > 0),
        ):
            if given:
                raise UsageError(f"{flag} can't be used with --trace, which sets the arrivals: drop one of them")

    def _check_turns(self) -> None:
        if self.turns is None:
            if self.answers is not None:
                raise UsageError("--answers is for conversations: give their turns with --turns, e.g. --turns 8")
            return
        if self.trace is not None:
            raise UsageError("--turns can't be used with --trace, whose rows are single requests: drop one of them")
        if self.rate is not None and self.rate.tokens:
            raise UsageError(
                f"--rate {self.rate}: with --turns the rate is one of conversations, which no number of tokens says; "
                "write it like --rate 5/s"
            )

    def _check_open(self) -> None:
        thinks = self.think != Think() and not self.converses
        for flag, given in (("--think-time", thinks), ("--pacing", self.pacing_s > 0)):
            if given:
                raise UsageError(
                    f"{flag} is for streams that begin after their last answer; at a rate or with a trace, requests "
                    "arrive by themselves: drop one of them"
                )
        if self.burstiness is not None and not LEAST_BURSTINESS <= self.burstiness <= MOST_BURSTINESS:
            bounds = f"{LEAST_BURSTINESS:g} and {MOST_BURSTINESS:g}"
            raise UsageError(f"--burstiness must lie between {bounds}, not {self.burstiness:g}")
        if self.burstiness is not None and self.arrival not in (None, "gamma"):
            raise UsageError(f"--burstiness is for gamma arrivals, not for --arrival {self.arrival}: drop one of them")

    def _check_closed(self) -> None:
        for flag, given in (
            ("--arrival", self.arrival is not None),
            ("--burstiness", self.burstiness is not None),
            ("--max-queue", self.max_queue is not None),
            ("--queue-timeout", self.queue_timeout_s is not None),
        ):
            if given:
                raise UsageError(f"{flag} needs requests that arrive at a rate: add --rate, e.g. --rate 50/s")

    @property
    def shares(self) -> list[int]:
        """Streams of each process; they sum to the total. By default each process has at least one."""
        if self.streams is not None:
            return [self.streams] * self.procs
        total = self.total if self.total is not None else default_total(self.procs)
        return [share(total, self.procs, worker) for worker in range(self.procs)]

    @property
    def total_streams(self) -> int:
        """Streams of all processes together."""
        return sum(self.shares)

    @property
    def tokens_asked(self) -> bool:
        """The rate is one of tokens."""
        return self.rate is not None and self.rate.tokens

    @property
    def converses(self) -> bool:
        """Whether requests are turns of conversations."""
        return self.turns is not None

    @property
    def open(self) -> bool:
        """Whether requests arrive by a schedule of their own (open model)."""
        course = self.sweep or self.search
        return (
            self.rate is not None
            or self.trace is not None
            or any(stage.rate for stage in self.stages)
            or (course is not None and course.rate)
        )

    @property
    def course(self) -> str:
        """What decides the load while the run goes on, as the user has written it; empty: nothing."""
        return "--sweep" if self.sweep is not None else "find" if self.search is not None else ""

    @property
    def arrival_name(self) -> str:
        """constant, poisson, gamma, or trace."""
        if self.trace is not None:
            return "trace"
        return self.arrival or ("poisson" if self.burstiness is None else "gamma")

    @property
    def steady_s(self) -> float | None:
        """Length of the steady windows; None: until `requests` or the trace are used up, or the course is over."""
        if self.course:
            return None
        if self.stages:
            return sum(stage.seconds for stage in self.stages)
        if self.duration_s is not None or self.counted:
            return self.duration_s
        return DEFAULT_DURATION_S

    @property
    def counted(self) -> bool:
        """Whether the run is over when its requests are used up: those that were asked for, those of a trace, or one
        for each row of a file of prompts."""
        return self.requests is not None or self.trace is not None or self.once

    @property
    def whole_run(self) -> bool:
        """Whether the steady window is the whole run: it is counted in requests, and there is no warm-up."""
        return not self.stages and self.counted and not self.warmup_s and self.warmup_requests is None
