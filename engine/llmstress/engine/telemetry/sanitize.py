"""Makes texts from outside safe for a terminal: a server's messages, a model's name, the contents of a record.

All frames pass through `sanitize_frame` before the screen shows them, so that no other part has to handle this. The
result contains no control sequences, is one line and has a bounded length. The screen never parses it as markup.
"""

from typing import TypeVar

import msgspec

from llmstress.engine.telemetry.broadcast import Ended, Frame, Judgements, RunFacts, RunView, Windows, WorkerChange
from llmstress.engine.telemetry.messages import Delta, Part, Window
from llmstress.engine.telemetry.thresholds import Judgement

MAX_TEXT = 1_000
MAX_NAME = 300
"""Maximum length of names: a URL, a model, a class of failure."""

_S = TypeVar("_S", bound=msgspec.Struct)
_V = TypeVar("_V")


def sanitize_text(text: str, limit: int = MAX_TEXT) -> str:
    """`text` in one line of at most `limit` characters.

    White space becomes spaces. Other invisible characters, including control sequences and changes of the writing
    direction, become escape sequences in Python's notation.
    """
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text
    sanitized = "".join(each if each.isprintable() else _escaped(each) for each in text)
    return sanitized if len(sanitized) <= limit else sanitized[: limit - 1] + "…"


def sanitize_frame(frame: Frame) -> Frame:
    """`frame` with all texts sanitized; mutable objects are changed in place.

    Raises:
        ValueError: a packed histogram is damaged.
    """
    match frame:
        case RunView():
            _sanitize_view(frame)
        case Delta():
            for part in frame.parts.values():
                _sanitize_part(part)
            frame.samples = [_sanitize_fields(sample) for sample in frame.samples]
            frame.signs = [sanitize_text(sign, MAX_NAME) for sign in frame.signs]
            frame.fields = [sanitize_text(field, MAX_NAME) for field in frame.fields]
            frame.rate_limits = _sanitize_keys(frame.rate_limits)
            frame.fatal = {
                sanitize_text(name, MAX_NAME): _sanitize_fields(sample) for name, sample in frame.fatal.items()
            }
        case Windows():
            return Windows(_sanitize_windows(frame.windows))
        case Judgements():
            return Judgements(_sanitize_judgements(frame.judgements))
        case RunFacts():
            return _sanitize_facts(frame)
        case WorkerChange() | Ended():
            return _sanitize_fields(frame, MAX_NAME)
        case _:
            return _sanitize_fields(frame)
    return frame


def _sanitize_view(view: RunView) -> None:
    aggregate = view.aggregate
    view.facts = _sanitize_facts(view.facts)
    if view.ended is not None:
        view.ended = _sanitize_fields(view.ended, MAX_NAME)
    aggregate.workers = [_sanitize_fields(worker, MAX_NAME) for worker in aggregate.workers]
    aggregate.notices = [_sanitize_fields(notice) for notice in aggregate.notices]
    aggregate.samples = {
        sanitize_text(name, MAX_NAME): [_sanitize_fields(sample) for sample in samples]
        for name, samples in aggregate.samples.items()
    }
    aggregate.last_seen = _sanitize_keys(aggregate.last_seen)
    aggregate.signs = [sanitize_text(sign, MAX_NAME) for sign in aggregate.signs]
    aggregate.fields = [sanitize_text(field, MAX_NAME) for field in aggregate.fields]
    aggregate.rate_limits = _sanitize_keys(aggregate.rate_limits)
    aggregate.fatal = {
        sanitize_text(name, MAX_NAME): _sanitize_fields(sample) for name, sample in aggregate.fatal.items()
    }
    aggregate.windows = _sanitize_windows(aggregate.windows)
    view.judgements = _sanitize_judgements(view.judgements)
    for part in aggregate.parts.values():
        _sanitize_part(part)


def _sanitize_facts(facts: RunFacts) -> RunFacts:
    tasks = tuple(
        msgspec.structs.replace(
            _sanitize_fields(task, MAX_NAME), slos=tuple(sanitize_text(slo, MAX_NAME) for slo in task.slos)
        )
        for task in facts.tasks
    )
    tariffs = tuple(_sanitize_fields(each, MAX_NAME) for each in facts.pricing.tariffs)
    return msgspec.structs.replace(
        _sanitize_fields(facts, MAX_NAME),
        tasks=tasks,
        steps=tuple(_sanitize_fields(step, MAX_NAME) for step in facts.steps),
        pricing=msgspec.structs.replace(_sanitize_fields(facts.pricing, MAX_NAME), tariffs=tariffs),
    )


def _sanitize_windows(windows: tuple[Window, ...]) -> tuple[Window, ...]:
    return tuple(_sanitize_fields(window, MAX_NAME) for window in windows)


def _sanitize_judgements(judgements: tuple[Judgement, ...]) -> tuple[Judgement, ...]:
    return tuple(
        msgspec.structs.replace(_sanitize_fields(each), threshold=_sanitize_fields(each.threshold))
        for each in judgements
    )


def _sanitize_part(part: Part) -> None:
    part.ended = _sanitize_counts(part.ended)
    part.finish = _sanitize_counts(part.finish)
    part.retried = _sanitize_counts(part.retried)
    part.undetermined = _sanitize_counts(part.undetermined)
    part.unpacked()  # raises if packed histograms are damaged: the screen would find out while it draws


def _sanitize_keys(values: dict[str, _V]) -> dict[str, _V]:
    return {sanitize_text(name, MAX_NAME): value for name, value in values.items()}


def _sanitize_counts(counts: dict[str, int]) -> dict[str, int]:
    if all(name.isprintable() and len(name) <= MAX_NAME for name in counts):
        return counts
    sanitized: dict[str, int] = {}
    for name, n in counts.items():
        name = sanitize_text(name, MAX_NAME)
        sanitized[name] = sanitized.get(name, 0) + n
    return sanitized


def _sanitize_fields(struct: _S, limit: int = MAX_TEXT) -> _S:
    """`struct` with its own text fields sanitized."""
    changed = {
        name: sanitize_text(value, limit)
        for name in struct.__struct_fields__
        if isinstance(value := getattr(struct, name), str) and not (value.isprintable() and len(value) <= limit)
    }
    return msgspec.structs.replace(struct, **changed) if changed else struct


def _escaped(character: str) -> str:
    return " " if character.isspace() else character.encode("unicode_escape").decode("ascii")
