"""The lines above the figures: target, progress, measurement, outcome.

Pure functions: pieces of text with styles of the theme.
"""

import msgspec

from llmstress.engine.telemetry import formatting
from llmstress.engine.telemetry.broadcast import RunView
from llmstress.engine.telemetry.messages import Phase, Window
from llmstress.engine.telemetry.metrics import TILES
from llmstress.engine.telemetry.outcomes import describe_outcome
from llmstress.tui.format.load import Place, measured_name
from llmstress.tui.format.picture import TOO_EARLY, Picture
from llmstress.tui.format.words import OUTCOMES, VERDICTS, clock_time, spans_words
from llmstress.tui.steering import has_points

StyledText = tuple[str, str]
"""A text and its style, in Textual's words."""

QUIET = "$foreground 65%"
"""`$text-muted` works in style sheets only: in text it loses its opacity."""

_DRAIN_COLUMNS = 4
"""Width of the drain's part of the bar. The length of a drain is unknown, so the width says nothing about it."""

_LEAST_URL = 16

_LEAST_BAR = 6
"""Columns of the bar beside words about the stage."""


def shortened(text: str, width: int) -> str:
    """`text`, cut at its end to `width` columns."""
    if len(text) <= width:
        return text
    return f"{text[: width - 1]}…" if width > 0 else ""


def target_line(view: RunView, width: int) -> list[StyledText]:
    """The target, and the load; of a mix, the number of its tasks. The URL is the first to be cut."""
    facts = view.facts
    if facts.tasks:
        return [(f"{len(facts.tasks)} tasks", "bold"), (f" · {_load(view)}", QUIET)]
    rest = [each for each in (facts.api, facts.model, _load(view)) if each]
    while len(rest) > 1 and width - len("".join(f" · {each}" for each in rest)) < _LEAST_URL:
        rest.pop(0)
    tail = "".join(f" · {each}" for each in rest)
    return [(shortened(facts.url, max(0, width - len(tail))), "bold"), (tail, QUIET)]


def _load(view: RunView) -> str:
    """The processes that still run, and their wanted streams or their arrivals."""
    shares = [worker.streams for worker in view.aggregate.workers if worker.state != "lost"]
    processes = "1 process" if len(shares) == 1 else f"{formatting.count(len(shares))} processes"
    if view.facts.arrival:
        return f"{processes}, {view.facts.arrival} arrivals, at most {formatting.count(sum(shares))} in flight"
    if view.profile is not None:
        return processes
    even = len(set(shares)) == 1
    number = shares[0] if even else sum(shares)
    streams = "1 stream" if number == 1 else f"{formatting.count(number)} streams"
    return f"{processes} {'×' if even else 'for'} {streams}"


class WindowSegment(msgspec.Struct, frozen=True):
    """One window in the bar. Seconds."""

    name: str
    seconds: float
    done: float
    """The share that has passed."""
    current: bool


def window_segments(view: RunView) -> list[WindowSegment]:
    """The windows as planned, without those of no length."""
    aggregate = view.aggregate
    now_s = aggregate.elapsed_ns / 1e9
    over = view.ended is not None
    draining = aggregate.began(Phase.DRAIN) is not None
    made: list[WindowSegment] = []
    at = 0.0
    for window in aggregate.windows[:-1]:
        seconds = _length_s(window, view.facts.steady_s, now_s)
        if seconds <= 0:
            continue
        passed = min(1.0, max(0.0, (now_s - at) / seconds))
        # one whose end is open lasts as soon as it has begun; one whose begin is open has not begun
        inside = (at <= now_s < at + seconds or window.end is None) and window.begin is not None
        made.append(WindowSegment(window.label, seconds, passed, inside and not draining and not over))
        at += seconds
    name = aggregate.windows[-1].label
    return [*made, WindowSegment(name, 0.0, 1.0 if over else 0.5 if draining else 0.0, draining and not over)]


def _length_s(window: Window, steady_s: float | None, now_s: float) -> float:
    """Length of a window. If its end is open: what has passed of it, or `steady_s` for a steady window that was planned
    so long."""
    if window.begin is not None and window.end is not None:
        return (window.end - window.begin) / 1e9
    passed_s = 0.0 if window.begin is None else max(0.0, now_s - window.begin / 1e9)
    if window.kind is not Phase.STEADY:
        return passed_s
    return steady_s if steady_s is not None else max(1.0, passed_s)


def bar(share: float, width: int) -> tuple[str, str]:
    """The passed and the remaining part of a bar of `width` columns; full only at 1.0."""
    passed = min(width, int(share * width + 1e-9))
    return "━" * passed, "╌" * (width - passed)


def progress_line(picture: Picture, width: int) -> list[StyledText]:
    """The stage, the progress and the clock."""
    view = picture.view
    pieces: list[StyledText] = [(picture.stage.upper(), "bold $text-primary")]
    if picture.paused and picture.stage != "done":
        pieces.append((" ", ""))
        pieces.append((" PAUSED ", "bold reverse $text-warning"))
    clock = _clock(picture)
    room = width - sum(len(text) for text, _ in pieces) - len(clock) - 2
    detail = _place_words(picture.place, room - _LEAST_BAR - 3)
    room -= len(detail) + 3 if detail else 0
    if view.facts.requests is not None:
        body = _by_requests(view, room)
    else:
        body = _by_windows(window_segments(view), room, all_planned=not has_points(view))
    gap = max(0, room - sum(len(text) for text, _ in body))
    tail = [(f"  {detail} ", "")] if detail else []
    return [*pieces, (" ", ""), *body, *tail, (" " * (gap + 1), ""), (clock, "bold")]


def _place_words(place: Place | None, room: int) -> str:
    """How long the stage or point lasts, and its load, as far as there is room."""
    if place is None:
        return ""
    left = "" if place.left_s is None else f"{clock_time(place.left_s)} left"
    levels = f"settling at {place.levels}" if place.settling else place.levels
    whole = ", ".join(each for each in (left, levels) if each)
    return next((text for text in (whole, left) if len(text) <= room), "")


def _clock(picture: Picture) -> str:
    facts, elapsed_s = picture.view.facts, picture.snapshot.elapsed_s
    now = formatting.elapsed(elapsed_s)
    if facts.steady_s is None or picture.stage in ("drain", "done"):
        return now
    planned = picture.view.aggregate.windows[-1].begin
    end_s = facts.ramp_s + picture.view.warmup_s + facts.steady_s if planned is None else planned / 1e9
    return f"{now} of {formatting.elapsed(end_s)}"


def _by_requests(view: RunView, room: int) -> list[StyledText]:
    wanted = view.facts.requests or 1
    finished = view.aggregate.measured()
    text = f" {formatting.count(finished)} of {formatting.count(wanted)} requests"
    passed, coming = bar(finished / wanted, max(0, room - len(text)))
    return [(passed, "$text-primary"), (coming, QUIET), (text, "")]


def _by_windows(parts: list[WindowSegment], room: int, *, all_planned: bool) -> list[StyledText]:
    # a name, two spaces, and at least two columns of bar for each
    taken = sum(len(part.name) + 2 for part in parts) + _DRAIN_COLUMNS
    timed = [part for part in parts if part.seconds]
    free = room - taken
    total = sum(part.seconds for part in timed) or 1.0
    if free < 2 * len(timed):
        # no room for names: one bar for the whole run, if its length is known
        if not all_planned:
            return []
        passed, coming = bar(sum(part.seconds * part.done for part in timed) / total, max(0, room))
        return [(passed, "$text-primary"), (coming, QUIET)]
    widths = [max(2, int(free * part.seconds / total)) if part.seconds else _DRAIN_COLUMNS for part in parts]
    if timed:
        # the columns that rounding left go to the longest part
        longest = parts.index(max(timed, key=lambda part: part.seconds))
        widths[longest] = max(2, widths[longest] + free + _DRAIN_COLUMNS - sum(widths))
    pieces: list[StyledText] = []
    for part, columns in zip(parts, widths, strict=True):
        passed, coming = bar(part.done, columns)
        style = "bold $text-primary" if part.current else QUIET
        pieces += [(f"{part.name} ", style), (passed, "$text-primary"), (coming, QUIET), (" ", "")]
    return pieces[:-1]


def measurement_line(picture: Picture, width: int) -> list[StyledText]:
    """Whether the figures can be trusted, and the first reason if not."""
    verdict = picture.verdict
    sign, style = VERDICTS[verdict.status]
    if verdict is TOO_EARLY:
        return [("measurement: ", ""), (f"{sign} {verdict.status}", style)]
    pieces: list[StyledText] = [("measurement: ", ""), (f"{sign} {verdict.status}", f"bold {style}")]
    if picture.outcome == "bad" and verdict.status == "valid":
        # the figures are valid, but the run failed: no sign and no colour of success
        succeeded = "most requests failed" if picture.view.aggregate.ended().get("ok") else "no request succeeded"
        return [("measurement: ", ""), (f"{verdict.status}, but {succeeded}", "bold")]
    room = max(0, width - sum(len(text) for text, _ in pieces))
    if not verdict.reasons:
        notes = "1 note" if len(verdict.notes) == 1 else f"{len(verdict.notes)} notes"
        return [*pieces, (shortened(f"  {notes}: v", room), QUIET)] if verdict.notes else pieces
    reason = f": {verdict.reasons[0]}"
    if len(verdict.reasons) == 1 and len(reason) <= room:
        return [*pieces, (reason, "")]
    more = "  in full: v" if len(verdict.reasons) == 1 else f"  +{len(verdict.reasons) - 1} more: v"
    return [*pieces, (shortened(reason, max(0, room - len(more))), ""), (more, "bold")]


def outcome_line(picture: Picture, width: int) -> list[StyledText]:
    """How the requests ended."""
    sign, style = OUTCOMES[picture.outcome]
    words = shortened(describe_outcome(picture.view.aggregate.whole), max(0, width - 11))
    return [("outcome: ", ""), (f"{sign} {words}", f"bold {style}".strip())]


def stretch_line(picture: Picture, width: int, *, thin: bool) -> list[StyledText]:
    """The stretch of time that the figures below belong to."""
    seconds = picture.figures.seconds
    if picture.whole:
        text = f" {measured_name(picture.view)}, {formatting.elapsed(seconds)} "
    else:
        spans = spans_words(picture, TILES.of(whole_answers=picture.snapshot.whole_answers))
        text = f" last {seconds:.0f} s{' of the run' if picture.stage == 'done' else ''}{spans and f' ({spans})'} "
    note = " ~ low sample count " if thin else ""
    rest = max(0, width - len(text) - len(note) - 4)
    left = formatting.rate_limit_left(picture.snapshot.rate_limits)
    left = f" {left} left " if left else ""
    if len(left) > rest:
        left = ""
    return [("──", QUIET), (text, "bold"), ("─" * (rest - len(left)), QUIET), (left, ""), (note, QUIET), ("──", QUIET)]
