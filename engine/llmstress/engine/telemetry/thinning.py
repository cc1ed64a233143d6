"""How a record keeps an old stretch of a run: the deltas of each worker merged into one.

Merging is addition, so bins, rows and counts stay exact. Values that do not add up (the peak of open streams, what was
seen last, extremes of histograms from which samples were taken back) are kept as they stood at the end of the stretch.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import Message, RunView
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import MAX_SAMPLES_PER_CLASS, Delta, ErrorSample, Part, window_of

_OWN_METRIC = "loop_lag"
"""The only latency that is shown for each worker; the others are merged over all workers."""

HISTOGRAMS = ("latency", "latency_failed", "retracted", "aside")
"""The fields of a `Part` that hold histograms."""

_NOT_IN_A_STAND = frozenset({"windows", "rows", "row_ns", "row_open", "recent", "earlier", "notices", "samples"})
"""Fields of an `Aggregate` that follow from messages and merged deltas."""

_BY_KEY = ("parts", "window_began")
"""Fields of an `Aggregate` with an entry for each window."""


class Stand(msgspec.Struct, array_like=True, frozen=True):
    """What was measured up to a moment, except the bins of histograms, the timeline, and what has been as it is since
    the stand before."""

    aggregate: Aggregate
    """Of `_BY_KEY` it contains the entries that have changed since the stand before."""


class Step(msgspec.Struct, array_like=True, frozen=True):
    """What all workers measured within a stretch of a run."""

    moments: list[tuple[int, Delta]]
    """Deltas with the times (ns after T0) at which they came: all of them, or one merged delta per worker. The first
    merged one contains the latencies of all workers, except for the lag of their event loops."""
    stand: Stand
    """At the end of the stretch."""


class Merger:
    """Merges consecutive deltas, worker by worker."""

    def __init__(self) -> None:
        self._deltas: dict[int, Delta] = {}

    def add(self, delta: Delta, totals: Mapping[int, Part]) -> None:
        """Add one delta, which stays as it is; `totals`: the parts of the aggregate, which contain it already."""
        mine = self._deltas.get(delta.worker)
        if mine is None:
            mine = msgspec.structs.replace(
                delta,
                merged=0,
                parts={},
                samples=[],
                signs=[],
                rate_limits={},
                fatal={},
                fields=[],
                named=[],  # the coordinator has given the names their numbers
                corrected_late={},  # a line of the log says it
            )
            self._deltas[delta.worker] = mine
        mine.seq = delta.seq
        mine.t_from, mine.t_to = min(mine.t_from, delta.t_from), max(mine.t_to, delta.t_to)
        mine.window = max(mine.window, delta.window)
        mine.open, mine.open_max, mine.rss = delta.open, max(mine.open_max, delta.open_max), delta.rss
        first = next(iter(self._deltas.values()))
        for key, part in delta.parts.items():
            own, shared = _split(part, totals.get(key, part))
            mine.parts.setdefault(key, Part()).add(own)
            first.parts.setdefault(key, Part()).add(shared)
        for sample in delta.samples:
            _keep(first.samples, sample)

    def take(self) -> list[Delta]:
        """One delta for each worker that sent any; the next merge starts empty."""
        deltas, self._deltas = list(self._deltas.values()), {}
        return deltas


def _split(part: Part, total: Part) -> tuple[Part, Part]:
    """Divides `part` of a delta into what belongs to its worker, and the latencies that are merged over all workers.
    Finish reasons that are "other" in the totals become "other" here, too: servers choose them, so there may be
    many."""
    shared = {name: dict(getattr(part, name)) for name in HISTOGRAMS}
    own: dict[str, dict[str, Histogram]] = {name: {} for name in HISTOGRAMS}
    if (lag := shared["latency"].pop(_OWN_METRIC, None)) is not None:
        own["latency"][_OWN_METRIC] = lag
    return msgspec.structs.replace(part, finish=total.known_reasons(part.finish), **own), msgspec.structs.replace(
        Part(), **shared
    )


def _keep(samples: list[ErrorSample], sample: ErrorSample) -> None:
    alike = [other.text for other in samples if other.error == sample.error]
    if len(alike) < MAX_SAMPLES_PER_CLASS and sample.text not in alike:
        samples.append(sample)


def stand_of(aggregate: Aggregate, changed: Collection[int]) -> Stand:
    """How `aggregate` stands now, as a copy; `changed`: the keys of the parts that have changed since the stand
    before."""
    fields = {name: getattr(aggregate, name) for name in aggregate.__struct_fields__}
    left_out = {name: type(value)() for name, value in fields.items() if name in _NOT_IN_A_STAND}
    # a key that is not there is one of the bystander, whose parts are kept whole in another field
    parts = {key: aggregate.parts[key] for key in changed if key in aggregate.parts}
    windows = {aggregate.window, *map(window_of, changed)}
    began = {window: t for window, t in aggregate.window_began.items() if window in windows}
    return Stand(_bare(msgspec.structs.replace(aggregate, parts=parts, window_began=began, **left_out)))


def settle(aggregate: Aggregate, stand: Stand) -> None:
    """Set every value that does not add up as it stood; `aggregate` contains what was measured until then."""
    for name in aggregate.__struct_fields__:
        if name not in _NOT_IN_A_STAND and name not in _BY_KEY:
            setattr(aggregate, name, _filled(getattr(stand.aggregate, name), getattr(aggregate, name)))
    aggregate.window_began.update(stand.aggregate.window_began)
    for key, part in stand.aggregate.parts.items():
        aggregate.correct(key, _filled(part, aggregate.parts.get(key)))


def take_in(view: RunView, frame: Message | Step | Stand) -> None:
    """Apply a frame of a record to `view`."""
    if isinstance(frame, Step):
        for _, delta in frame.moments:
            view.aggregate.merge(delta)
        settle(view.aggregate, frame.stand)
    elif isinstance(frame, Stand):
        settle(view.aggregate, frame)
    else:
        view.apply(frame)


def _bare(value: Any) -> Any:
    """A copy of `value` whose histograms have no bins."""
    made = value
    if isinstance(value, Histogram):
        made = msgspec.structs.replace(value, counts={}, packed=None)
    elif isinstance(value, msgspec.Struct):
        made = msgspec.structs.replace(value, **{name: _bare(each) for name, each in _containers(value)})
    elif isinstance(value, dict):
        made = {key: _bare(each) for key, each in value.items()}
    elif isinstance(value, list):
        made = [_bare(each) for each in value]
    return made


def _filled(value: Any, full: Any) -> Any:
    """A copy of `value` whose histograms have the bins of those in `full`."""
    made = value
    if isinstance(value, Histogram):
        known = Histogram() if full is None else full
        made = msgspec.structs.replace(value, counts=known.counts, packed=known.packed)
    elif isinstance(value, msgspec.Struct):
        parts = {name: _filled(each, getattr(full, name, None)) for name, each in _containers(value)}
        made = msgspec.structs.replace(value, **parts)
    elif isinstance(value, dict):
        entries = full if isinstance(full, dict) else {}
        made = {key: _filled(each, entries.get(key)) for key, each in value.items()}
    elif isinstance(value, list):
        known_list = full if isinstance(full, list) and len(full) == len(value) else [None] * len(value)
        made = [_filled(each, other) for each, other in zip(value, known_list, strict=True)]
    return made


def _containers(struct: msgspec.Struct) -> list[tuple[str, Any]]:
    """The fields of `struct` that may contain a histogram, or that change in place."""
    return [
        (name, value)
        for name in struct.__struct_fields__
        if isinstance(value := getattr(struct, name), msgspec.Struct | dict | list)
    ]
