"""The sums over windows and tasks that every delta and every picture of a run asks for.

They are kept up to date with each delta. In a sweep of 200 points there are 400 windows: adding them up anew takes a
third of a second.
"""

from collections.abc import Mapping

import msgspec

from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import Part, Phase, merge_histograms, task_of


class Sums(msgspec.Struct):
    """Sums over the tasks of the load."""

    kinds: dict[Phase, Part] = msgspec.field(default_factory=lambda: {kind: Part() for kind in Phase})
    """Kind of windows -> everything but latencies."""
    tasks: set[int] = msgspec.field(default_factory=set)
    metrics: set[str] = msgspec.field(default_factory=set)
    """Those that any window has in `Part.latency`."""
    steady: list[Part] = msgspec.field(default_factory=list)
    """The parts of steady windows, as the aggregate has them."""
    latency: dict[str, Histogram] = msgspec.field(default_factory=dict)
    """Of `steady`; empty as long as that is a single part."""
    latency_failed: dict[str, Histogram] = msgspec.field(default_factory=dict)
    """The same of failed requests."""

    def enter(self, key: int, kind: Phase, part: Part) -> None:
        """Another part of the aggregate; it may contain something already."""
        self.tasks.add(task_of(key))
        self.metrics.update(part.latency)
        self.kinds[kind].add(_without_latencies(part))
        if kind is Phase.STEADY:
            self.steady.append(part)
            if len(self.steady) == 2:
                self._add_latencies(self.steady[0])
            if len(self.steady) >= 2:
                self._add_latencies(part)

    def add(self, kind: Phase, part: Part, taken: Mapping[str, Histogram]) -> None:
        """What a delta has added to a part of a window of this kind; `taken`: samples that it has taken out of the
        `latency` of that part."""
        self.metrics.update(part.latency)
        self.kinds[kind].add(_without_latencies(part))
        if kind is Phase.STEADY and len(self.steady) > 1:
            self._add_latencies(part)
            for name, samples in taken.items():
                self.latency[name].subtract(samples)
                self._limit(name)

    @property
    def of_steady_windows(self) -> Part:
        """The sum over `steady`; a single part itself, so it must not be changed."""
        if len(self.steady) == 1:
            return self.steady[0].unpacked()
        kept = {"latency": self.latency, "latency_failed": self.latency_failed}
        return msgspec.structs.replace(self.kinds[Phase.STEADY], **kept)

    def limit(self) -> None:
        """Smallest and largest values of parts have been corrected."""
        for name in self.latency:
            self._limit(name)

    def _limit(self, name: str) -> None:
        """Make minimum and maximum of a latency those of its parts: `subtract` knows them to the width of a bin."""
        found = [part.latency[name] for part in self.steady if name in part.latency]
        self.latency[name].min = min(each.min for each in found)
        self.latency[name].max = max(each.max for each in found)

    def _add_latencies(self, part: Part) -> None:
        full = part.unpacked()
        merge_histograms(self.latency, full.latency)
        merge_histograms(self.latency_failed, full.latency_failed)


def _without_latencies(part: Part) -> Part:
    return msgspec.structs.replace(part, latency={}, latency_failed={}, retracted={})
