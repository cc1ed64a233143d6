"""A request of a user's code: it begins when somebody awaits it, or iterates over it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator

import msgspec

from llmstress.engine.api.answers import Draft
from llmstress.engine.api.base import Api, Framing
from llmstress.engine.http.response import Malformed
from llmstress.engine.http.sse import Decoder
from llmstress.engine.outcome import End
from llmstress.engine.scenario.answer import Answer
from llmstress.engine.scenario.port import Port, Wish
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.keeper import MOST_BYTES, Keeper
from llmstress.engine.stream.observer import Ending, InFlight


class Piece(msgspec.Struct, frozen=True, gc=False):
    """A piece of an answer with text."""

    text: str
    index: int
    """From 0."""
    ms: float
    """Since the start of the request, by the stamp of the read that brought it: it does not depend on when the user's
    code was given it."""


class Asking(Keeper):
    """One request, and what has come of it.

        answer = await self.chat("...")                # the whole answer
        async for piece in self.chat("..."): ...       # piece by piece; break closes the stream

    It is made once: who awaits it again gets the same answer.
    """

    __slots__ = (
        "_given_up",
        "_in_flight",
        "_port",
        "_waiters",
        "_wish",
        "has_begun",
        "left",
        "pieces",
        "result",
    )

    def __init__(self, port: Port, wish: Wish) -> None:
        super().__init__()
        self._port = port
        self._wish = wish
        self._in_flight: InFlight | None = None
        self._waiters: list[asyncio.Future[None]] = []
        """Of the code that waits for it, which may be several tasks of asyncio."""
        self._given_up = False
        self.has_begun = False
        self.left = False
        """Its user has walked away."""
        self.result: Answer | None = None
        """None: the request is not over."""
        self.pieces: deque[tuple[bytes, int]] | None = None
        """What has come and was not iterated over yet, with its stamps; None: nobody iterates."""

    # --- what a user does

    def __await__(self) -> Generator[object, None, Answer]:
        """Wait for the whole answer."""
        self.begin()
        while self.result is None:
            yield from self.wait()
        return self.result

    def __aiter__(self) -> AsyncIterator[Piece]:
        """Iterate over the pieces as they come. Who stops early, walks away: the stream is closed."""
        if self.has_begun:
            raise RuntimeError("this request has begun already; iterate over a request before anything else")
        self.pieces = deque()
        return _Pieces(self)

    def leave(self) -> None:
        """Walk away: the stream is closed, and the request counts as `cancelled`, unless its answer is complete. A
        request in flight of a user whom the load has cut off goes on: the user has not walked away."""
        if self._in_flight is not None and self._port.is_cut:
            return
        self.left = True
        if self._in_flight is not None:
            self._in_flight.leave(self._port.clock())

    def give_up(self) -> None:
        """The task that it belongs to is over, or cut off: who still waits for it is cancelled."""
        self.leave()
        self._given_up = True
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.cancel()

    def drop(self) -> None:
        """Walk away, because an iterator was dropped: at once if code of a user did so. The garbage collector may drop
        it as well, in the middle of a read."""
        loop = self._port.loop
        if loop.is_closed():
            return
        if asyncio.current_task(loop) is not None:
            self.leave()
        else:
            loop.call_soon(self.leave)

    # --- what the iterator and the load do

    def begin(self) -> None:
        """Have the load begin the request, unless it has."""
        if not self.has_begun:
            self._port.begin(self._wish, self, self.give_up)
            self.has_begun = True

    def wait(self) -> Generator[object, None, None]:
        """Wait until a piece has come, if anybody iterates, or the end. Who is cancelled meanwhile, walks away."""
        waiter = self._port.loop.create_future()
        self._waiters.append(waiter)
        if self._given_up:
            self._port.loop.call_soon(waiter.cancel)
        try:
            yield from waiter
        except BaseException:
            if self._waiters in ([], [waiter]):  # others may wait for it, too
                self.leave()
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            self._port.resume(waiter)

    @property
    def reading(self) -> tuple[Api, int] | None:
        """The API of the request, and the stamp of the start of its last attempt; None: it has not begun."""
        if self.result is not None:
            return self.result.api, self.result.start
        exchange = self._in_flight.exchange if self._in_flight is not None else None
        return (exchange.task.api, exchange.start) if isinstance(exchange, Exchange) else None

    # --- what the stream tells

    def begun(self, in_flight: InFlight, stamp: int) -> None:
        """The request has started."""
        self._in_flight = in_flight
        if self.left:
            in_flight.leave(stamp)

    def piece(self, data: bytes, stamp: int) -> None:
        """Keep a piece, and give it to who iterates."""
        if self._size <= MOST_BYTES:  # `Keeper.piece` inlined: this is called for each token event
            self._body += data
        self._size += len(data)
        if self.pieces is not None:
            self.pieces.append((data, stamp))
            self._wake()

    def retried(self, end: End, stamp: int) -> None:
        """What has come is no part of the answer."""
        super().retried(end, stamp)
        if self.pieces:
            self.pieces.clear()

    def ended(self, ending: Ending) -> None:
        """The request is over."""
        assert self._in_flight is not None
        exchange, self._in_flight = self._in_flight.exchange, None
        assert isinstance(exchange, Exchange)
        self.result = Answer(exchange, ending, self.body())
        self._port.ended(self)
        self._wake()

    def counts(self, count: Callable[[End], None]) -> bool:
        """The request is counted when the user's code has had the time to check its answer."""
        if self.result is None:
            return False
        self.result.hold(count)
        self._port.held(self.result)
        return True


class _Pieces:
    """Iterates over the pieces of a request. When it is dropped before the end, its user has walked away."""

    __slots__ = ("_asking", "_decoder", "_index", "_texts")

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._decoder: Decoder | None = None
        self._texts: deque[Piece] = deque()
        self._index = 0

    def __aiter__(self) -> "_Pieces":
        return self

    async def __anext__(self) -> Piece:
        asking = self._asking
        asking.begin()
        while True:
            if self._texts:
                return self._texts.popleft()
            if asking.pieces:
                self._read(*asking.pieces.popleft())
            elif asking.result is not None:
                raise StopAsyncIteration
            else:
                await _Waiting(asking)

    def _read(self, data: bytes, stamp: int) -> None:
        asking = self._asking
        reading = asking.reading
        assert reading is not None
        api, start = reading
        for name, event in self._events(api, data):
            draft = Draft()
            api.add_to(draft, event, name)
            if text := draft.answer().text:
                self._texts.append(Piece(text, self._index, (stamp - start) / 1e6))
                self._index += 1

    def _events(self, api: Api, data: bytes) -> list[tuple[bytes, bytes]]:
        if not api.streamed or api.FRAMING is not Framing.EVENTS:
            return [(b"", data)]
        if self._decoder is None:
            self._decoder = Decoder()
        try:
            return [(event.name, event.data) for event in self._decoder.feed(data)]
        except Malformed:  # the stream says so, too, and ends the request
            return []

    def __del__(self) -> None:
        asking = self._asking
        if asking.result is None and asking.has_begun:
            asking.drop()


class _Waiting:
    __slots__ = ("_asking",)

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def __await__(self) -> Generator[object, None, None]:
        return self._asking.wait()
