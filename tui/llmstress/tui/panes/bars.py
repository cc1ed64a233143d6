"""The lines around the panes: tabs and state of the run above; banner, time of a replay, and keys below."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.broadcast import RunView
from llmstress.tui.format.load import place_of
from llmstress.tui.format.picture import Picture
from llmstress.tui.format.words import ENDS, OUTCOMES, VERDICTS, clock_time
from llmstress.tui.messages import TabChosen
from llmstress.tui.panes.log import summary_path
from llmstress.tui.panes.tabs import ALL_TABS, CURVE, FURTHER, TASKS
from llmstress.tui.sources.source import Playback
from llmstress.tui.steering import Steered, steered_by
from llmstress.tui.widgets.text import TextBlock


class Key(NamedTuple):
    """A key and one word for what it does."""

    key: str
    word: str


SAVE, DETACH = Key("s", "save"), Key("d", "detach")
ENDING = (Key("q", "end"), Key("p", "pause"))
CHANGING: Mapping[Steered, Key | None] = {
    "streams": Key("+ - =", "streams"),
    "rate": Key("+ - =", "rate"),
    "nothing": None,
}
"""What steers the load -> the keys that change it."""
NEXT_STAGE = Key("k", "next stage")
LOOKING = (Key("?", "help"), Key("v", "verdict"), Key("w", "window"), Key("e", "image"), Key("t", "theme"))
REPLAYING = (Key("space", "pause"), Key("< >", "speed"), Key("← →", "seek"))
LEAVING = (Key("q", "leave"),)
TAB_KEYS = {
    "overview": (Key("c C", "charts"),),
    "workers": (Key("o", "sort"),),
    CURVE: (Key("c", "chart"),),
    TASKS: (Key("c", "chart"),),
}
"""Tab -> keys that work only there."""
WINDOWED = ("overview", "latency", "workers")
"""Tabs whose figures depend on the chosen window."""


def keys_for(tab: str, view: RunView | None, *, steering: bool, saving: bool, replay: bool) -> list[Key]:
    """The keys to show, the most important first.

    Args:
        tab: The visible tab.
        view: The run; None: it is not known yet.
        steering: Whether the run can be steered.
        saving: Whether the summary can be saved.
        replay: Whether this is a replay.
    """
    looking = [key for key in LOOKING if key.key != "w" or tab in WINDOWED]
    own = TAB_KEYS.get(tab, ())
    if replay:
        return [*LEAVING, *REPLAYING, *looking[:2], *own, *looking[2:]]
    if steering:
        change = CHANGING["streams" if view is None else steered_by(view)]
        place = None if view is None else place_of(view)
        stage = NEXT_STAGE if place is not None and place.left_s is not None else None
        load = [key for key in (change, stage) if key is not None]
        return [*ENDING, *load, *looking[:2], *own, SAVE, DETACH, *looking[2:]]
    return [*LEAVING, *([SAVE] if saving else []), *looking[:2], *own, *looking[2:]]


def key_line(keys: Sequence[Key], width: int) -> Content:
    """The first keys of `keys`, as many as fit."""
    parts: list[Content] = []
    left = width - 1
    for key in keys:
        part = Content.assemble(" ", (key.key, "bold $text-accent"), f" {key.word} ")
        if part.cell_length > left:
            break
        left -= part.cell_length
        parts.append(part)
    return Content("").join(parts)


_NAMES_FROM_WIDTH, _ALL_NAMES_FROM_WIDTH = 80, 100
"""Minimum width with room for the names of all tabs, without and with tabs of some runs only."""


def status(picture: Picture, width: int, *, silent_s: int, requested: str) -> Content:
    """The state of the run, as detailed as fits.

    Args:
        picture: The current picture.
        width: Available columns.
        silent_s: Seconds without a message; 0: not unusually long.
        requested: Requested load that the run does not have yet: `→ 110 streams`; empty: no request is pending.
    """
    urgent: list[Content] = []
    if silent_s:
        urgent.append(Content.styled(f"? no news for {silent_s}s", "bold $text-error"))
    if picture.paused and picture.view.ended is None:
        urgent.append(Content.styled("‖ paused", "bold $text-warning"))
    comma = "" if picture.place is None else ","  # the name of a stage ends with a number
    stage = Content.styled(f"{picture.stage}{comma} {clock_time(picture.snapshot.elapsed_s)}", "bold")
    short, long = verdict_marks(picture)
    change = [Content.styled(requested, "bold $text-accent")] if requested else []
    shortest = [Content.styled(requested.removesuffix(" streams"), "bold $text-accent")] if requested else []
    for wanted, rest in ((change, [stage, long]), (shortest, [stage, short]), (shortest, [short])):
        whole = Content("  ").join([*urgent, *wanted, *rest])
        if whole.cell_length <= width:
            break
    return whole


def verdict_marks(picture: Picture) -> tuple[Content, Content]:
    """Measurement and outcome in a short and a longer form. The outcome is included if requests have failed. If most of
    them failed, "valid" is left out."""
    sign, colour = VERDICTS[picture.verdict.status]
    aggregate = picture.view.aggregate
    measured = [Content.styled(text, f"bold {colour}") for text in (sign, f"{sign} {picture.verdict.status}")]
    if picture.outcome not in ("mixed", "bad"):
        return measured[0], measured[1]
    failed_sign, failed_colour = OUTCOMES[picture.outcome]
    share = f"{failed_sign} {formatting.share(aggregate.failed(), aggregate.finished())}"
    short, long = (Content.styled(text, f"bold {failed_colour}") for text in (share, f"{share} failed"))
    if picture.verdict.status == "valid":
        return short, long if picture.outcome == "bad" else Content("  ").join([measured[1], long])
    return Content(" ").join([measured[0], short]), Content("  ").join([measured[1], long])


def playback_line(playback: Playback, width: int, *, cut_off: bool) -> Content:
    """State and position of a replay; `cut_off`: the record ends before the run does."""
    position, length = max(0.0, playback.position_s), max(0.0, playback.length_s)
    ended = position >= length
    sign = "■" if ended else "‖" if playback.paused else "▶"
    state = ("cut off here" if cut_off else "end") if ended else "paused" if playback.paused else "replay"
    left = f" {sign} {state} "
    right = f" {clock_time(position)} / {clock_time(length)}  ×{playback.speed:g} "
    room = max(0, width - len(left) - len(right))
    done = round(room * (position / length if length else 1.0))
    return Content.assemble(
        (left, "bold"), ("━" * done, "$text-accent"), ("─" * (room - done), "$text-muted"), (right, "bold")
    )


def ended_text(view: RunView, *, can_save: bool) -> str:
    """What the banner says about a run that has ended: why it ended, and where its summary is."""
    by = "" if view.ended is None else view.ended.by
    save = "s saves the summary, " if can_save else ""
    text = f"■ done: {ENDS.get(by, f'ended by {by}')} — {save}q leaves"
    path = summary_path(view.aggregate.notices)
    return f"{text}\n  summary: {path}" if path else text


class TabLabel(Static):
    """The label of a tab; it can be clicked."""

    def __init__(self, number: int, tab: str) -> None:
        super().__init__(id=f"tab-{tab}", markup=False)
        self._number = number
        self._tab = tab

    def update_label(self, *, chosen: bool, failed: int, short: bool) -> None:
        """Show the tab's name, with the number of failures if there are any; `short`: only its number unless chosen."""
        self.set_class(chosen, "-chosen")
        # red is not readable on the background of a chosen tab
        style = "bold" if chosen else "bold $text-error"
        if short and not chosen:
            self.update(Content.assemble(f" {self._number}", ("✖", style) if failed else "", " "))
            return
        mark = (f" ✖ {formatting.count(failed)}", style) if failed else ""
        self.update(Content.assemble(f" {self._number} {self._tab.capitalize()}", mark, " "))

    def on_click(self, event: events.Click) -> None:
        """Choose this tab."""
        event.stop()
        self.post_message(TabChosen(self._tab))


class TopLine(Horizontal):
    """The tabs and the state of the run."""

    def __init__(self) -> None:
        super().__init__(id="top")
        self._tabs = {tab: TabLabel(number, tab) for number, tab in enumerate(ALL_TABS, 1)}
        for tab in FURTHER:
            self._tabs[tab].display = False
        self._further: frozenset[str] = frozenset()
        self._status = TextBlock(id="status")
        self._chosen = ""
        self._last: tuple[Picture, int, str] | None = None
        self._failed = 0

    def compose(self) -> ComposeResult:
        """Tabs on the left, state on the right."""
        yield from self._tabs.values()
        yield self._status

    def offer(self, further: frozenset[str]) -> None:
        """Show these tabs of `FURTHER`, and hide the others."""
        if further != self._further:
            self._further = further
            for tab in FURTHER:
                self._tabs[tab].display = tab in further
            self._update_tabs()

    def choose(self, chosen: str) -> None:
        """Mark the visible tab."""
        self._chosen = chosen
        self._update_tabs()

    def show(self, picture: Picture, *, silent_s: int, requested: str) -> None:
        """Show the state in `picture`; other arguments as for `status`."""
        self._last = picture, silent_s, requested
        self._update_status()
        failed = picture.view.aggregate.failed()
        if failed != self._failed:
            self._failed = failed
            self._update_tabs()

    def on_resize(self) -> None:
        """Adapt the texts to the new width."""
        self._update_tabs()

    def _update_status(self) -> None:
        if self._last is not None:
            picture, silent_s, requested = self._last
            width = self._status.content_size.width
            self._status.set_text(status(picture, width, silent_s=silent_s, requested=requested))

    def _update_tabs(self) -> None:
        needed = _ALL_NAMES_FROM_WIDTH if self._further else _NAMES_FROM_WIDTH
        for name, tab in self._tabs.items():
            failed = self._failed if name == "errors" else 0
            tab.update_label(chosen=name == self._chosen, failed=failed, short=self.size.width < needed)
        self.call_after_refresh(self._update_status)  # what the tabs leave free has changed


class KeyLine(TextBlock):
    """The line with the most important keys."""

    def __init__(self) -> None:
        super().__init__(id="keys")
        self._keys: list[Key] = []

    def show(self, keys: list[Key]) -> None:
        """Show these keys."""
        self._keys = keys
        self.set_text(key_line(keys, self.size.width or 80))

    def on_resize(self) -> None:
        """Adapt the number of keys to the new width."""
        self.show(self._keys)


class PlaybackLine(TextBlock):
    """The line with state and position of a replay."""

    def __init__(self, playback: Playback) -> None:
        super().__init__(id="time")
        self._playback = playback

    def show(self, *, cut_off: bool) -> None:
        """Show the current position; `cut_off` as for `playback_line`."""
        self.set_text(playback_line(self._playback, self.size.width, cut_off=cut_off))


class Banner(TextBlock):
    """An important message; hidden most of the time."""

    def __init__(self) -> None:
        super().__init__(id="banner", grows=True)

    def show(self, text: str, *, bad: bool = False) -> None:
        """Show `text`; an empty one hides the line."""
        self.set_text(Content(text))
        self.set_class(bad, "-bad")
        self.display = bool(text)
