"""The help page: all keys, and what the figures mean."""

from typing import ClassVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from llmstress.engine.telemetry.metrics import EXPLAINED, METRICS
from llmstress.tui.format.words import VERDICTS

LOOKING = (
    ("1 … 5", "overview, latency, workers, errors, log"),
    ("6", "curve: what each stage, or each point of a sweep, has achieved (only in runs that have several)"),
    ("7", "tasks: what each task of a mix, step or turn has achieved (only in runs that have them)"),
    ("↑ ↓", "choose a row; tab goes to the text below a table"),
    ("o  O", "workers: sort by the next column, reverse the order"),
    ("v", "the verdict in full: every reason and note, and every threshold"),
    ("w", "switch between figures of the last seconds and of the steady window, as in the summary"),
    ("c  C", "overview: next chart on the left, on the right; c on the curve and on tasks: the next chart"),
    ("t", "switch between dark and light"),
    ("e", "save an image of the screen (SVG, and PNG if a converter is installed)"),
    ("?", "this page; any of ? q esc closes it"),
)
STEERING = (
    ("q", "end the run: start no new requests, finish the open ones; asks first"),
    ("Q", "end the run at once; asks first"),
    ("ctrl+c", "end the run without asking; a second time ends it at once"),
    ("p", "pause: no new requests until p is pressed again"),
    ("+ -", "increase or reduce the number of streams, or the rate, by a tenth"),
    ("] [", "increase or reduce it by half"),
    ("=", "type the number of streams, or the rate"),
    ("k", "end this stage of the load and begin the next one; asks first"),
    ("s", "save the summary as it is now, also after the end"),
    ("d", "detach: leave the screen; the run continues"),
)
WATCHING = (("q  d", "leave; the run continues"),)
REPLAYING = (
    ("space", "pause and continue"),
    ("< >", "half, double speed"),
    ("← →", "5 s back, forward; with shift 30 s"),
    ("home  end", "the start, the end"),
    ("g", "go to a position: 5 (halfway), 1:23:45 or 1h20m"),
    ("z", "zoom the charts: the last hour, 10 minutes, minute, or the whole run so far"),
    ("q  d", "leave"),
)
KEYS_WIDTH = 12
MEANINGS = (
    *((METRICS[name].label, METRICS[name].meaning) for name in EXPLAINED),
    ("…_due", "the same, counted from when the request was due: waits and failed attempts included"),
    ("p99", "99 of 100 were at most this long"),
    ("~", "low sample count for this percentile: don't rely on it; –: too few samples for any value"),
    ("last 5 s", "latencies cover a longer period, up to 60 s, until their p99 has 100 samples; the screen shows it"),
    ("open", "requests in flight, and the number of streams wanted"),
    ("outcome", "how the requests of the whole run ended"),
    ("measurement", "whether the figures are reliable; it judges this client and the connection, not the server:"),
    (f"  {VERDICTS['valid'][0]} valid", "the client kept up"),
    (
        f"  {VERDICTS['degraded'][0]} degraded",
        "the client was late or busy, or answers arrived in blocks or were cut off: latencies may be wrong",
    ),
    (f"  {VERDICTS['invalid'][0]} invalid", "a process was lost: counts are too low"),
    ("!", "a worker that exceeds the verdict's limits for CPU use or event loop lag"),
)


def help_page(*, steering: bool, replay: bool, accent: str) -> Group:
    """The help page with the keys that work here; `accent`: colour of the keys."""
    own = ("This replay", REPLAYING) if replay else ("The run", STEERING if steering else WATCHING)
    parts: list[RenderableType] = []
    for title, rows in (own, ("Views", LOOKING), ("What the figures mean", MEANINGS)):
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(width=KEYS_WIDTH)
        for left, right in rows:
            table.add_row(Text(left, f"bold {accent}"), Text(right))
        parts += [Text(title, "bold underline"), table, Text("")]
    if not steering and not replay:
        parts.append(Text("View only: attach with --control to steer the run."))
    parts.append(Text("TEXTUAL_THEME=textual-light starts with the light theme; NO_COLOR=1 turns colours off."))
    return Group(*parts)


class Help(ModalScreen[None]):
    """The help page, shown over the screen."""

    AUTO_FOCUS = "VerticalScroll"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter", "close", show=False)]

    def __init__(self, *, steering: bool, replay: bool) -> None:
        super().__init__()
        self._steering = steering
        self._replay = replay

    def compose(self) -> ComposeResult:
        """A scrollable box."""
        with VerticalScroll(classes="box") as box:
            box.border_title = "help"
            accent = self.app.theme_variables.get("text-accent", "")
            yield Static(help_page(steering=self._steering, replay=self._replay, accent=accent), markup=False)

    def action_close(self) -> None:
        """Close the page."""
        self.dismiss(None)
