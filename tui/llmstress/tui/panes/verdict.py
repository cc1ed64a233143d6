"""The verdict in full: what became of the requests, whether the figures can be trusted, and everything said of it."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen

from llmstress.engine.telemetry.outcomes import describe_outcome
from llmstress.tui.format.headline import QUIET
from llmstress.tui.format.picture import Picture
from llmstress.tui.format.words import OUTCOMES, VERDICTS
from llmstress.tui.widgets.text import TextBlock


def verdict_text(picture: Picture) -> Content:
    """Outcome and measurement, with every reason and note in full."""
    verdict = picture.verdict
    outcome_sign, outcome_style = OUTCOMES[picture.outcome]
    sign, style = VERDICTS[verdict.status]
    if picture.outcome == "bad" and verdict.status == "valid":
        style = ""  # see `headline.measurement_line`
    outcome = f"{outcome_sign} {describe_outcome(picture.view.aggregate.ended())}"
    parts = [
        Content.assemble("outcome: ", (outcome, f"bold {outcome_style}")),
        Content.assemble("\n\nmeasurement: ", (f"{sign} {verdict.status}", f"bold {style}".strip())),
        Content.assemble("\n", (_MEANS.get(verdict.status, ""), QUIET)),
    ]
    for title, lines in (("why", verdict.reasons), ("to know", verdict.notes)):
        if lines:
            parts.append(Content.assemble("\n\n", (title, "bold underline")))
            parts += [Content(f"\n• {line}") for line in lines]
    return Content("").join(parts)


_MEANS = {
    "none yet": "the steady window has not begun",
    "valid": "this client kept up: the figures describe the server and the connection to it",
    "degraded": "the figures may be off, for the reasons below",
    "invalid": "measurements are missing, so don't use the figures: see the reasons below",
}


class VerdictPage(ModalScreen[None]):
    """A page over the screen, kept up to date."""

    AUTO_FOCUS = "VerticalScroll"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,v,enter", "close", show=False)]

    def __init__(self, picture: Picture) -> None:
        super().__init__()
        self._text = TextBlock(grows=True)
        self._picture = picture

    def compose(self) -> ComposeResult:
        """A box that scrolls."""
        with VerticalScroll(classes="box") as box:
            box.border_title = "verdict"
            box.border_subtitle = "↑ ↓ scroll, v or esc closes"
            yield self._text

    def on_mount(self) -> None:
        """Show what is known so far."""
        self.show(self._picture)

    def show(self, picture: Picture) -> None:
        """Show the verdict of `picture`."""
        self._text.set_text(verdict_text(picture))

    def action_close(self) -> None:
        """Back to the run."""
        self.dismiss(None)
