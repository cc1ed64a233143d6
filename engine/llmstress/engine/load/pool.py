"""The free streams of the open model, and the connections that are opened for them ahead of need."""

import math
from collections.abc import Callable, Mapping

from llmstress.engine.connect.tcpinfo import retransmissions
from llmstress.engine.load.load import Load
from llmstress.engine.load.mix import Mix
from llmstress.engine.stream.link import Dials
from llmstress.engine.stream.stream import Stream

LEAST_LEAD_NS, MOST_LEAD_NS = 100_000_000, 1_000_000_000
"""Connections are opened for the requests that will arrive within this time: two calls of `warm_up`, and twice the time
that a connection takes to open."""

SIGMAS = 3.0
"""And for so many standard deviations of their number more."""


class Pool:
    """Gives a free stream to each request that begins: one with a connection to its origin, if there is one."""

    def __init__(
        self, load: Load, mix: Mix, *, most: int, spread: float, pause_ns: int, opened: Callable[[], None]
    ) -> None:
        """
        most: streams that may be in use. spread: standard deviation of the number of arrivals, divided by the square
        root of their mean number. pause_ns: after a connection that could not be opened ahead of need, none is opened
        for so long. opened: is called when a connection has been opened ahead of need, or could not be.
        """
        self.most = most
        self.lead_ns = LEAST_LEAD_NS
        """Connections are opened for what arrives within this time."""
        self._load = load
        self._shares: Mapping[Dials, float] = mix.origins
        self._counters = {task.dials: task.samples for task in reversed(mix.tasks)}
        """Where the connections to an origin are counted: at its first task."""
        self._spread = SIGMAS * spread
        self._pause_ns = pause_ns
        self._opened = opened
        self._warm: dict[Dials, list[Stream]] = {dials: [] for dials in self._shares}
        """Free streams with a connection to an origin; the one that was used last is used first, so that those which
        are not needed any more stay idle."""
        self._cold: list[Stream] = []
        """Free streams without a connection."""
        self._warming = dict.fromkeys(self._shares, 0)
        """Streams whose connections are opened ahead of need."""
        self._warm_from = 0
        """No connections are opened ahead of need before this stamp: the last one failed."""

    def put_back(self, stream: Stream) -> None:
        """The stream is free."""
        if stream.link is None or stream.dials is None:
            self._cold.append(stream)
        else:
            self._warm[stream.dials].append(stream)

    def take(self, dials: Dials, *, linked: bool = False) -> Stream | None:
        """A stream for a request to the origin of `dials`; None: all that there may be are in use. `linked`: only one
        with a connection."""
        free = len(self._cold) + sum(map(len, self._warm.values())) + sum(self._warming.values())
        if len(self._load.streams) - free >= self.most:
            return None
        warm = self._warm[dials]
        while warm:
            stream = warm.pop()
            if stream.link is not None:
                return stream
            self._cold.append(stream)  # the server has closed its connection meanwhile
        if linked:
            return None
        return self._unlinked() or next((other.pop(0) for other in self._warm.values() if other), None)

    def _unlinked(self) -> Stream | None:
        if self._cold:
            return self._cold.pop()
        return self._load.add_streams(1)[0] if len(self._load.streams) < self.most else None

    def warm_up(self, now: int, expected: float) -> None:
        """Open connections until there are enough for the `expected` number of requests that will arrive within
        `lead_ns`."""
        if now < self._warm_from:
            return
        for dials, share in self._shares.items():
            warm = self._warm[dials]
            self._cold += [stream for stream in warm if stream.link is None]
            self._warm[dials] = warm = [stream for stream in warm if stream.link is not None]
            here = expected * share
            wanted = math.ceil(here + self._spread * math.sqrt(here))
            for _ in range(wanted - len(warm) - self._warming[dials]):
                stream = self._unlinked()
                if stream is None:
                    return
                self._warming[dials] += 1
                self._load.dialing.dial_ahead(stream, dials, self._ready)

    def _ready(self, stream: Stream, dials: Dials, took_ns: int | None) -> None:
        self._warming[dials] -= 1
        self.put_back(stream)
        if took_ns is not None:
            counters = self._counters[dials].counters
            counters.connections += 1
            counters.connects_repeated += stream.link is not None and retransmissions(stream.link.transport) > 0
            self.lead_ns = min(MOST_LEAD_NS, max(self.lead_ns, LEAST_LEAD_NS + 2 * took_ns))
        if stream.link is None:  # it was refused, or is closed already
            self._warm_from = self._load.clock() + max(LEAST_LEAD_NS, self._pause_ns)
        self._opened()

    @property
    def warming(self) -> bool:
        """Connections are being opened ahead of need."""
        return any(self._warming.values())
