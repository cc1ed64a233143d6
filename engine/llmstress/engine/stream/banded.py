"""Records a request that has ended ok in the band of its tokens: once, at its end."""

from typing import Protocol

from llmstress.engine.api.meaning import Usage
from llmstress.engine.stream.pace import Pace
from llmstress.engine.telemetry.bands import Bounds, name_of
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import Part


class Sized(Protocol):
    """What is needed of a request that has ended ok. Stamps are monotonic nanoseconds, 0: the moment never came."""

    start: int
    first_token: int
    end_at: int

    @property
    def unseen_at(self) -> int:
        """Stamp by which the first token was there, if no event carried its tokens; else 0."""

    @property
    def usage(self) -> Usage | None:
        """What the server has reported."""

    @property
    def output(self) -> tuple[int, bool]:
        """Output tokens, and whether the server's usage says so."""


def count_banded(bounds: Bounds, request: Sized, pace: Pace | None, part: Part) -> None:
    """Record the latencies of a request in its band. A request whose input the server does not report is in none."""
    usage = request.usage
    if usage is None or usage.input is None:
        return
    band = bounds.band(usage.input, request.output[0])
    _record(part, name_of(band, "e2e"), request.end_at - request.start)
    if first := request.first_token or request.unseen_at:
        _record(part, name_of(band, "ttft"), first - request.start)
    if pace is not None and not pace.why:
        _record(part, name_of(band, "tpot"), pace.ns)


def _record(part: Part, name: str, nanoseconds: int) -> None:
    part.aside.setdefault(name, Histogram()).record(nanoseconds // 1000)
