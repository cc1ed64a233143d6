"""Opening connections: so many at once, and with a pause after a failure."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine
from typing import NamedTuple

from llmstress.engine.connect.dialer import ConnectError
from llmstress.engine.connect.tcpinfo import retransmissions
from llmstress.engine.load.mix import Next
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.link import Dials
from llmstress.engine.stream.stream import Stream
from llmstress.engine.stream.task import Request


class Coming(NamedTuple):
    """A request that is to begin as soon as its stream has a connection."""

    stream: Stream
    request: Request
    due: int
    """Stamp."""
    taken: Next | None
    """What the mix gave for it; None: it is a later request of a session."""


Start = Callable[[Coming], bool]
"""Starts a request on a stream whose connection is about to be opened; gives False if none may start any more."""

Opened = Callable[[Stream, Dials, int | None], None]
"""Is told what should have opened a connection for a stream, and how long it took (ns); None: it could not be
opened."""


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
        """most: connections that may be being opened at once. pause_s: 0: no task pauses. fail: is told of an exception
        that ends the run."""
        self._most = most
        self._most_ahead = max(1, most // 2)
        self._pause_s = pause_s
        self._clock = clock
        self._start = start
        self._fail = fail
        self._urgent: deque[Stream] = deque()
        """Streams that have a request in flight: they go first."""
        self._waiting: deque[Coming] = deque()
        self._ahead: deque[tuple[Stream, Dials, Opened]] = deque()
        """Streams that have nothing to begin yet: they go last."""
        self._try_again = asyncio.Event()
        """Ends the pauses when it is set, and is cleared again at once."""
        self.tasks: set[asyncio.Task[None]] = set()

    def dial(self, coming: Coming) -> None:
        """Open a connection for a stream that is to begin a request."""
        self._waiting.append(coming)
        self._dial_more()

    def redial(self, stream: Stream) -> None:
        """Open another connection for a stream whose request is in flight: it goes before those that begin."""
        self._urgent.append(stream)
        if stream.exchange is not None and stream.exchange.start:  # its latencies are running, so no task may pause
            self._end_pauses()
        self._dial_more()

    def dial_ahead(self, stream: Stream, dials: Dials, opened: Opened) -> None:
        """Open a connection for a stream that has nothing to begin yet, when no request needs one; half of the places
        are left to requests."""
        self._ahead.append((stream, dials, opened))
        if len(self.tasks) < self._most_ahead:
            self._dial_more()

    @property
    def waiting(self) -> int:
        """How many requests wait for a connection to be opened."""
        return len(self._waiting)

    def withdraw(self, unwanted: Callable[[Coming], bool]) -> list[Coming]:
        """Take the requests out of the queue that are unwanted; gives these. None of them has begun."""
        waiting, withdrawn = list(self._waiting), list[Coming]()
        self._waiting.clear()
        for coming in waiting:
            (withdrawn if unwanted(coming) else self._waiting).append(coming)
        return withdrawn

    def cancel(self) -> None:
        """Give up the connections that are being opened."""
        self._ahead.clear()
        for task in self.tasks:
            task.cancel()

    def _dial_more(self) -> None:
        if len(self.tasks) < self._most:
            self.tasks.add(asyncio.get_running_loop().create_task(self._guarded(self._dial_all)))

    async def _guarded(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        try:
            await work()
        except Exception as fault:
            self._fail(fault)
        finally:
            # here and not in a callback: a stream that comes in between would take this task for one that still dials
            self.tasks.difference_update([asyncio.current_task()])

    async def _dial_all(self) -> None:
        while True:
            if self._urgent:
                await self._dial_again(self._urgent.popleft())
            elif self._waiting:
                await self._dial_for(self._waiting.popleft())
            elif self._ahead and len(self.tasks) <= self._most_ahead:
                await self._dial_one_ahead(*self._ahead.popleft())
            else:
                return

    async def _dial_again(self, stream: Stream) -> None:
        if stream.exchange is not None:
            stream.exchange.begin_on_new_connection(self._clock())
            await self._connect(stream, stream.exchange)

    async def _dial_for(self, coming: Coming) -> None:
        if self._start(coming):
            assert coming.stream.exchange is not None
            await self._connect(coming.stream, coming.stream.exchange)

    async def _connect(self, stream: Stream, exchange: Exchange) -> None:
        if exchange.request.fault is not None:
            stream.not_connected(exchange.request.fault)
            return
        try:
            link = await exchange.task.dials.open()
        except ConnectError as error:
            stream.not_connected(error.end)
            await self._pause()
        else:
            exchange.task.samples.counters.connects_repeated += retransmissions(link.transport) > 0
            stream.connected(link)
            self._end_pauses()

    async def _dial_one_ahead(self, stream: Stream, dials: Dials, opened: Opened) -> None:
        before = self._clock()
        try:
            link = await dials.open()
        except ConnectError:  # the requests that need a connection count the failure
            opened(stream, dials, None)
        else:
            stream.connected_ahead(link, dials)
            self._end_pauses()
            opened(stream, dials, self._clock() - before)

    async def _pause(self) -> None:
        if not self._pause_s:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pause_s):
                await self._try_again.wait()

    def _end_pauses(self) -> None:
        self._try_again.set()
        self._try_again.clear()
