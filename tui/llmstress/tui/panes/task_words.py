"""What the tasks pane says in words: its title, and the lines about the selected task or step. Pure functions."""

from collections.abc import Mapping

from textual.content import Content

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.broadcast import RunView
from llmstress.engine.telemetry.by_task import NamedFigures, StepFigures, TaskFigures
from llmstress.engine.telemetry.flows import DURATION
from llmstress.engine.telemetry.histogram import distribution_of
from llmstress.engine.telemetry.outcomes import describe_outcome
from llmstress.tui.charts.by_task import percentile_text
from llmstress.tui.format.load import measured_name
from llmstress.tui.format.picture import Picture
from llmstress.tui.panes.task_rows import TaskRow


def share_text(share: float) -> str:
    """A share with one decimal: `33.3 %`, `100 %`, `<0.1 %`."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    return f"{100 * share:.1f} %".replace(".0 %", " %")


def about(row: TaskRow, view: RunView, hint: str = "") -> Content:
    """What else is known of a task or a step: target, requests of the whole run, SLOs, tokens. `hint`: what a key does;
    empty: nothing."""
    figures = row.figures
    begin, said = (figures.name, ""), list[str]()
    match figures:
        case TaskFigures(facts=facts):
            begin = (facts.name, " · ".join(each for each in (facts.api, facts.model, facts.url) if each))
            said = [*_session_words(figures), *_slo_words(figures, view)]
        case StepFigures(facts=step):
            named = f"{'step ' if step.flow else ''}{step.step}{f' of the task {step.task}' if step.task else ''}"
            begin = (step.path, f"{named}; thresholds use this name")
            said = _missed_words(figures.goodput.missed, figures.ok, view)
    lines = [
        Content.assemble((begin[0], "bold"), f"  {begin[1]}"),
        Content(f"{_started_words(figures)}; {describe_outcome(figures.whole)}"),
    ]
    if more := [*said, *_token_words(figures), *filter(None, [hint])]:
        lines.append(Content("; ".join(more)))
    return Content("\n").join(lines)


def _started_words(figures: NamedFigures) -> str:
    n = figures.whole.counters.started
    requests = f"{formatting.count(n)} request{'' if n == 1 else 's'}"
    if not isinstance(figures, TaskFigures):
        return f"{requests} started" if n else "no request started yet"
    if figures.started_share is None:
        return "no request started yet"
    shares = f"share {share_text(figures.started_share)}, asked for {share_text(figures.asked_share)}"
    if figures.unit == "requests":
        return f"{requests} started ({shares})"
    unit = figures.unit if figures.begun != 1 else figures.unit[:-1]
    return f"{formatting.count(figures.begun)} {unit} started ({shares}), with {requests}"


def _session_words(task: TaskFigures) -> list[str]:
    """How the flows or conversations of a task ended."""
    if task.unit == "requests":
        return []
    whole = task.whole.counters
    ends = [f"{formatting.count(whole.sessions_completed)} completed"]
    others = ((whole.sessions_failed, "failed"), (whole.sessions_overflowed, "overflowed"))
    ends += [f"{formatting.count(n)} {name}" for n, name in others if n]
    words = f"{task.unit}: {', '.join(ends)}"
    if (durations := task.steady.aside.get(DURATION)) is not None and durations.count:
        found = distribution_of(durations)
        p50, p99 = (percentile_text(found, name) for name in ("p50", "p99"))
        words += f"; whole flow p50 {p50}, p99 {p99}"
    return [words]


def _slo_words(task: TaskFigures, view: RunView) -> list[str]:
    slos, good = task.facts.slos, task.goodput
    if not slos or not task.ok:
        return list(slos)
    return _missed_words({slo: good.missed.get(slo, 0) for slo in slos}, task.ok, view, good.unknown)


def _missed_words(missed: Mapping[str, int], ok: int, view: RunView, unknown: int = 0) -> list[str]:
    if not missed or not ok:
        return []
    of = formatting.count(ok)
    words = [f"{slo} missed by {formatting.count(n)} of {of}" for slo, n in missed.items()]
    words += [f"{formatting.count(unknown)} can't be judged"] if unknown else []
    return [f"{measured_name(view)}: {', '.join(words)}"]


def _token_words(task: NamedFigures) -> list[str]:
    counters, words = task.whole.counters, list[str]()
    if counters.cached_input:
        share = formatting.share(counters.cached_input, counters.input)
        words.append(f"{share} of its input came from the server's cache")
    by_events = task.whole.ended.get("ok", 0) - counters.usage_seen - counters.tokens_unknown
    if counters.events and by_events > 0:
        words.append(f"without usage: {formatting.count(by_events)} answers, whose events are counted as tokens")
    return words


def title_of(picture: Picture) -> Content:
    """How many tasks there are, and which time the figures cover."""
    view = picture.view
    name, facts = measured_name(view), view.facts
    since = f"{name} {formatting.duration(round(view.steady_s))}" if view.steady_s > 0 else f"{name} (not begun)"
    share = "share of what began" if facts.steps else "share"  # a session counts as one, a rate counts its requests
    of_run = f"{share}, failed" if facts.tasks else "failed"
    counts = "" if facts.whole_run else f" · {of_run}: whole run"
    # without a mix there are steps only in conversations: a flow is a task
    what, number = ("tasks", len(facts.tasks)) if facts.tasks else ("turns", len(facts.steps))
    return Content.assemble((what, "bold"), f" · {number} · {since}{counts}")
