"""Sessions: several requests of one user, one after the other on the same stream.

A conversation, a flow of steps and a script are sessions. A session says what its first request is and, each time one
has ended, what the next one is and how long its user waits before it. When a stream begins it and what happens when the
run is paused or over is the load model's business. A session keeps its stream from its first request to its last, so
it keeps its connection as long as the server does.
"""

import enum
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from llmstress.engine.outcome import CANCELLED, End
from llmstress.engine.prompts.file import FileChanged
from llmstress.engine.stream.broken import end_of
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.link import Dials
from llmstress.engine.stream.samples import Samples
from llmstress.engine.stream.stream import Stream
from llmstress.engine.stream.task import Request, Task


class Over(enum.Enum):
    """How a session ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    """A request has failed, or its answer can't be used."""
    OVERFLOWED = "overflowed"
    """The conversation has become longer than the model's context."""


class Step(NamedTuple):
    """The next request of a session."""

    request: Request
    wait_ns: int = 0
    """Think time: the request is due so long after the end of the last one."""


class Session(ABC):
    """One user's requests. A session is told of the end of each request before it is asked for the next one. If it
    raises an exception, it has failed, and is asked for nothing more."""

    @abstractmethod
    def first(self) -> Request:
        """The first request. It is asked for once."""

    @abstractmethod
    def next(self, exchange: Exchange, end: End) -> Step | Over:
        """What follows a request that has ended so.

        Args:
            exchange: the last attempt of the request, with its stamps, usage and finish reason. Its observer is the
                one that the session gave to the request; a `Keeper` has the answer.
            end: its end, which may be a failure: a session may go on after one. It is not asked about a request that
                was cancelled: then the session is cut off.
        """


class SessionKind(ABC):
    """Makes the sessions of one kind, which a mix gives to the load models as it gives tasks."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        """tasks: of all its requests, that of the first request first."""
        self.tasks = tuple(tasks)

    @abstractmethod
    def begin(self, number: int, user: Hashable) -> Session:
        """The session of a number. The sessions of a kind are numbered over the run as the requests of a task are, so a
        session follows from its number, whichever worker has it. `user`: the stream that takes it; all sessions of a
        stream are those of one user."""

    @property
    def dials(self) -> Dials:
        """What opens connections for the first request."""
        return self.tasks[0].dials

    @property
    def samples(self) -> Samples:
        """Where its sessions are counted, and its arrivals in the open model."""
        return self.tasks[0].samples


class _Running:
    """A session that is not over."""

    __slots__ = ("kind", "next", "session")

    def __init__(self, kind: SessionKind) -> None:
        self.kind = kind
        self.session: Session | None = None
        """None: it could not be made, or has raised an exception. It is over when its request has ended."""
        self.next: Request | None = None
        """Is to begin when its time has come."""


class Sessions:
    """The sessions of a load that have been taken from the mix and are not over, by their stream.

    A session has started when its first request begins (`Load`). What has started and neither was completed nor failed
    nor overflowed is running or was cut off.

    A session whose code raises an exception has failed. What it could not make counts as a request that failed in the
    class `exception`: it goes the way of every other one, so the pause after a failure follows.
    """

    def __init__(self) -> None:
        self.running: dict[Stream, _Running] = {}
        """Empty in a load of single requests: that is all that a load model has to look at."""

    def begin(self, stream: Stream, kind: SessionKind, number: int) -> Request:
        """Begin the session of a number on this stream; gives its first request."""
        self.running[stream] = running = _Running(kind)
        try:
            running.session = kind.begin(number, stream)
            return running.session.first()
        except FileChanged:
            raise
        except Exception as fault:
            return self._unmade(stream, kind.tasks[0], fault)

    def ended(self, stream: Stream, exchange: Exchange, end: End) -> int | None:
        """A request of this stream has ended: gives the think time (ns) before the next request of its session. None:
        the stream has no session, or the session is over."""
        running = self.running.get(stream)
        if running is None:
            return None
        if end.outcome == CANCELLED.outcome:
            self.cut(stream)
            return None
        counters = running.kind.samples.counters
        match self._next(stream, running, exchange, end):
            case Step(request=request, wait_ns=wait_ns):
                running.next = request
                return wait_ns
            case Over.COMPLETED:
                counters.sessions_completed += 1
            case Over.FAILED:
                counters.sessions_failed += 1
            case Over.OVERFLOWED:
                counters.sessions_overflowed += 1
        del self.running[stream]
        return None

    def _next(self, stream: Stream, running: _Running, exchange: Exchange, end: End) -> Step | Over:
        if running.session is None:
            return Over.FAILED
        try:
            return running.session.next(exchange, end)
        except FileChanged:
            raise
        except Exception as fault:
            return Step(self._unmade(stream, exchange.task, fault))

    def _unmade(self, stream: Stream, task: Task, fault: Exception) -> Request:
        """A request that could not be made: it ends where its connection would be opened."""
        self.running[stream].session = None
        stream.drop_link()
        end = end_of(fault)
        task.failures.note(end)  # also if the run is over before the request begins
        return Request(task, b"", fault=end)

    def take(self, stream: Stream) -> Request | None:
        """The request that the stream's session is to make now; None: it has none."""
        running = self.running.get(stream)
        if running is None:
            return None
        request, running.next = running.next, None
        return request

    def put_back(self, stream: Stream, request: Request) -> None:
        """A later request of the stream's session has not begun: it is to be made when the stream goes on."""
        self.running[stream].next = request

    def cut(self, stream: Stream) -> None:
        """The stream's session, if it has one, makes no more requests."""
        self.running.pop(stream, None)
