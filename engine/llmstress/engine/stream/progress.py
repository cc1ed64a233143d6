"""Where the run of one process is: which window a stamp lies in, and how many requests are in flight."""

from bisect import bisect_right
from collections.abc import Sequence

from llmstress.engine.telemetry.messages import Phase, Window

NEVER = 1 << 63
"""A time that doesn't come (ns)."""


class Progress:
    """The windows of a run with their limits as stamps (ns), and the window that lasts.

    The window is entered when a stamp first reaches `edge`, not when the time comes: reads that wait to be parsed have
    older stamps.
    """

    __slots__ = (
        "_edges",
        "_first_steady",
        "_t0",
        "_windows",
        "answered",
        "edge",
        "most_open",
        "most_waiting",
        "open",
        "steady_began",
        "waiting",
        "window",
        "window_began",
    )

    def __init__(self) -> None:
        self.edge = NEVER
        """Stamps from this one on belong to a later window."""
        self.window = 0
        """Index of the window that lasts."""
        self.window_began = 0
        """Its begin; 0 for the first one."""
        self.open = 0
        """Requests of the load in flight."""
        self.most_open = 0
        """Most requests in flight at any moment since the last cut."""
        self.waiting = 0
        """Requests that have arrived and wait for a stream or a connection (open model)."""
        self.most_waiting = 0
        """The most of them at any moment since the last cut."""
        self.steady_began = NEVER
        """Begin of the first steady window."""
        self.answered = False
        """Whether any request of the load has ended ok."""
        self._t0 = 0
        self._windows: Sequence[Window] = ()
        self._edges: list[int] = []  # begins of all windows but the first
        self._first_steady = 0

    def begin(self, t0: int, windows: Sequence[Window]) -> None:
        """The run starts at stamp `t0` and has these windows. Begins that are None are decided later."""
        self._t0 = t0
        self._windows = windows
        self._edges = [NEVER if window.begin is None else t0 + window.begin for window in windows[1:]]
        self._first_steady = next(window.index for window in windows if window.kind is Phase.STEADY)
        self._note_steady()
        self.enter(t0)

    def window_at(self, stamp: int) -> int:
        """Index of the window in which a stamp lies."""
        return bisect_right(self._edges, stamp)

    def enter(self, stamp: int) -> None:
        """The window of this stamp lasts from now on."""
        self.window = self.window_at(stamp)
        self.window_began = self._edges[self.window - 1] if self.window else 0
        self.edge = self._edges[self.window] if self.window < len(self._edges) else NEVER

    @property
    def steady_has_begun(self) -> bool:
        """The first steady window has begun: from now on requests count towards `--requests`."""
        return self.window >= self._first_steady

    @property
    def drains(self) -> bool:
        """The last window has begun."""
        return self.window == len(self._edges)

    def set_windows(self, windows: Sequence[Window]) -> None:
        """The windows are known better, or there are more of them. Those that have begun stay as they are; changes
        nothing once the drain has begun."""
        if self.drains:
            return
        begun = self._edges[: self.window]
        self._windows = windows
        self._edges = begun + [
            NEVER if window.begin is None else self._t0 + window.begin for window in windows[self.window + 1 :]
        ]
        self.edge = self._edges[self.window]
        self._note_steady()

    def _note_steady(self) -> None:
        self.steady_began = self._edges[self._first_steady - 1] if self._first_steady else self._t0

    def drain_from(self, stamp: int) -> None:
        """The drain begins at `stamp`, unless it has begun before; windows that would begin later are passed over."""
        if stamp < self._edges[-1]:
            self._edges = [min(edge, stamp) for edge in self._edges]

    def lengths(self, stamp: int) -> tuple[int, int]:
        """How long steady windows and drain have lasted by `stamp`, in ns."""
        begins = [self._t0, *self._edges]
        ends = [*self._edges, stamp]
        steady = sum(
            max(0, min(ends[window.index], stamp) - begins[window.index])
            for window in self._windows
            if window.kind is Phase.STEADY
        )
        return steady, max(0, stamp - self._edges[-1])
