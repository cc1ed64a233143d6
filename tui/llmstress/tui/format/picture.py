"""A picture: everything that the screen shows of a run at one time. It is made from the run's view a few times a
second. Pure functions."""

import msgspec

from llmstress.engine.telemetry import snapshot
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import RunView
from llmstress.engine.telemetry.messages import Phase
from llmstress.engine.telemetry.snapshot import Figures, Snapshot
from llmstress.engine.telemetry.verdict import Verdict, judge
from llmstress.tui.sources.source import Playback, ZoomDetail

WINDOW_S = 5.0
"""The period that the live figures cover."""

TOO_EARLY = Verdict("none yet", [], [])
"""The verdict before anything has been measured."""

_STAGES = {Phase.RAMP: "ramp-up", Phase.WARMUP: "warm-up", Phase.STEADY: "steady", Phase.DRAIN: "drain"}


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the screen shows at one time."""

    view: RunView
    """The view from which everything else was made; must not be changed."""
    snapshot: Snapshot
    verdict: Verdict
    whole: bool
    """Whether the figures are those of the steady window, as in the summary, instead of those of the last seconds."""
    stage: str
    """starting, ramp-up, warm-up, steady, drain or done; independent of `paused`."""
    outcome: str
    """How the requests of the whole run ended: none (no request has finished), good (none failed), bad (more than half
    failed, or some failed and none succeeded), or mixed."""

    zoom_s: float | None = None
    """Length of time that the charts of a replay show; None: the whole run so far."""
    detail: ZoomDetail | None = None
    """The timeline of that time."""

    @property
    def figures(self) -> Figures:
        """The figures that `whole` selects."""
        return self.snapshot.whole if self.whole else self.snapshot.now

    @property
    def paused(self) -> bool:
        """Whether the run starts no new requests."""
        return self.view.paused


def picture_of(view: RunView, *, whole: bool, playback: Playback | None = None) -> Picture:
    """The picture of `view` as it is now; `playback`: the controls of a replay, which may be zoomed."""
    aggregate, steady_s = view.aggregate, view.steady_s
    if view.ended is not None:
        stage = "done"
    elif not view.facts.started_at:
        stage = "starting"
    else:
        stage = _STAGES[aggregate.phase]
    verdict = judge(aggregate, steady_s)
    steady = aggregate.steady
    if verdict.status == "valid" and view.ended is None and not (steady.counters.events or steady.ended):
        verdict = TOO_EARLY
    return Picture(
        view=view,
        snapshot=snapshot.take(aggregate, steady_s, WINDOW_S, widen=True),
        verdict=verdict,
        whole=whole,
        stage=stage,
        outcome=_outcome(aggregate),
        zoom_s=None if playback is None else playback.zoom_s,
        detail=None if playback is None else playback.detail,
    )


def _outcome(aggregate: Aggregate) -> str:
    ended, failed, finished = aggregate.ended(), aggregate.failed(), aggregate.finished()
    if not finished:
        return "none"
    if failed > finished / 2 or (failed and not ended.get("ok")):
        return "bad"
    return "mixed" if failed or ended.get("lost") or not ended.get("ok") else "good"
