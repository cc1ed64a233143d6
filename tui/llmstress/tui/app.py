"""The screen of one run: follows a source, shows pictures of it, and turns keys into commands."""

import asyncio
import time
from pathlib import Path
from typing import ClassVar, Protocol

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import ContentSwitcher, Static
from textual.widgets._toast import ToastRack

from llmstress.engine.telemetry import broadcast
from llmstress.engine.telemetry.aggregate import Notice
from llmstress.engine.telemetry.broadcast import DETACHED, Command, RunView
from llmstress.engine.telemetry.formatting import count, duration
from llmstress.engine.telemetry.sanitize import plain, tame
from llmstress.tui import image, steering
from llmstress.tui.dialogs.ask_streams import AskStreams
from llmstress.tui.dialogs.confirm import Confirm
from llmstress.tui.dialogs.goto import GoTo
from llmstress.tui.dialogs.help import Help
from llmstress.tui.format.picture import Picture, picture_of
from llmstress.tui.format.words import ENDS
from llmstress.tui.messages import ChartsDue, FiguresDue, TabChosen
from llmstress.tui.panes import bars
from llmstress.tui.panes.bars import TABS, Banner, KeyLine, TimeLine, TopLine
from llmstress.tui.panes.errors import ErrorsPane
from llmstress.tui.panes.latency import LatencyPane
from llmstress.tui.panes.log import LogPane, pops_up, saved_in
from llmstress.tui.panes.overview import Overview
from llmstress.tui.panes.verdict import VerdictPage
from llmstress.tui.panes.workers import WorkersPane
from llmstress.tui.sources.source import Source, SourceLost
from llmstress.tui.steering import StreamsAsked
from llmstress.tui.themes import DARK, LIGHT, light_theme

FIGURES_S, CHARTS_S = 1 / 3, 1.0
"""How often figures and charts are brought up to date."""

SILENCE_S, SILENT_REPORTS = 3.0, 2.5
"""A live run that says nothing for so long, and for so many of its workers' intervals, is told of."""

TOAST_S = 4.0
MIN_TOAST_GAP_S = 0.5

ZOOMS_S = (3600.0, 600.0, 60.0)
"""Lengths of the stretches that the charts of a replay may show."""

SLOWEST, FASTEST = 0.25, 64.0
"""Speeds of a replay."""


class Pane(Protocol):
    """One tab."""

    def show(self, picture: Picture) -> None:
        """Bring the figures up to date."""

    def draw(self, picture: Picture) -> None:
        """Bring what is drawn up to date."""


class StressApp(App[int]):
    """The whole screen. Its return code is 0, or `DETACHED`."""

    TITLE = "llmstress"
    CSS_PATH = "llmstress.tcss"
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = None
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (80, "-narrow"), (100, "-normal"), (160, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"tab('{tab}')", show=False) for number, tab in enumerate(TABS, 1)),
        Binding("q,ctrl+q", "end_or_leave", show=False),
        Binding("Q", "abort", show=False),
        Binding("ctrl+c", "interrupt", show=False, priority=True),
        Binding("d", "detach", show=False),
        Binding("p", "pause", show=False),
        Binding("plus", f"streams({steering.SMALL})", show=False),
        Binding("minus", f"streams({-steering.SMALL})", show=False),
        Binding("right_square_bracket", f"streams({steering.BIG})", show=False),
        Binding("left_square_bracket", f"streams({-steering.BIG})", show=False),
        Binding("equals_sign", "ask_streams", show=False),
        Binding("s", "save", show=False),
        Binding("w", "window", show=False),
        Binding("v", "verdict", show=False),
        Binding("c", "curve('left')", show=False),
        Binding("C", "curve('right')", show=False),
        Binding("t", "theme", show=False),
        Binding("e", "image", show=False),
        Binding("question_mark", "help", show=False),
        Binding("space", "play", show=False),
        Binding("less_than_sign", "speed(0.5)", show=False),
        Binding("greater_than_sign", "speed(2.0)", show=False),
        Binding("left", "go(-5)", show=False),
        Binding("right", "go(5)", show=False),
        Binding("shift+left", "go(-30)", show=False),
        Binding("shift+right", "go(30)", show=False),
        Binding("home", "to_start", show=False),
        Binding("end", "to_end", show=False),
        Binding("g", "go_to", show=False),
        Binding("z", "zoom", show=False),
    ]

    def __init__(self, source: Source, *, save_to: Path | None = None) -> None:
        """`save_to`: where images of the screen are written; None: the current directory."""
        super().__init__()
        self.register_theme(light_theme())
        self._source = source
        self._save_to = Path.cwd() if save_to is None else save_to
        self._view: RunView | None = None
        self._version = 0
        self._heard_at = 0.0
        self._lost = ""
        self._tab = "overview"
        self._window: bool | None = None
        self._picture: Picture | None = None
        self._shown: object = None
        self._drawn: object = None
        self._asked = StreamsAsked()
        self._draining = False
        self._toast_at = 0.0
        self._imaging = asyncio.Lock()
        self._panes: dict[str, Pane] = {}

    # --- what there is

    def compose(self) -> ComposeResult:
        """One line above, the pane, a few lines below."""
        overview, latency = Overview(id="overview", classes="pane"), LatencyPane(id="latency")
        workers, errors, log = WorkersPane(id="workers"), ErrorsPane(id="errors"), LogPane(id="log")
        self._panes = {"overview": overview, "latency": latency, "workers": workers, "errors": errors, "log": log}
        self._overview = overview
        self._top, self._banner, self._keys = TopLine(), Banner(), KeyLine()
        self._time = None if self._source.player is None else TimeLine(self._source.player)
        waiting = Static("waiting for the run…", id="waiting")
        self._switcher = ContentSwitcher(
            waiting, overview, latency, workers, errors, log, initial="waiting", id="panes"
        )
        yield self._top
        yield self._switcher
        yield self._banner
        if self._time is not None:
            yield self._time
        yield self._keys

    def on_mount(self) -> None:
        """Start following and showing."""
        self._top.choose(self._tab)
        self._name_keys()
        self.run_worker(self._follow())
        self.set_interval(FIGURES_S, lambda: self.post_message(FiguresDue()))
        self.set_interval(CHARTS_S, lambda: self.post_message(ChartsDue()))

    # --- following

    async def _follow(self) -> None:
        try:
            async for frame in self._source.frames():
                self._heard_at = time.monotonic()
                frame = tame(frame)
                if isinstance(frame, RunView):
                    first, self._view = self._view is None, frame
                    if first or self._source.player is not None:
                        self._now()
                elif self._view is not None:
                    self._view.apply(frame)
                    if isinstance(frame, Notice):
                        self._toast(frame)
                self._version += 1
        except SourceLost as error:
            self._lost = plain(str(error))
        except (LookupError, ValueError) as error:
            self._lost = f"its messages are inconsistent ({plain(repr(error))})"
        self.post_message(FiguresDue())

    def _toast(self, notice: Notice) -> None:
        if pops_up(notice) and self._heard_at - self._toast_at >= MIN_TOAST_GAP_S:
            self._toast_at = self._heard_at
            self._say(notice.text, warning=notice.kind == "warning")

    # --- showing

    @property
    def _whole(self) -> bool:
        """Figures of the steady window? As chosen, else once the run is over: they are its result."""
        return self._window if self._window is not None else self._over

    @property
    def _over(self) -> bool:
        return self._view is not None and self._view.ended is not None

    @on(FiguresDue)
    def _show(self) -> None:
        if self._time is not None:
            self._time.show(cut_off=not self._over)
        silent_s = self._silent_s()
        asked = None if self._view is None else self._asked.pending(self._view)
        now = (self._version, self._whole, self._tab, silent_s, asked, self._lost)
        if now == self._shown:
            return
        self._shown = now
        with self.batch_update():
            self._say_what_matters()
            self._name_keys()
            if self._view is None:
                return
            if self._switcher.current != self._tab:
                self._switcher.current = self._tab
            self._picture = picture_of(self._view, whole=self._whole, player=self._source.player)
            self._top.show(self._picture, silent_s=silent_s, asked=asked)
            self._panes[self._tab].show(self._picture)
            if isinstance(self.screen, VerdictPage | Confirm | AskStreams):
                self.screen.show(self._picture)

    @on(ChartsDue)
    def _draw(self) -> None:
        now = (self._version, self._whole, self._tab)
        if now == self._drawn or self._view is None:
            return
        self._drawn = now
        if self._shown is None or self._picture is None:
            self._show()
        if self._picture is not None:
            with self.batch_update():
                self._panes[self._tab].draw(self._picture)

    def _now(self) -> None:
        """Don't wait for the timers."""
        self._shown = self._drawn = None
        self.post_message(FiguresDue())
        self.post_message(ChartsDue())

    def _silent_s(self) -> int:
        view = self._view
        if view is None or self._over or self._lost or self._source.player is not None or not view.facts.started_at:
            return 0
        silent_s = time.monotonic() - self._heard_at
        return int(silent_s) if silent_s > max(SILENCE_S, SILENT_REPORTS * view.facts.interval_s) else 0

    def _say_what_matters(self) -> None:
        if self._lost and not self._over:
            self._banner.show(f"✖ lost contact with the run: {self._lost} — q leaves", bad=True)
        elif self._view is not None and self._view.ended is not None:
            by = self._view.ended.by
            where = saved_in(self._view.aggregate.notices)
            save = "s saves the summary, " if self._may_save() else ""
            said = f"■ done: {ENDS.get(by, f'ended by {by}')} — {save}q leaves"
            self._banner.show(f"{said}\n  summary: {where}" if where else said)
        else:
            self._banner.show("")

    def _name_keys(self) -> None:
        replay = self._source.player is not None
        keys = bars.keys_for(self._tab, steering=self._may_steer(), saving=self._may_save(), replay=replay)
        self._keys.show(keys)

    def _say(self, text: str, *, warning: bool = False) -> None:
        self.notify(text, severity="warning" if warning else "information", timeout=TOAST_S, markup=False)

    # --- keys: looking

    @on(TabChosen)
    def _tab_chosen(self, event: TabChosen) -> None:
        self.action_tab(event.tab)

    def action_tab(self, tab: str) -> None:
        """Show another pane."""
        self._tab = tab
        self._top.choose(tab)
        if self._view is not None:
            self._switcher.current = tab
            pane = self._switcher.get_child_by_id(tab)
            self.screen_stack[0].set_focus(next(iter(pane.query("DataTable, RichLog")), None))
        self._now()

    def action_window(self) -> None:
        """The last seconds, or the steady window."""
        self._window = not self._whole
        self._now()

    def action_verdict(self) -> None:
        """Every reason of the verdict in full."""
        if self._picture is not None and len(self.screen_stack) == 1:
            self.push_screen(VerdictPage(self._picture))

    def action_curve(self, side: str) -> None:
        """Another chart on the overview."""
        if self._tab == "overview":
            self._overview.next_curve(side)

    def action_theme(self) -> None:
        """Dark, light."""
        self.theme = LIGHT if self.current_theme.dark else DARK

    def image(self) -> str:
        """What is seen, as SVG."""
        return image.self_contained(self.export_screenshot())

    def action_help(self) -> None:
        """All keys."""
        self.push_screen(Help(steering=self._source.controls, replay=self._source.player is not None))

    def action_image(self) -> None:
        """Save what is seen."""
        self.run_worker(self._save_image(), group="image")

    async def _save_image(self) -> None:
        async with self._imaging:  # one after the other, so that none shows what is said of another
            picture = await self._without_toasts()
            model = "" if self._view is None else self._view.facts.model
            try:
                path = image.write(self._save_to, model, picture)
            except OSError as error:
                self._say(f"the image could not be saved: {error}", warning=True)
                return
            png = await image.convert(path)
            self._say(f"image saved as {path}" + (f" and {png.name}" if png is not None else ""))

    async def _without_toasts(self) -> str:
        """What is seen but for the toasts, as SVG."""
        shown = [rack for rack in self.screen.query(ToastRack) if rack.display]
        for rack in shown:
            rack.display = False
        try:
            await self.screen.wait_for_refresh()
            return self.image()
        finally:
            for rack in shown:
                rack.display = True

    # --- keys: the run

    def action_end_or_leave(self) -> None:
        """Leave what is over or only watched, else ask whether the run is to end."""
        if not self._may_steer():
            self.exit(0)
        elif isinstance(self.screen, Confirm):
            return
        elif self._draining:
            self._say("the run is already ending; Q ends it at once, d leaves the screen")
        else:
            words = self._drain_words().capitalize()
            self.push_screen(Confirm("End the run?", f"{words}, no new ones.", "q"), self._drain_if)

    def action_abort(self) -> None:
        """Ask whether the run is to end at once."""
        if self._steers() and not isinstance(self.screen, Confirm):
            question = Confirm("End the run at once?", "Open requests are cut off and counted as cancelled.", "Q")
            self.push_screen(question, self._abort_if)

    async def action_interrupt(self) -> None:
        """Like SIGINT: drain, at once the second time; leave what is over."""
        if not self._may_steer():
            self.exit(0)
        elif self._draining:
            await self._source.send(broadcast.AbortRequested())
            self._say("ending at once", warning=True)
        else:
            await self._drain()

    def action_detach(self) -> None:
        """Leave the run to itself."""
        if self._may_steer():
            self.exit(DETACHED, return_code=DETACHED)
        else:
            self.exit(0)

    async def action_pause(self) -> None:
        """Begin no new requests, or go on."""
        if self._steers() and self._view is not None:
            await self._source.send(broadcast.PauseRequested(not self._view.paused))

    async def action_streams(self, share: float) -> None:
        """More or fewer streams."""
        if not self._steers() or self._view is None:
            return
        await self._ask_for(self._asked.step(self._view, share))

    async def action_ask_streams(self) -> None:
        """Have a number of streams typed."""
        if self._steers() and self._view is not None and len(self.screen_stack) == 1:
            self.push_screen(AskStreams(self._asked.wanted(self._view)), self._set_streams)

    async def _set_streams(self, total: int | None) -> None:
        if total is not None and self._view is not None and self._steers():
            await self._ask_for(self._asked.set(self._view, total))

    async def _ask_for(self, total: int | None) -> None:
        if total is None:
            self._say("no worker is running: nothing to change")
            return
        await self._source.send(broadcast.StreamsRequested(total))
        self.post_message(FiguresDue())

    async def action_save(self) -> None:
        """Have the summary written as it is now, also after the end."""
        if self._may_save():
            await self._source.send(broadcast.SaveRequested())
        elif self._over and self._view is not None and self._source.controls:
            where = saved_in(self._view.aggregate.notices)
            self._say(f"the summary is in {where}" if where else "the run is over and can no longer be reached")
        else:
            self._steers()

    def _may_save(self) -> bool:
        """Whether a coordinator is there that can write the summary: it stays until its own screen is left."""
        return self._source.controls and not self._lost

    def _may_steer(self) -> bool:
        return self._source.controls and not self._over and not self._lost

    def _steers(self) -> bool:
        """Whether commands reach the run; says why if they don't."""
        if self._source.player is not None:
            self._say("this is a replay")
        elif not self._source.controls:
            self._say("view only: start attach with --control")
        elif self._lost:
            self._say("the run can no longer be reached", warning=True)
        elif self._over:
            self._say("the run is over")
        return self._may_steer()

    async def _drain_if(self, yes: bool | None) -> None:
        if yes and self._may_steer():
            await self._drain()

    async def _abort_if(self, yes: bool | None) -> None:
        if yes:
            await self._send(broadcast.AbortRequested())

    async def _drain(self) -> None:
        self._draining = True
        await self._source.send(broadcast.DrainRequested())
        self._say(self._drain_words())

    async def _send(self, command: Command) -> None:
        if self._may_steer():
            await self._source.send(command)

    def _drain_words(self) -> str:
        if self._view is None:
            return "finishing open requests"
        up_to = duration(self._view.facts.grace_s)
        return f"finishing {count(self._view.aggregate.open)} open requests (up to {up_to})"

    # --- keys: a replay

    def action_play(self) -> None:
        """Pause, go on."""
        if (player := self._source.player) is not None:
            player.paused = not player.paused
            self._now()

    def action_speed(self, factor: float) -> None:
        """Faster, slower."""
        if (player := self._source.player) is not None:
            player.speed = min(max(player.speed * factor, SLOWEST), FASTEST)
            self._now()

    def action_go(self, seconds: float) -> None:
        """Back, ahead."""
        if (player := self._source.player) is not None:
            player.seek(player.position_s + seconds)
            self._now()

    def action_to_start(self) -> None:
        """From the start."""
        if (player := self._source.player) is not None:
            player.seek(0.0)
            self._now()

    def action_to_end(self) -> None:
        """To the end, which is the result of the run."""
        if (player := self._source.player) is not None:
            player.seek(player.length_s)
            self._now()

    def action_go_to(self) -> None:
        """To a moment that is typed."""
        if (player := self._source.player) is not None and not isinstance(self.screen, GoTo):
            self.push_screen(GoTo(player.length_s), self._go_to)

    def _go_to(self, moment_s: float | None) -> None:
        if (player := self._source.player) is not None and moment_s is not None:
            player.seek(moment_s)
            self._now()

    def action_zoom(self) -> None:
        """Charts of a shorter stretch before the position; after the shortest one of all again."""
        if (player := self._source.player) is not None:
            limit = player.length_s if player.zoom_s is None else player.zoom_s
            player.zoom_s = next((zoom_s for zoom_s in ZOOMS_S if zoom_s < limit), None)
            self._say("charts: all so far" if player.zoom_s is None else f"charts: the last {duration(player.zoom_s)}")
            self._now()
