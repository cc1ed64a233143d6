"""One picture of the run, made a few times a second from the view and shown by every part of the screen. Pure
functions."""

import msgspec

from llmstress.engine.telemetry import snapshot
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import RunView
from llmstress.engine.telemetry.messages import Phase
from llmstress.engine.telemetry.snapshot import Figures, Snapshot
from llmstress.engine.telemetry.verdict import Verdict, judge
from llmstress.tui.format import load
from llmstress.tui.format.load import Place
from llmstress.tui.sources.source import Playback, ZoomDetail

WINDOW_S = 5.0
"""How far the live figures look back."""

TOO_EARLY = Verdict("none yet", [], [])
"""While nothing has been measured there is nothing to judge."""

_STAGES = {Phase.RAMP: "ramp-up", Phase.WARMUP: "warm-up", Phase.STEADY: "steady", Phase.DRAIN: "drain"}


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the screen shows."""

    view: RunView
    """The view that everything else was made from; not to be changed."""
    snapshot: Snapshot
    verdict: Verdict
    whole: bool
    """Show the figures of the steady windows, as in the summary, instead of those of the last seconds."""
    stage: str
    """starting, ramp-up, warm-up, steady, drain or done, or the stage of the load that lasts; a pause is in
    `paused`."""
    place: Place | None
    """The stage or point that lasts; None: the run has none."""
    wanted: int
    """Streams wanted now; in the open model the most requests in flight."""
    outcome: str
    """How the requests of the whole run ended: none (none has finished), good (none failed), bad (more than half
    failed, or some failed and none succeeded), or mixed."""

    zoom_s: float | None = None
    """Length of the stretch of a replay that the charts show; None: the whole run so far."""
    detail: ZoomDetail | None = None
    """That stretch."""

    @property
    def figures(self) -> Figures:
        """The figures that are shown."""
        return self.snapshot.whole if self.whole else self.snapshot.now

    @property
    def paused(self) -> bool:
        """No new requests begin."""
        return self.view.paused


def picture_of(view: RunView, *, whole: bool, playback: Playback | None = None) -> Picture:
    """A picture of `view` as it is now; `playback`: that of a replay, which may be zoomed."""
    aggregate, steady_s = view.aggregate, view.steady_s
    if view.ended is not None:
        stage = "done"
    elif not view.facts.started_at:
        stage = "starting"
    else:
        stage = _STAGES[aggregate.phase]
    place = load.place_of(view)
    if place is not None:
        stage = place.name
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
        place=place,
        wanted=load.wanted_streams(view),
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
