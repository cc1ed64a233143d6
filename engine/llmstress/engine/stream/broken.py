"""Observers that raise an exception: their request ends in a class of its own, and the run goes on."""

import os
import traceback
from collections.abc import Callable
from typing import Protocol

from llmstress.engine.outcome import End
from llmstress.engine.stream.observer import Answered, Ending, Observer
from llmstress.engine.stream.task import Request

_LIBRARY = os.path.dirname(os.__file__)
"""Python's own modules: if one of them raises an exception, the line that has called it says more."""


class Observed(Answered, Protocol):
    """An attempt of a request that has an observer."""

    request: Request


class Broken(Observer):
    """Stands for an observer that has raised an exception. That one is told nothing more but the end, so that it can
    let go of what it holds."""

    __slots__ = ("_observer", "end")

    def __init__(self, observer: Observer, fault: Exception) -> None:
        self._observer = observer
        self.end = end_of(fault)
        """Of the request, if it would be ok."""

    def judged(self, end: End, answered: Answered) -> End:
        """That of the exception: what the observer would have said of the answer is unknown."""
        return self.end

    def ended(self, ending: Ending) -> None:
        """Tell the observer."""
        self._observer.ended(ending)


def end_of(fault: Exception) -> End:
    """The end of a request whose code has raised this exception: file, line, kind and text of the exception."""
    frames = traceback.extract_tb(fault.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARY)] or frames
    where = f"{own[-1].filename}:{own[-1].lineno}: " if own else ""
    said = " ".join(str(fault).split())
    return End("exception", f"{where}{type(fault).__name__}{f': {said}' if said else ''}")


def tell(attempt: Observed, method: Callable[..., None], *told: object) -> Observer | None:
    """Call a method of the attempt's observer; gives the observer to be told from now on."""
    try:
        method(*told)
    except Exception as fault:
        break_observer(attempt, fault)
    return attempt.request.observer


def judged(attempt: Observed, end: End) -> End:
    """What the attempt's observer makes of the end of an answer."""
    observer = attempt.request.observer
    if observer is None:
        return end
    try:
        return observer.judged(end, attempt)
    except Exception as fault:
        return break_observer(attempt, fault).end


def break_observer(attempt: Observed, fault: Exception) -> Broken:
    """The attempt's observer has raised an exception: gives what takes its place, and keeps a sample."""
    request = attempt.request
    observer = request.observer
    assert observer is not None
    broken = observer if isinstance(observer, Broken) else Broken(observer, fault)
    attempt.request = request._replace(observer=broken)
    request.task.failures.note(broken.end, request.secrets)
    return broken
