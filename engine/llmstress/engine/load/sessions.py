"""Sessions: several requests of one user, one after the other on the same stream.

A conversation, a flow of steps and a script are sessions. A session says what its first request is and, each time one
has ended, what the next one is and how long its user waits before it. When a stream begins it and what happens when the
run is paused or over is the load model's business. A session keeps its stream from its first request to its last, so
it keeps its connection as long as the server does.
"""

import enum
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import ClassVar, NamedTuple

from llmstress.engine.outcome import ABANDONED, CANCELLED, End
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


THINKS = -1
"""Instead of a think time: the session does not know yet what comes next."""


class Session(ABC):
    """One user's requests. A session is told of the end of each request before it is asked for the next one. If it
    raises an exception, it has failed, and is asked for nothing more."""

    LEAVES: ClassVar[bool] = False
    """It decides itself what follows a request that its user walked away from; else it is cut off then."""

    def seated(self, seat: "Seat") -> None:  # noqa: B027
        """The session begins, on this seat. It keeps it if it does not always know at once what comes next."""

    @abstractmethod
    def first(self) -> Request | None:
        """The first request. It is asked for once. None: the session will say it to its seat."""

    @abstractmethod
    def next(self, exchange: Exchange, end: End) -> Step | Over | None:
        """What follows a request that has ended so. None: the session will say it to its seat.

        Args:
            exchange: the last attempt of the request, with its stamps, usage and finish reason. Its observer is the
                one that the session gave to the request; a `Keeper` has the answer.
            end: its end, which may be a failure: a session may go on after one. It is not asked about a request that
                was cancelled: then the session is cut off.
        """

    def cut(self) -> None:  # noqa: B027
        """The session is cut off: it makes no more requests."""

    @property
    def samples(self) -> Samples | None:
        """Where it is counted; None: with its kind."""
        return None


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

    def stray(self, error: BaseException | None) -> bool:
        """A task of asyncio that nobody awaits has raised this, or was dropped (None). Gives whether it may be one that
        code of users has begun."""
        return False

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

    __slots__ = ("kind", "next", "pauses", "session")

    def __init__(self, kind: SessionKind) -> None:
        self.kind = kind
        self.session: Session | None = None
        """None: it could not be made, or has raised an exception. It is over when its request has ended."""
        self.next: Request | None = None
        """Is to begin when its time has come."""
        self.pauses = False
        """A failure was the end of its last request after which a stream pauses (`--error-pause`)."""

    @property
    def leaves(self) -> bool:
        """It decides itself what follows a request that its user walked away from."""
        return self.session is not None and self.session.LEAVES

    @property
    def samples(self) -> Samples:
        """Where it is counted."""
        return (self.session.samples if self.session is not None else None) or self.kind.samples


class Seats(ABC):
    """The load model, as sessions need it that say later what comes next."""

    @abstractmethod
    def goes_on(self, stream: Stream) -> None:
        """The stream's session knows its next request, which is due now."""

    @abstractmethod
    def is_over(self, stream: Stream, wait_ns: int, *, pauses: bool) -> None:
        """The stream's session is over. `wait_ns`: before the stream takes another one, in the closed model; `pauses`:
        it pauses instead as after a failure."""

    @abstractmethod
    def beside(self, stream: Stream, request: Request) -> None:
        """Begin a request of the stream's session now, on another stream, because this one is in use."""


class Seat:
    """The place of a session in the load: its stream, and further ones if it wants several things at once."""

    __slots__ = ("_sessions", "_stream")

    def __init__(self, sessions: "Sessions", stream: Stream) -> None:
        self._sessions = sessions
        self._stream = stream

    def go_on(self, request: Request) -> None:
        """Begin this request now; the stream has none."""
        self._sessions.go_on(self._stream, request)

    def over(self, how: Over, wait_ns: int) -> None:
        """The session is over; `wait_ns`: before the stream takes another one, in the closed model."""
        self._sessions.over(self._stream, how, wait_ns)

    def beside(self, request: Request) -> None:
        """Begin this request now, on another stream."""
        self._sessions.seats.beside(self._stream, request)


class Sessions:
    """The sessions of a load that have been taken from the mix and are not over, by their stream.

    A session has started when its first request begins (`Load`). What has started and neither was completed nor failed
    nor overflowed is running or was cut off.

    A session whose code raises an exception has failed. What it could not make counts as a request that failed in the
    class `exception`: it goes the way of every other one, so the pause after a failure follows.
    """

    def __init__(self, seats: Seats) -> None:
        self.seats = seats
        self.running: dict[Stream, _Running] = {}
        """Empty in a load of single requests: that is all that a load model has to look at."""

    def begin(self, stream: Stream, kind: SessionKind, number: int) -> Request | None:
        """Begin the session of a number on this stream; gives its first request. None: it will say it."""
        self.running[stream] = running = _Running(kind)
        try:
            running.session = session = kind.begin(number, stream)
            session.seated(Seat(self, stream))
            if (request := session.first()) is None:
                running.samples.counters.sessions += 1
            return request
        except FileChanged:
            raise
        except Exception as fault:
            return self._unmade(stream, kind.tasks[0], fault)

    def ended(self, stream: Stream, exchange: Exchange, end: End) -> int | None:
        """A request of this stream has ended: gives the think time (ns) before the next request of its session, or
        `THINKS`. None: the stream has no session, or the session is over."""
        running = self.running.get(stream)
        if running is None:
            return None
        if end.outcome == CANCELLED.outcome and not (end == ABANDONED and running.leaves):
            self.cut(stream)
            return None
        running.pauses = end.pauses
        match self._next(stream, running, exchange, end):
            case None:
                return THINKS
            case Step(request=request, wait_ns=wait_ns):
                running.next = request
                return wait_ns
            case how:
                self._count(running, how)
        del self.running[stream]
        return None

    def go_on(self, stream: Stream, request: Request) -> None:
        """The stream's session wants this request now."""
        self.running[stream].next = request
        self.seats.goes_on(stream)

    def over(self, stream: Stream, how: Over, wait_ns: int) -> None:
        """The stream's session is over."""
        running = self.running.pop(stream)
        self._count(running, how)
        self.seats.is_over(stream, wait_ns, pauses=running.pauses or (how is Over.FAILED and not wait_ns))

    def _count(self, running: _Running, how: Over) -> None:
        counters = running.samples.counters
        match how:
            case Over.COMPLETED:
                counters.sessions_completed += 1
            case Over.FAILED:
                counters.sessions_failed += 1
            case Over.OVERFLOWED:
                counters.sessions_overflowed += 1

    def _next(self, stream: Stream, running: _Running, exchange: Exchange, end: End) -> Step | Over | None:
        if running.session is None:
            return Over.FAILED
        try:
            return running.session.next(exchange, end)
        except FileChanged:
            raise
        except Exception as fault:
            return Step(self._unmade(stream, exchange.task, fault, exchange.request.secrets))

    def _unmade(self, stream: Stream, task: Task, fault: Exception, secrets: tuple[str, ...] = ()) -> Request:
        """A request that could not be made: it ends where its connection would be opened. `secrets`: see `Request`."""
        self.running[stream].session = None
        stream.drop_link()
        end = end_of(fault)
        task.failures.note(end, secrets)  # also if the run is over before the request begins
        return Request(task, b"", fault=end, secrets=secrets)

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
        running = self.running.pop(stream, None)
        if running is not None and running.session is not None:
            running.session.cut()

    def cut_all(self) -> None:
        """The run is over."""
        for stream in [*self.running]:
            self.cut(stream)
