"""What a request should reach: its SLOs, the deadlines of its tokens, the speed of its reader. Plain data."""

import msgspec

from llmstress.engine.telemetry.metrics import METRICS, MetricName

JUDGED: tuple[str, ...] = tuple(each.name for each in METRICS.values() if each.per_request)
"""Metrics that an SLO can limit: those of which a request has at most one value."""

_TOKEN_STAMPS = frozenset({"first_token", "first_answer", "token", "last_token"})

OF_STREAMS: frozenset[str] = frozenset(name for name in JUDGED if METRICS[name].end in _TOKEN_STAMPS)
"""Those that end with a token event, which only streamed answers have."""


class Slo(msgspec.Struct, array_like=True, frozen=True):
    """A limit that a request should meet in one metric."""

    metric: MetricName
    limit_us: int
    """Microseconds, at least 1."""
    strict: bool
    """A value equal to the limit misses it (`<`); else it meets it (`<=`)."""
    text: str
    """As it is shown, and the key of its count of misses: `ttft<500ms`."""

    def met_by(self, us: int) -> bool:
        """Whether a value meets the limit. `us`: whole microseconds, as the histograms have them."""
        return us < self.limit_us if self.strict else us <= self.limit_us


class Deadlines(msgspec.Struct, array_like=True, frozen=True):
    """Deadlines of the tokens of an answer, in microseconds; each at least 1."""

    first_us: int
    """Of the first token, after the start of the request."""
    token_us: int
    """Of each later token, after the deadline of the token before it."""


class Objectives(msgspec.Struct, array_like=True, frozen=True):
    """What the requests of a task are judged by. By default they are not judged."""

    slos: tuple[Slo, ...] = ()
    """A request is good if it meets all of them."""
    deadlines: Deadlines | None = None
    reading_speed: float = 0.0
    """Tokens per second that a user reads; 0: not given."""
    others: bool = False
    """Other tasks of the run have SLOs: every ok request of a task that has none is good, so that the goodput of the
    run is a share of all its requests."""

    @property
    def given(self) -> bool:
        """Whether there is anything to judge by."""
        return bool(self.slos or self.deadlines is not None or self.reading_speed or self.others)


NOT_JUDGED = Objectives()
"""Of requests that have nothing to reach."""
