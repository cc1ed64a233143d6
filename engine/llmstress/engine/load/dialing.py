"""Opening connections: so many at once, and with a pause after a failure."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Protocol

from llmstress.engine.connect.dialer import ConnectError
from llmstress.engine.connect.tcpinfo import retransmissions
from llmstress.engine.stream.link import Dials
from llmstress.engine.stream.stream import Stream
from llmstress.engine.stream.task import Request


class Start(Protocol):
    """Starts a request on a stream whose connection is about to be opened; gives False if none may start any more."""

    def __call__(self, stream: Stream, request: Request, due: int) -> bool:
        """See the class."""


class Dialing:
    """The streams that wait for a connection, and the tasks that open connections for them.

    After a failed connect both the stream and the task that dialled back off: the stream as after any failure, the task
    for `pause_s`, or until another connection stands. Without the pause 1,000 streams that each tried a refused port
    once a second took 30 % of a core. Streams that wait for a task meanwhile see that as `queue`.
    """

    def __init__(
        self,
        most: int,
        pause_s: float,
        clock: Callable[[], int],
        start: Start,
        fail: Callable[[BaseException], None],
    ) -> None:
        """most: connections that may be being opened at once. fail: is told of an exception that ends the run."""
        self._most = most
        self._pause_s = pause_s
        self._clock = clock
        self._start = start
        self._fail = fail
        self._waiting: deque[tuple[Stream, Request | None, int]] = deque()
        """Stream, the request that it is to begin (None: it has one in flight), and when that was due."""
        self._try_again = asyncio.Event()
        """Ends the pauses when it is set, and is cleared again at once."""
        self.tasks: set[asyncio.Task[None]] = set()

    def dial(self, stream: Stream, request: Request, due: int) -> None:
        """Open a connection for a stream that is to begin a request due at stamp `due`."""
        self._waiting.append((stream, request, due))
        self._dial_more()

    def redial(self, stream: Stream) -> None:
        """Open another connection for a stream whose request is in flight: it goes before those that begin."""
        self._waiting.appendleft((stream, None, 0))
        if stream.exchange is not None and stream.exchange.start:  # its latencies are running, so no task may pause
            self._end_pauses()
        self._dial_more()

    def warm(self, stream: Stream, dials: Dials, done: Callable[[Stream, bool], None]) -> None:
        """Open a connection for a stream that has nothing to begin yet; `done` is told whether it was opened.

        Connections for requests go first: it is opened now or not at all, and half of the places are left to requests.
        """
        if self._waiting or len(self.tasks) >= self._most // 2:
            done(stream, False)
            return
        self.tasks.add(asyncio.get_running_loop().create_task(self._guarded(self._warm(stream, dials, done))))

    @property
    def waiting(self) -> int:
        """How many streams wait for a place to dial."""
        return len(self._waiting)

    def withdraw(self, unwanted: Callable[[Stream, int], bool]) -> list[Stream]:
        """Take the streams out of the queue that have no request in flight and are unwanted, as the function says of a
        stream and the stamp at which its request was due; gives these."""
        waiting, withdrawn = list(self._waiting), []
        self._waiting.clear()
        for entry in waiting:
            stream, request, due = entry
            if request is not None and unwanted(stream, due):
                withdrawn.append(stream)
            else:
                self._waiting.append(entry)
        return withdrawn

    def cancel(self) -> None:
        """Give up the connections that are being opened."""
        for task in self.tasks:
            task.cancel()

    def _dial_more(self) -> None:
        if len(self.tasks) < self._most:
            self.tasks.add(asyncio.get_running_loop().create_task(self._guarded(self._dial_all())))

    async def _guarded(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Exception as fault:
            self._fail(fault)
        finally:
            # here and not in a callback: a stream that comes in between would take this task for one that still dials
            self.tasks.difference_update([asyncio.current_task()])

    async def _dial_all(self) -> None:
        while self._waiting:
            stream, request, due = self._waiting.popleft()
            if request is not None:
                if not self._start(stream, request, due):
                    continue
            elif stream.exchange is None:
                continue
            else:
                stream.exchange.begin_on_new_connection(self._clock())
            assert stream.exchange is not None
            try:
                link = await stream.exchange.task.dials.open()
            except ConnectError as error:
                stream.not_connected(error.end)
                await self._pause()
            else:
                counters = stream.exchange.task.samples.counters
                counters.connects_repeated += retransmissions(link.transport) > 0
                stream.connected(link)
                self._end_pauses()

    async def _warm(self, stream: Stream, dials: Dials, done: Callable[[Stream, bool], None]) -> None:
        try:
            link = await dials.open()
        except ConnectError:
            await self._pause()  # the requests that need a connection count the failure
            done(stream, False)
        else:
            stream.warmed(link)
            self._end_pauses()
            done(stream, True)

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pause_s):
                await self._try_again.wait()

    def _end_pauses(self) -> None:
        self._try_again.set()
        self._try_again.clear()
