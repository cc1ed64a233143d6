"""The run that the screen follows: its view, kept up to date from a source, and whether it can still be reached."""

import time
from collections.abc import AsyncIterator

from llmstress.engine.telemetry.broadcast import Frame, RunView
from llmstress.engine.telemetry.sanitize import sanitize_frame, sanitize_text
from llmstress.tui.sources.source import Playback, Source, SourceLost

SILENCE_S, SILENT_REPORTS = 3.0, 2.5
"""A live run counts as silent after this time, and this many of its workers' report intervals, without a message."""


class FollowedRun:
    """The latest view of a run, and the state of the connection to it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.view: RunView | None = None
        """None: no keyframe has arrived yet."""
        self.version = 0
        """Number of frames so far; changes whenever `view` does."""
        self.last_frame_at = 0.0
        """Stamp (s) of the last frame."""
        self.lost = ""
        """Why the run can't be followed any more; empty: it can."""

    async def frames(self) -> AsyncIterator[Frame]:
        """Every frame, sanitized and already applied to `view`. Ends when the run is lost; `lost` then says why."""
        try:
            async for received in self.source.frames():
                self.last_frame_at = time.monotonic()
                frame = sanitize_frame(received)
                if isinstance(frame, RunView):
                    self.view = frame
                elif self.view is not None:
                    self.view.apply(frame)
                self.version += 1
                yield frame
        except SourceLost as error:
            self.lost = sanitize_text(str(error))
        except (LookupError, ValueError) as error:
            self.lost = f"its messages are inconsistent ({sanitize_text(repr(error))})"

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self.view is not None and self.view.ended is not None

    @property
    def playback(self) -> Playback | None:
        """Controls of a recorded run; None: the run is live."""
        return self.source.playback

    @property
    def can_save(self) -> bool:
        """Whether a coordinator can write the summary. It stays available until its own screen is left."""
        return self.source.controls and not self.lost

    @property
    def can_steer(self) -> bool:
        """Whether commands reach the run and have an effect."""
        return self.can_save and not self.over

    def steering_obstacle(self) -> str:
        """Why the run can't be steered; empty: it can."""
        if self.playback is not None:
            return "this is a replay"
        if not self.source.controls:
            return "view only: start attach with --control"
        if self.lost:
            return "the run can no longer be reached"
        return "the run is over" if self.over else ""

    def silent_s(self) -> int:
        """Seconds since the last frame of a live run, if that is unusually long; else 0."""
        view = self.view
        if view is None or self.over or self.lost or self.playback is not None or not view.facts.started_at:
            return 0
        silent_s = time.monotonic() - self.last_frame_at
        return int(silent_s) if silent_s > max(SILENCE_S, SILENT_REPORTS * view.facts.interval_s) else 0
