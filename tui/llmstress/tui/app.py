"""The screen of one run: follows a source, shows the current state, and turns keys into commands."""

import asyncio
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import ContentSwitcher, Static
from textual.widgets._toast import ToastRack

from llmstress.engine.telemetry import broadcast
from llmstress.engine.telemetry.aggregate import Notice
from llmstress.engine.telemetry.broadcast import DETACHED, Command, RunView
from llmstress.engine.telemetry.formatting import count, duration
from llmstress.tui import image, steering
from llmstress.tui.dialogs.ask_load import AskLoad
from llmstress.tui.dialogs.confirm import Confirm
from llmstress.tui.dialogs.goto import GoTo
from llmstress.tui.dialogs.help import Help
from llmstress.tui.format.picture import Picture, picture_of
from llmstress.tui.messages import ChartsDue, FiguresDue, TabChosen
from llmstress.tui.panes import bars
from llmstress.tui.panes.bars import Banner, KeyLine, PlaybackLine, TopLine
from llmstress.tui.panes.curve import CurvePane
from llmstress.tui.panes.errors import ErrorsPane
from llmstress.tui.panes.latency import LatencyPane
from llmstress.tui.panes.log import LogPane, shows_toast, summary_path
from llmstress.tui.panes.overview import Overview
from llmstress.tui.panes.pane import Pane
from llmstress.tui.panes.tabs import ALL_TABS, CURVE, FURTHER, TASKS, further_tabs
from llmstress.tui.panes.tasks import TasksPane
from llmstress.tui.panes.verdict import VerdictPage
from llmstress.tui.panes.workers import WorkersPane
from llmstress.tui.sources.followed_run import FollowedRun
from llmstress.tui.sources.source import Source
from llmstress.tui.steering import RequestedLoad
from llmstress.tui.themes import DARK, LIGHT, light_theme

FIGURES_S, CHARTS_S = 1 / 3, 1.0
"""Intervals at which figures and charts are updated."""

TOAST_S = 4.0
MIN_TOAST_GAP_S = 0.5

ZOOMS_S = (3600.0, 600.0, 60.0)
"""Lengths of time to which the charts of a replay can be zoomed."""

SLOWEST, FASTEST = 0.25, 64.0
"""Limits of the speed of a replay."""


class StressApp(App[int]):
    """The screen. Its exit code is 0, or `DETACHED` if the user left while the run continues."""

    TITLE = "llmstress"
    CSS_PATH = "llmstress.tcss"
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = None
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (80, "-narrow"), (100, "-normal"), (160, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"tab('{tab}')", show=False) for number, tab in enumerate(ALL_TABS, 1)),
        Binding("q,ctrl+q", "end_or_leave", show=False),
        Binding("Q", "abort", show=False),
        Binding("ctrl+c", "interrupt", show=False, priority=True),
        Binding("d", "detach", show=False),
        Binding("p", "pause", show=False),
        Binding("plus", f"change({steering.SMALL_STEP})", show=False),
        Binding("minus", f"change({-steering.SMALL_STEP})", show=False),
        Binding("right_square_bracket", f"change({steering.LARGE_STEP})", show=False),
        Binding("left_square_bracket", f"change({-steering.LARGE_STEP})", show=False),
        Binding("equals_sign", "ask_load", show=False),
        Binding("k", "next_stage", show=False),
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
        """`save_to`: directory for images of the screen; None: the current directory."""
        super().__init__()
        self.register_theme(light_theme())
        self._run = FollowedRun(source)
        self._save_to = Path.cwd() if save_to is None else save_to
        self._tab = "overview"
        self._window: bool | None = None
        self._picture: Picture | None = None
        self._shown: object = None
        self._drawn: object = None
        self._requested = RequestedLoad()
        self._draining = False
        self._toast_at = 0.0
        self._imaging = asyncio.Lock()
        self._panes: dict[str, Pane] = {}

    # --- layout

    def compose(self) -> ComposeResult:
        """A line above, the visible pane, and a few lines below."""
        overview, latency = Overview(id="overview", classes="pane"), LatencyPane(id="latency")
        workers, errors, log = WorkersPane(id="workers"), ErrorsPane(id="errors"), LogPane(id="log")
        self._overview = overview
        self._compared: dict[str, CurvePane | TasksPane] = {CURVE: CurvePane(id=CURVE), TASKS: TasksPane(id=TASKS)}
        self._panes = {
            **{"overview": overview, "latency": latency, "workers": workers, "errors": errors, "log": log},
            **self._compared,
        }
        self._top, self._banner, self._keys = TopLine(), Banner(), KeyLine()
        self._playback_line = None if self._run.playback is None else PlaybackLine(self._run.playback)
        waiting = Static("waiting for the run…", id="waiting")
        self._switcher = ContentSwitcher(
            *(waiting, overview, latency, workers, errors, log, *self._compared.values()), initial="waiting", id="panes"
        )
        yield self._top
        yield self._switcher
        yield self._banner
        if self._playback_line is not None:
            yield self._playback_line
        yield self._keys

    def on_mount(self) -> None:
        """Start following the run and updating the screen."""
        self._top.choose(self._tab)
        self._update_keys()
        self.run_worker(self._follow())
        self.set_interval(FIGURES_S, lambda: self.post_message(FiguresDue()))
        self.set_interval(CHARTS_S, lambda: self.post_message(ChartsDue()))

    # --- following

    async def _follow(self) -> None:
        first = True
        async for frame in self._run.frames():
            if isinstance(frame, RunView):
                if first or self._run.playback is not None:
                    self._update_now()
                first = False
            elif isinstance(frame, Notice) and self._run.view is not None:
                self._toast(frame)
        self.post_message(FiguresDue())

    def _toast(self, notice: Notice) -> None:
        if shows_toast(notice) and self._run.last_frame_at - self._toast_at >= MIN_TOAST_GAP_S:
            self._toast_at = self._run.last_frame_at
            self._inform(notice.text, warning=notice.kind == "warning")

    # --- showing

    @property
    def _shows_window(self) -> bool:
        """Whether the figures are those of the steady window: as chosen, else once the run has ended."""
        return self._window if self._window is not None else self._run.over

    @on(FiguresDue)
    def _show(self) -> None:
        if self._playback_line is not None:
            self._playback_line.show(cut_off=not self._run.over)
        silent_s = self._run.silent_s()
        requested = "" if self._run.view is None else self._requested.words(self._run.view)
        now = (self._run.version, self._shows_window, self._tab, silent_s, requested, self._run.lost)
        if now == self._shown:
            return
        self._shown = now
        with self.batch_update():
            self._update_banner()
            self._update_keys()
            if self._run.view is None:
                return
            if self._switcher.current != self._tab:
                self._switcher.current = self._tab
            self._picture = picture_of(self._run.view, whole=self._shows_window, playback=self._run.playback)
            self._top.offer(further_tabs(self._run.view))
            self._top.show(self._picture, silent_s=silent_s, requested=requested)
            self._panes[self._tab].show(self._picture)
            if isinstance(self.screen, VerdictPage | Confirm | AskLoad):
                self.screen.show(self._picture)

    @on(ChartsDue)
    def _draw(self) -> None:
        now = (self._run.version, self._shows_window, self._tab)
        if now == self._drawn or self._run.view is None:
            return
        self._drawn = now
        if self._shown is None or self._picture is None:
            self._show()
        if self._picture is not None:
            with self.batch_update():
                self._panes[self._tab].draw(self._picture)

    def _update_now(self) -> None:
        """Update figures and charts without waiting for the timers."""
        self._shown = self._drawn = None
        self.post_message(FiguresDue())
        self.post_message(ChartsDue())

    def _update_banner(self) -> None:
        run = self._run
        if run.lost and not run.over:
            self._banner.show(f"✖ lost contact with the run: {run.lost} — q leaves", bad=True)
        elif run.view is not None and run.view.ended is not None:
            self._banner.show(bars.ended_text(run.view, can_save=run.can_save))
        else:
            self._banner.show("")

    def _update_keys(self) -> None:
        run = self._run
        replay = run.playback is not None
        self._keys.show(bars.keys_for(self._tab, run.view, steering=run.can_steer, saving=run.can_save, replay=replay))

    def _inform(self, text: str, *, warning: bool = False) -> None:
        self.notify(text, severity="warning" if warning else "information", timeout=TOAST_S, markup=False)

    # --- keys: views

    @on(TabChosen)
    def _tab_chosen(self, event: TabChosen) -> None:
        self.action_tab(event.tab)

    def action_tab(self, tab: str) -> None:
        """Show another pane."""
        if tab in FURTHER and tab not in further_tabs(self._run.view):
            self._inform(FURTHER[tab].missing)
            return
        self._tab = tab
        self._top.choose(tab)
        if self._run.view is not None:
            self._switcher.current = tab
            pane = self._switcher.get_child_by_id(tab)
            self.screen_stack[0].set_focus(next(iter(pane.query("DataTable, RichLog")), None))
        self._update_now()

    def action_window(self) -> None:
        """Switch between figures of the last seconds and of the steady window."""
        self._window = not self._shows_window
        self._update_now()

    def action_verdict(self) -> None:
        """Show every reason and note of the verdict."""
        if self._picture is not None and len(self.screen_stack) == 1:
            self.push_screen(VerdictPage(self._picture))

    def action_curve(self, side: str) -> None:
        """Show the next chart on one side of the overview, or of the curve or the tasks."""
        if self._tab == "overview":
            self._overview.next_curve(side)
        elif self._tab in self._compared:
            self._compared[self._tab].next_chart()

    def action_theme(self) -> None:
        """Switch between the dark and the light theme."""
        self.theme = LIGHT if self.current_theme.dark else DARK

    def image(self) -> str:
        """The screen as SVG."""
        return image.self_contained(self.export_screenshot())

    def action_help(self) -> None:
        """Show all keys and what the figures mean."""
        self.push_screen(Help(steering=self._run.source.controls, replay=self._run.playback is not None))

    def action_image(self) -> None:
        """Save an image of the screen."""
        self.run_worker(self._save_image(), group="image")

    async def _save_image(self) -> None:
        async with self._imaging:  # one at a time, so that no image shows the message about another
            picture = await self._without_toasts()
            model = "" if self._run.view is None else self._run.view.facts.model
            try:
                path = image.write(self._save_to, model, picture)
            except OSError as error:
                self._inform(f"the image could not be saved: {error}", warning=True)
                return
            png = await image.convert(path)
            self._inform(f"image saved as {path}" + (f" and {png.name}" if png is not None else ""))

    async def _without_toasts(self) -> str:
        """The screen without toasts, as SVG."""
        visible = [rack for rack in self.screen.query(ToastRack) if rack.display]
        for rack in visible:
            rack.display = False
        try:
            await self.screen.wait_for_refresh()
            return self.image()
        finally:
            for rack in visible:
                rack.display = True

    # --- keys: the run

    def action_end_or_leave(self) -> None:
        """Ask whether the run should end; leave the screen if the run has ended or is only watched."""
        if not self._run.can_steer:
            self.exit(0)
        elif isinstance(self.screen, Confirm):
            return
        elif self._draining:
            self._inform("the run is already ending; Q ends it at once, d leaves the screen")
        else:
            words = self._drain_text().capitalize()
            self.push_screen(Confirm("End the run?", f"{words}, no new ones.", "q"), self._drain_if)

    def action_abort(self) -> None:
        """Ask whether the run should end at once."""
        if self._can_steer_or_inform() and not isinstance(self.screen, Confirm):
            question = Confirm("End the run at once?", "Open requests are cut off and counted as cancelled.", "Q")
            self.push_screen(question, self._abort_if)

    async def action_interrupt(self) -> None:
        """Like SIGINT: drain; the second time end at once; leave the screen if the run has ended or is only watched."""
        if not self._run.can_steer:
            self.exit(0)
        elif self._draining:
            await self._run.source.send(broadcast.AbortRequested())
            self._inform("ending at once", warning=True)
        else:
            await self._drain()

    def action_detach(self) -> None:
        """Leave the screen; the run continues."""
        if self._run.can_steer:
            self.exit(DETACHED, return_code=DETACHED)
        else:
            self.exit(0)

    async def action_pause(self) -> None:
        """Pause or continue starting new requests."""
        if self._can_steer_or_inform() and self._run.view is not None:
            await self._run.source.send(broadcast.PauseRequested(not self._run.view.paused))

    async def action_change(self, share: float) -> None:
        """Request more or fewer streams, or a higher or lower rate; `share`: of the present load."""
        if (view := self._steerable_view()) is not None:
            await self._send_load(self._requested.step(view, share))

    async def action_ask_load(self) -> None:
        """Ask for a number of streams, or for a rate."""
        if (view := self._steerable_view()) is not None and len(self.screen_stack) == 1:
            rated = steering.steered_by(view) == "rate"
            self.push_screen(AskLoad(self._requested.wanted(view), rated=rated), self._set_load)

    async def _set_load(self, level: float | None) -> None:
        if level is not None and (view := self._steerable_view()) is not None:
            await self._send_load(self._requested.set(view, level))

    async def _send_load(self, command: Command | None) -> None:
        if command is None:
            self._inform("no worker is running: nothing to change")
            return
        await self._run.source.send(command)
        self.post_message(FiguresDue())

    def _steerable_view(self) -> RunView | None:
        """The run, if its load can be changed; if not, a message says why."""
        view = self._run.view
        if not self._can_steer_or_inform() or view is None:
            return None
        if obstacle := steering.obstacle(view):
            self._inform(obstacle)
            return None
        return view

    def action_next_stage(self) -> None:
        """Ask whether the stage that lasts should end now."""
        if not self._can_steer_or_inform() or self._picture is None or isinstance(self.screen, Confirm):
            return
        place, window = self._picture.place, self._picture.view.aggregate.window
        if place is None or place.left_s is None:
            self._inform("no stage lasts that could be ended early")
            return
        what = "the run ends" if place.last else "the next one begins"
        question = Confirm(
            f"End {place.name} now?",
            f"{what.capitalize()} at once; what was left of this stage is skipped.",
            "k",
            lambda picture: picture.view.ended is not None or picture.view.aggregate.window != window,
        )
        self.push_screen(question, self._next_stage_if)

    async def _next_stage_if(self, yes: bool | None) -> None:
        if yes and self._run.can_steer:
            await self._run.source.send(broadcast.StageRequested())

    async def action_save(self) -> None:
        """Save the summary as it is now; this also works after the end of the run."""
        if self._run.can_save:
            await self._run.source.send(broadcast.SaveRequested())
        elif self._run.over and self._run.view is not None and self._run.source.controls:
            where = summary_path(self._run.view.aggregate.notices)
            self._inform(f"the summary is in {where}" if where else "the run is over and can no longer be reached")
        else:
            self._can_steer_or_inform()

    def _can_steer_or_inform(self) -> bool:
        """Whether commands reach the run; if not, a message says why."""
        obstacle = self._run.steering_obstacle()
        if obstacle:
            self._inform(obstacle, warning=bool(self._run.lost) and self._run.source.controls)
        return not obstacle

    async def _drain_if(self, yes: bool | None) -> None:
        if yes and self._run.can_steer:
            await self._drain()

    async def _abort_if(self, yes: bool | None) -> None:
        if yes and self._run.can_steer:
            await self._run.source.send(broadcast.AbortRequested())

    async def _drain(self) -> None:
        self._draining = True
        await self._run.source.send(broadcast.DrainRequested())
        self._inform(self._drain_text())

    def _drain_text(self) -> str:
        if self._run.view is None:
            return "finishing open requests"
        up_to = duration(self._run.view.facts.grace_s)
        return f"finishing {count(self._run.view.aggregate.open)} open requests (up to {up_to})"

    # --- keys: a replay

    def action_play(self) -> None:
        """Pause or continue the replay."""
        if (playback := self._run.playback) is not None:
            playback.paused = not playback.paused
            self._update_now()

    def action_speed(self, factor: float) -> None:
        """Multiply the speed of the replay."""
        if (playback := self._run.playback) is not None:
            playback.speed = min(max(playback.speed * factor, SLOWEST), FASTEST)
            self._update_now()

    def action_go(self, seconds: float) -> None:
        """Seek relative to the current position."""
        if (playback := self._run.playback) is not None:
            playback.seek(playback.position_s + seconds)
            self._update_now()

    def action_to_start(self) -> None:
        """Seek to the start."""
        if (playback := self._run.playback) is not None:
            playback.seek(0.0)
            self._update_now()

    def action_to_end(self) -> None:
        """Seek to the end, which shows the result of the run."""
        if (playback := self._run.playback) is not None:
            playback.seek(playback.length_s)
            self._update_now()

    def action_go_to(self) -> None:
        """Ask for a position and seek to it."""
        if (playback := self._run.playback) is not None and not isinstance(self.screen, GoTo):
            self.push_screen(GoTo(playback.length_s), self._go_to)

    def _go_to(self, moment_s: float | None) -> None:
        if (playback := self._run.playback) is not None and moment_s is not None:
            playback.seek(moment_s)
            self._update_now()

    def action_zoom(self) -> None:
        """Zoom the charts to the next shorter length of time; after the shortest, show the whole run again."""
        if (playback := self._run.playback) is not None:
            limit = playback.length_s if playback.zoom_s is None else playback.zoom_s
            playback.zoom_s = next((zoom_s for zoom_s in ZOOMS_S if zoom_s < limit), None)
            self._inform(
                "charts: all so far" if playback.zoom_s is None else f"charts: the last {duration(playback.zoom_s)}"
            )
            self._update_now()
