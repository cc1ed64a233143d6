"""One stream: sends a request, reads its answer, and is free for the next one.

In the closed model a stream keeps its connection, so there is no pool, and no task, future or queue per request. This
is the hot path. Its rules:
1. One stamp per read, taken before anything else; all events of a read share it.
2. A read is stamped when it arrives and processed a little later, in the order of the stamps (`read_loop`).
3. Nothing of a read is kept once it is processed; a token event costs one typed JSON decode, a few comparisons and
   two appends.
4. The fast path takes a read that is exactly one chunk holding exactly one token event of the same kind as the last.
   Everything else goes the long way, through the sans-I/O parsers, with the same result.

What belongs to one kind of request (its API, its limits, its failure policy) is in the request's task; what a stream
needs from its surroundings is in `Runtime`. A stream doesn't know how its bytes are received (`Reads`).
"""

from collections.abc import Callable, Iterable

from llmstress.engine.api.base import Framing
from llmstress.engine.connect.connect_errors import end_before_head
from llmstress.engine.http.body import BufferedBody, may_be_stream, succeeded, with_server_text
from llmstress.engine.http.decompress import Inflater, inflater_of
from llmstress.engine.http.response import Head, Malformed, ResponseReader
from llmstress.engine.http.sse import Decoder, ServerEvent
from llmstress.engine.http.unframed import Unframed
from llmstress.engine.outcome import ABANDONED, CANCELLED, UNEXPLAINED, End
from llmstress.engine.stream.broken import break_observer, judged, tell
from llmstress.engine.stream.chunk_run import take_run
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.failures import ENDED
from llmstress.engine.stream.held import held
from llmstress.engine.stream.link import Dials, Link
from llmstress.engine.stream.meanings import meanings_of
from llmstress.engine.stream.observer import Observer, Timer, ending_of
from llmstress.engine.stream.runtime import Runtime
from llmstress.engine.stream.states import FREE, IN_FLIGHT, move
from llmstress.engine.stream.task import Request
from llmstress.engine.stream.time_limits import longest_wait, overdue


class Stream:
    """The requests of one stream, one after the other."""

    __slots__ = (
        "_buffered",
        "_decoder",
        "_inflater",
        "_leaves",
        "_linked_at",
        "_lost_by",
        "_observer",
        "_reader",
        "_requests",
        "_retried",
        "_reused",
        "_runtime",
        "dials",
        "exchange",
        "fast",
        "link",
        "state",
    )

    def __init__(self, runtime: Runtime) -> None:
        self.link: Link | None = None
        self.dials: Dials | None = None
        """What has opened the last connection: a request of another origin needs another one."""
        self.state = FREE
        self.exchange: Exchange | None = None
        """The request in flight."""
        self._runtime = runtime
        self._observer: Observer | None = None
        self.fast: Exchange | None = None
        """The request in flight, if its next read may take the fast path; else None."""
        self._reader: ResponseReader | None = None
        self._inflater: Inflater | None = None
        self._decoder: Decoder | Unframed | None = None
        self._buffered: BufferedBody | None = None
        self._linked_at = 0
        self._lost_by: Exception | None = None
        self._requests = 0  # requests sent on this connection
        self._reused = False
        self._retried = False
        self._leaves = False  # the request is to be abandoned as soon as it can be

    # --- sending

    def begin(self, request: Request, due: int) -> Exchange:
        """Start a request that was due at stamp `due`; a stream without a link then waits for `connected`."""
        runtime = self._runtime
        exchange = self.exchange = Exchange(request, due, runtime.clock())
        self._observer = request.observer
        move(self, IN_FLIGHT)
        request.task.samples.started()
        self._retried = False
        self._leaves = False
        if request.observer is not None:
            self._observer = tell(exchange, request.observer.begun, self, exchange.begun)
        self._reused = self.link is not None
        if self._reused:
            self._send(exchange)
        else:
            exchange.opened = True
        return exchange

    def resume(self) -> None:
        """The wait before another attempt is over: send the request again."""
        exchange = self.exchange
        if exchange is None:
            return  # cut off meanwhile
        if self._leaves:
            self._abandon(self._runtime.clock())
            return
        self._retried = False
        self._reused = self.link is not None
        if self._reused:
            exchange.start = self._runtime.clock()
            self._send(exchange)
        else:
            self._runtime.redial(self)

    def connected(self, link: Link) -> None:
        """A connection stands: send the request on it."""
        exchange = self.exchange
        if exchange is None:
            link.close()
            return
        exchange.task.samples.counters.connections += 1
        self._take(link, exchange.task.dials)
        if self._leaves:
            self._abandon(self._runtime.clock())
            return
        self._send(exchange)
        link.catch_up(self)

    def connected_ahead(self, link: Link, dials: Dials) -> None:
        """A connection stands that the next request will use: there is no request yet. `dials` has opened it."""
        self._take(link, dials)
        link.catch_up(self)

    def not_connected(self, end: End) -> None:
        """No connection could be made: the request ends with `end`."""
        if self.exchange is not None:
            self._end(end, self._runtime.clock())

    def _take(self, link: Link, dials: Dials) -> None:
        self.link = link
        self.dials = dials
        self._linked_at = self._runtime.clock()
        self._requests = 0
        link.attach(self)

    def _send(self, exchange: Exchange) -> None:
        assert self.link is not None
        self._reader = ResponseReader(bodiless=exchange.task.bodiless)
        self._inflater = self._decoder = self._buffered = None
        exchange.sent = exchange.last_event = self._runtime.clock()
        self._requests += 1
        self.link.transport.write(exchange.request.data)

    # --- reading

    def lost(self, error: Exception | None) -> None:
        """The connection has ended by itself; the empty read, which is processed in its turn, says what follows."""
        link, self.link = self.link, None
        self._lost_by = error
        if link is not None:
            link.lost(error)

    def read(self, data: bytes, now: int) -> None:
        """The long way: frame, decode, classify. The empty read is the end of the connection."""
        if now < self._linked_at:
            return  # read from a connection that has been closed since
        reader, exchange = self._reader, self.exchange
        if self._observer is not None and self._observer.EVENTS:
            self._observer.read(data, now)
        if not data:
            if reader is not None and exchange is not None and now >= exchange.sent:
                self._read_loss(reader, exchange, now)
            return
        if reader is None or exchange is None or now < exchange.sent:
            # unsolicited bytes: after them no answer on this connection can be trusted
            self.drop_link()
            if exchange is not None and exchange.sent:
                self._send_again(exchange)
            return
        task = exchange.task
        events_before = exchange.event_count
        if self.fast is not None and task.shape.lines:
            data = take_run(exchange, data, now)
        elif not exchange.first_token:
            exchange.last_event = now
        try:
            end = self._feed(reader, exchange, data, now) if data else None
        except Malformed as fault:
            end = self._end_early(End("malformed", str(fault)))
        events = exchange.event_count - events_before
        if events > 1:
            task.samples.counters.events_shared += events
            exchange.joined += events - 1
            if not events_before:
                exchange.first_block = events
        if end is None and reader.complete:
            end = self._end_of_body(reader, exchange, now)
        if end is not None:
            self._end(end, now)
            return
        if exchange.end_at and exchange.over and task.linger.none_now():
            self.fast = None
            self._look_whether_over(exchange, now)
            return
        decoder, observer = self._decoder, self._observer
        # whether the next read may take the fast path, where it has to mean what it would mean on the long way
        self.fast = (
            exchange
            if exchange.last_token  # there is a token event to compare with, and to measure the gap from
            and exchange.single_choice  # the gap is taken from the last token of choice 0
            and not exchange.end_at  # a token after a finish reason revokes it
            and self._inflater is None  # the bytes are the body's own
            and decoder is not None
            and reader.between_chunks
            and decoder.between_events
            and (observer is None or not observer.EVENTS)
            else None
        )

    def _feed(self, reader: ResponseReader, exchange: Exchange, data: bytes, now: int) -> End | None:
        fault: Malformed | None = None
        pieces: Iterable[bytes]
        try:
            pieces = reader.feed(data)
        except Malformed as error:
            fault, pieces = error, error.pieces
        if reader.head is not None and not exchange.head_at:
            self._take_head(reader.head, exchange, now)
        observer = self._observer = exchange.request.observer  # it may have been replaced on the fast path
        if self._inflater is not None:
            pieces = self._inflater.feed(b"".join(pieces))
        if exchange.task.api.FRAMING is Framing.READS:
            whole = b"".join(pieces)
            pieces = [whole] if whole else []
        for piece in pieces:
            if observer is not None:
                try:
                    observer.piece(piece, now)
                except Exception as fault_of_observer:
                    observer = self._observer = break_observer(exchange, fault_of_observer)
            if self._decoder is not None:
                events = self._decoder.feed(piece) if observer is None else self._events_in(piece)
                end = self._take_all(events, exchange, now)
            elif self._buffered is not None:
                end = self._keep(piece)
            else:
                end = self._begin_body(reader, exchange, piece, now)
            if end is not None:
                return end
        if fault is not None:
            raise fault
        return None

    def _take_head(self, head: Head, exchange: Exchange, now: int) -> None:
        task, recorder = exchange.task, exchange.task.recorder
        exchange.head_at = now
        if head is not task.samples.known_head:
            recorder.note_head(head, task.failures.clean, task.id)
        if head.rate_limits:
            recorder.note_rate_limits(head.rate_limits, now)
        if succeeded(head.status) and (coding := head.headers.get("content-encoding")):
            self._inflater = inflater_of(coding)
        if self._observer is not None:
            self._observer = tell(exchange, self._observer.head, head, now)

    def _begin_body(self, reader: ResponseReader, exchange: Exchange, piece: bytes, now: int) -> End | None:
        """The first piece of a body decides whether the body is decoded as it comes or kept until it is complete."""
        head = reader.head
        assert head is not None
        api = exchange.task.api
        if api.streamed and api.FRAMING is Framing.READS and succeeded(head.status):
            self._decoder = Unframed()
            return self._take_all(self._events_in(piece), exchange, now)
        piece = piece.lstrip()  # whitespace alone must not decide, or it would matter how the body was cut
        if not piece:
            return None
        if api.streamed and may_be_stream(head, piece):
            self._decoder = Decoder()
            return self._take_all(self._events_in(piece), exchange, now)
        self._buffered = BufferedBody(head)
        return self._keep(piece)

    def _events_in(self, piece: bytes) -> list[ServerEvent]:
        decoder, observer = self._decoder, self._observer
        assert decoder is not None
        if observer is None or not observer.EVENTS or isinstance(decoder, Unframed):
            return decoder.feed(piece)
        before = decoder.comments
        try:
            return decoder.feed(piece)
        finally:
            for _ in range(decoder.comments - before):
                observer.comment()

    def _keep(self, piece: bytes) -> End | None:
        assert self._buffered is not None
        # the beginning of an error's body is enough: the rest of a long one is not waited for
        return None if self._buffered.add(piece) else self._buffered.end_by_status()

    def _take_all(self, events: list[ServerEvent], exchange: Exchange, now: int) -> End | None:
        for event in events:
            for meaning in meanings_of(event, exchange, self._observer):
                end = exchange.apply(meaning, now, event.data)
                if end is not None:
                    return end
        return None

    # --- ending

    def _end_of_body(self, reader: ResponseReader, exchange: Exchange, now: int, *, closed: bool = False) -> End:
        """The body has ended properly; `closed`: only the end of the connection says so."""
        head, task = reader.head, exchange.task
        api = task.api
        assert head is not None
        if not (succeeded(head.status) or (api.MAY_BE_EMPTY and head.status == 204)):
            return (self._buffered or BufferedBody(head)).end_by_status()
        task.linger.ended()
        if self._decoder is None and self._buffered is None and api.streamed and api.ends_with_body:
            return End("empty", "the body is empty")
        if self._decoder is not None:
            pending = self._decoder.end()
            if pending is not None and not api.classify(pending.data, pending.name).malformed:
                # the last event lacks its blank line: the standard drops it, but it is complete
                end = self._take_all([pending], exchange, now)
                if end is not None:
                    return end
            if not closed or api.ends_with_body:
                exchange.body_ended(now, is_finish=api.ends_with_body)
            return exchange.end_of_stream()
        if self._buffered is None and not api.MAY_BE_EMPTY:
            return End("truncated", "the body is empty")
        body = self._buffered.content() if self._buffered is not None else b""
        answer = api.read_answer(body, head.headers.get("content-type", ""))
        if answer.malformed:
            unfinished = self._inflater is not None and not self._inflater.complete
            if unfinished or (closed and body.startswith(b"{") and not body.rstrip().endswith(b"}")):
                return End("truncated", "the answer is incomplete")
        if api.streamed and not answer.malformed:
            task.samples.counters.stream_ignored += 1
        return exchange.apply_answer(answer, now)

    def _end_early(self, otherwise: End) -> End:
        """The end of a request whose answer was cut off. What came before decides: a complete answer, or the status of
        an error; else the request ends with `otherwise`."""
        assert self.exchange is not None
        head = self._reader.head if self._reader is not None else None
        if self.exchange.over:
            return self.exchange.end_of_stream()
        if head is not None and not succeeded(head.status):
            return (self._buffered or BufferedBody(head)).end_by_status()
        return otherwise

    def _end(self, end: End, now: int) -> None:
        """End the attempt in flight: every attempt ends here. Afterwards the stream is free, and may have begun its
        next request; or the request waits for its next attempt."""
        reader, exchange, buffered = self._reader, self.exchange, self._buffered
        assert exchange is not None
        task, head = exchange.task, reader.head if reader is not None else None
        if end.outcome in UNEXPLAINED:  # the class has no text of the server: other data of it may explain the end
            stray = self._decoder.stray if isinstance(self._decoder, Decoder) else b""
            end = with_server_text(end, exchange.stray_data or stray, buffered)
        observed = exchange.request.observer is not None
        if observed and end.outcome == "ok":
            end = judged(exchange, end)
        sequel = ENDED if not end.failed else task.failures.judge(exchange, end, head, exchange.request.secrets)
        if observed:
            self._tell_end(exchange, end, now, final=sequel.again_ns is None)
        self._reader = self._inflater = self._decoder = self._buffered = self.fast = self.exchange = None
        if sequel.again_ns is None:
            move(self, FREE)
            if not observed or end.failed or not held(exchange, now, head):
                exchange.record_end(end, now)
        else:
            self.exchange = exchange.again(end, now)
        if reader is None or not reader.complete:
            self.drop_link(at_once=True)
        elif not reader.keep_alive or reader.surplus or 0 < task.requests_per_connection <= self._requests:
            self.drop_link()
        if sequel.again_ns is None:
            self._runtime.free(self, exchange, end, fatal=sequel.fatal, now=now)
        else:
            self._runtime.retry(self, now + sequel.again_ns)

    def _tell_end(self, exchange: Exchange, end: End, now: int, *, final: bool) -> None:
        observer = exchange.request.observer
        assert observer is not None
        if not final:
            self._observer = tell(exchange, observer.retried, end, now)
            return
        self._observer = None
        tell(exchange, observer.ended, ending_of(end, now, self._reader, self._buffered))

    # --- what an observer may do

    def call_at(self, at: int, act: Callable[[int], None]) -> Timer:
        """Call `act` at stamp `at` or later, with the stamp up to which everything has been processed then."""
        return self._runtime.call_at(at, act)

    def leave(self, now: int) -> None:
        """Abandon the request in flight at stamp `now`, and close its connection. If its answer is complete, it ends as
        it would have. While a connection is being opened, or another attempt waits for its time, the request is
        abandoned at the end of that."""
        if self._reader is None:
            self._leaves = True
        else:
            self._abandon(now)

    def _abandon(self, now: int) -> None:
        if self.exchange is not None:
            self._end(self.exchange.end_of_stream() if self.exchange.over else ABANDONED, now)

    def cut(self, now: int) -> None:
        """The run is over: cancel what is in flight, and close the connection."""
        while self.exchange is not None:  # the attempt may be followed by another one, which is cancelled, too
            self._end(self.exchange.end_of_stream() if self.exchange.over else CANCELLED, now)
        self.drop_link()

    def check(self, now: int) -> None:
        """Apply the time limits. This is called four times a second, so no stream needs timers of its own."""
        exchange = self.exchange
        if exchange is None or not exchange.sent or (exchange.end_at and self._look_whether_over(exchange, now)):
            return
        end = overdue(exchange, now, waits_for_first=not (exchange.first_token or self._has_begun_to_end))
        if end is not None:
            self._end(self._end_early(end), now)

    @property
    def _has_begun_to_end(self) -> bool:
        """The wait for the first token is over without one: a body in one piece has begun, or the status is an
        error."""
        head = self._reader.head if self._reader is not None else None
        return self._buffered is not None or (head is not None and not succeeded(head.status))

    def _look_whether_over(self, exchange: Exchange, now: int) -> bool:
        """Whether the answer is complete. If its body has stayed open for too long after that, the request ends
        here."""
        since = exchange.answered_at
        if not since:
            return False
        if now - since >= longest_wait(exchange):
            exchange.task.linger.stayed_open()
            counters = exchange.task.samples.counters
            counters.stayed_open += 1
            counters.stayed_open_ns += now - since
            self._end(exchange.end_of_stream(), now)
        return True

    # --- the connection

    def _read_loss(self, reader: ResponseReader, exchange: Exchange, now: int) -> None:
        if reader.head is None:
            if self._reused and not self._retried and reader.untouched:
                self._send_again(exchange)
                return
            self._end(end_before_head(self._lost_by), now)
        elif self._lost_by is None and reader.eof():
            self._end(self._end_of_body(reader, exchange, now, closed=True), now)
        else:
            self._end(self._end_early(End("truncated", "the connection was lost during the answer")), now)

    def _send_again(self, exchange: Exchange) -> None:
        """The connection is stale, and no byte of this answer has been read: send the request once more on another
        one."""
        exchange.task.samples.counters.stale_retries += 1
        self._retried = True
        self._reader = None
        exchange.sent = 0
        self._runtime.redial(self)

    def drop_link(self, *, at_once: bool = False) -> None:
        """Close the connection, if there is one; the next request needs another."""
        link, self.link = self.link, None
        if link is not None:
            link.close(at_once=at_once)
