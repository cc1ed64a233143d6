"""The thresholds of a run while it goes on: judges them, publishes what was found, and says when one ends the run."""

from collections.abc import Sequence

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.run.announcer import Announcer
from llmstress.engine.telemetry.broadcast import Judgements, RunView
from llmstress.engine.telemetry.judging import Judge, covered_by
from llmstress.engine.telemetry.messages import Delta, Window
from llmstress.engine.telemetry.threshold_words import judgement_words
from llmstress.engine.telemetry.thresholds import Judgement, Threshold


def check_thresholds(thresholds: Sequence[Threshold], windows: Sequence[Window]) -> None:
    """Check that each threshold judges a window of the run.

    Raises:
        UsageError: there is no such window, or it is shorter than one stretch of the threshold.
    """
    for each in thresholds:
        flag = "--abort-if" if each.abort else "--fail-if"
        covered = [window for window in covered_by(each, windows) if not _is_empty(window)]
        if not covered:
            labels = ", ".join(repr(window.label) for window in windows if not _is_empty(window))
            raise UsageError(f"{flag} {each.text}: the run has no window {each.window!r}; it has {labels}")
        begin, end = covered[0].begin, covered[-1].end
        needed_s = each.after_s + each.over_s
        if begin is not None and end is not None and needed_s and end - begin < needed_s * 1e9:
            length = f"{(end - begin) / 1e9:g} s"
            raise UsageError(f"{flag} {each.text}: only {length} are judged, and the threshold needs {needed_s:g} s")


def _is_empty(window: Window) -> bool:
    return window.begin is not None and window.begin == window.end


class Gate:
    """Judges the thresholds of one run."""

    def __init__(self, thresholds: Sequence[Threshold], view: RunView, announcer: Announcer) -> None:
        self._judge = Judge(thresholds)
        self._aborts = any(each.abort for each in thresholds)
        self._is_empty = not thresholds
        self._view = view
        self._announcer = announcer
        self._next_ns = 0
        self._told: set[str] = set()

    def add(self, delta: Delta) -> None:
        """Collect what `delta` contains; the view has taken it in."""
        self._judge.add(delta, self._view)

    def crossed(self) -> Judgement | None:
        """The threshold of `--abort-if` that has failed; looked for once in each interval of the reports."""
        if not self._aborts or self._view.aggregate.elapsed_ns < self._next_ns:
            return None
        self._next_ns = self._view.aggregate.elapsed_ns + int(self._view.facts.interval_s * 0.5e9)
        for judgement in self._judge.judgements(self._view, only_abort=True):
            if judgement.state == "failed":
                self._judge.keep(judgement)
                return judgement
        return None

    def publish(self) -> None:
        """Judge all thresholds, publish the judgements if they have changed, and log those that fail for the first
        time."""
        if self._is_empty:
            return
        judgements = tuple(self._judge.judgements(self._view))
        if judgements != self._view.judgements:
            self._announcer.publish(Judgements(judgements))
        for each in judgements:
            if each.state == "failed" and each.threshold.text not in self._told:
                self._told.add(each.threshold.text)
                self._announcer.notice("warning", f"{each.threshold.text}: {judgement_words(each)}")
