"""What others have written, made fit for a terminal: a server's words, a model's name, a file of a stranger.

Everything that reaches the screen comes through `tame`, so that no part of it needs to think of this: nothing that a
terminal would obey, one line, of bounded length. It stays text: the screen never parses it as markup.
"""

from typing import TypeVar

import msgspec

from llmstress.engine.telemetry.broadcast import Ended, Frame, RunFacts, RunView, Windows, WorkerChange
from llmstress.engine.telemetry.messages import Delta, Part, Window

MAX_TEXT = 1_000
MAX_NAME = 300
"""Of a URL, a model, a class of failure."""

_S = TypeVar("_S", bound=msgspec.Struct)
_V = TypeVar("_V")


def plain(text: str, limit: int = MAX_TEXT) -> str:
    """`text` in one line: white space becomes spaces, and what can't be seen or would steer the terminal (escapes,
    changes of direction) its escape sequence in Python's notation."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text
    made = "".join(each if each.isprintable() else _visible(each) for each in text)
    return made if len(made) <= limit else made[: limit - 1] + "…"


def tame(frame: Frame) -> Frame:
    """`frame` with all its texts made plain; what may be changed is changed in place."""
    match frame:
        case RunView():
            _tame_view(frame)
        case Delta():
            for part in frame.parts.values():
                _tame_part(part)
            frame.samples = [_flat(sample) for sample in frame.samples]
            frame.signs = [plain(sign, MAX_NAME) for sign in frame.signs]
            frame.fields = [plain(field, MAX_NAME) for field in frame.fields]
            frame.rate_limits = _plain_keys(frame.rate_limits)
            frame.grave = {plain(name, MAX_NAME): _flat(sample) for name, sample in frame.grave.items()}
        case Windows():
            return Windows(_plain_windows(frame.windows))
        case RunFacts() | WorkerChange() | Ended():
            return _flat(frame, MAX_NAME)
        case _:
            return _flat(frame)
    return frame


def _tame_view(view: RunView) -> None:
    aggregate = view.aggregate
    view.facts = _flat(view.facts, MAX_NAME)
    if view.ended is not None:
        view.ended = _flat(view.ended, MAX_NAME)
    aggregate.workers = [_flat(worker, MAX_NAME) for worker in aggregate.workers]
    aggregate.notices = [_flat(notice) for notice in aggregate.notices]
    aggregate.samples = {
        plain(name, MAX_NAME): [_flat(sample) for sample in samples] for name, samples in aggregate.samples.items()
    }
    aggregate.last_seen = _plain_keys(aggregate.last_seen)
    aggregate.signs = [plain(sign, MAX_NAME) for sign in aggregate.signs]
    aggregate.fields = [plain(field, MAX_NAME) for field in aggregate.fields]
    aggregate.rate_limits = _plain_keys(aggregate.rate_limits)
    aggregate.grave = {plain(name, MAX_NAME): _flat(sample) for name, sample in aggregate.grave.items()}
    aggregate.windows = _plain_windows(aggregate.windows)
    for part in aggregate.parts.values():
        _tame_part(part)


def _plain_windows(windows: tuple[Window, ...]) -> tuple[Window, ...]:
    return tuple(_flat(window, MAX_NAME) for window in windows)


def _tame_part(part: Part) -> None:
    part.ended = _keys(part.ended)
    part.finish = _keys(part.finish)
    part.retried = _keys(part.retried)
    part.undetermined = _keys(part.undetermined)


def _plain_keys(values: dict[str, _V]) -> dict[str, _V]:
    return {plain(name, MAX_NAME): value for name, value in values.items()}


def _keys(counts: dict[str, int]) -> dict[str, int]:
    if all(name.isprintable() and len(name) <= MAX_NAME for name in counts):
        return counts
    made: dict[str, int] = {}
    for name, n in counts.items():
        name = plain(name, MAX_NAME)
        made[name] = made.get(name, 0) + n
    return made


def _flat(struct: _S, limit: int = MAX_TEXT) -> _S:
    """`struct` with the texts it holds itself made plain."""
    changed = {
        name: plain(value, limit)
        for name in struct.__struct_fields__
        if isinstance(value := getattr(struct, name), str) and not (value.isprintable() and len(value) <= limit)
    }
    return msgspec.structs.replace(struct, **changed) if changed else struct


def _visible(character: str) -> str:
    return " " if character.isspace() else character.encode("unicode_escape").decode("ascii")
