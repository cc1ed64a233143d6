"""The verdict page: outcome of the requests, status of the measurement with all reasons and notes, and thresholds."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen

from llmstress.engine.telemetry.outcomes import describe_outcome
from llmstress.tui.format.headline import QUIET
from llmstress.tui.format.judged_lines import threshold_lines
from llmstress.tui.format.picture import Picture
from llmstress.tui.format.words import OUTCOMES, VERDICTS
from llmstress.tui.widgets.text import TextBlock


def verdict_text(picture: Picture) -> Content:
    """Outcome and measurement, with every reason and note in full, and every threshold."""
    verdict = picture.verdict
    outcome_sign, outcome_style = OUTCOMES[picture.outcome]
    sign, style = VERDICTS[verdict.status]
    if picture.outcome == "bad" and verdict.status == "valid":
        style = ""  # no green for a failed run, as in `headline.measurement_line`
    outcome = f"{outcome_sign} {describe_outcome(picture.view.aggregate.whole)}"
    parts = [
        Content.assemble("outcome: ", (outcome, f"bold {outcome_style}")),
        Content.assemble("\n\nmeasurement: ", (f"{sign} {verdict.status}", f"bold {style}".strip())),
        Content.assemble("\n", (_MEANS.get(verdict.status, ""), QUIET)),
    ]
    for title, lines in (("reasons", verdict.reasons), ("notes", verdict.notes)):
        if lines:
            parts.append(Content.assemble("\n\n", (title, "bold underline")))
            parts += [Content(f"\n• {line}") for line in lines]
    if picture.view.judgements:
        parts.append(Content.assemble("\n\n", ("thresholds", "bold underline")))
        for line in threshold_lines(picture.view.judgements):
            parts.append(Content.assemble("\n", *line))
    return Content("").join(parts)


_MEANS = {
    "none yet": "the steady window has not begun",
    "valid": "this client kept up: the figures describe the server and the connection to it",
    "degraded": "the figures may be wrong for the reasons below",
    "invalid": "measurements are missing for the reasons below: don't use the figures",
}


class VerdictPage(ModalScreen[None]):
    """The verdict page, shown over the screen and kept up to date."""

    AUTO_FOCUS = "VerticalScroll"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,v,enter", "close", show=False)]

    def __init__(self, picture: Picture) -> None:
        super().__init__()
        self._text = TextBlock(grows=True)
        self._picture = picture

    def compose(self) -> ComposeResult:
        """A scrollable box."""
        with VerticalScroll(classes="box") as box:
            box.border_title = "verdict"
            box.border_subtitle = "↑ ↓ scroll, v or esc closes"
            yield self._text

    def on_mount(self) -> None:
        """Show the first picture."""
        self.show(self._picture)

    def show(self, picture: Picture) -> None:
        """Show the verdict of `picture`."""
        self._text.set_text(verdict_text(picture))

    def action_close(self) -> None:
        """Close the page."""
        self.dismiss(None)
