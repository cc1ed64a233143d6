"""One picture of the run, made a few times a second and shown by every part of the screen. Pure: a view in, a picture
out."""

import msgspec

from llmstress.engine.telemetry import snapshot
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import RunView
from llmstress.engine.telemetry.messages import Phase
from llmstress.engine.telemetry.snapshot import Figures, Snapshot
from llmstress.engine.telemetry.verdict import Verdict, judge
from llmstress.tui.sources.source import Playback, ZoomDetail

WINDOW_S = 5.0
"""How far the live figures look back."""

TOO_EARLY = Verdict("none yet", [], [])
"""While nothing has been measured there is nothing to judge."""

_STAGES = {Phase.RAMP: "ramp-up", Phase.WARMUP: "warm-up", Phase.STEADY: "steady", Phase.DRAIN: "drain"}


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be shown."""

    view: RunView
    """Where everything else came from; not to be changed."""
    snapshot: Snapshot
    verdict: Verdict
    whole: bool
    """Show the figures of the steady window, as the summary has them, instead of those of the last seconds."""
    stage: str
    """starting, ramp-up, warm-up, steady, drain or done; `paused` stands beside it."""
    outcome: str
    """What became of the requests of the whole run: none (has finished), good (none failed), bad (over half of them
    failed, or some did and none succeeded), or mixed."""

    zoom_s: float | None = None
    """How long a stretch of a replay the charts show; None: all of the run so far."""
    detail: ZoomDetail | None = None
    """That stretch."""

    @property
    def figures(self) -> Figures:
        """Those that were chosen."""
        return self.snapshot.whole if self.whole else self.snapshot.now

    @property
    def paused(self) -> bool:
        """No new requests are begun."""
        return self.view.paused


def picture_of(view: RunView, *, whole: bool, playback: Playback | None = None) -> Picture:
    """A picture of `view` as it is now; `playback`: of a replay, which may be zoomed."""
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
