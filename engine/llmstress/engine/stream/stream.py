"""One stream: an asyncio protocol that sends a request, reads its answer and is then free for the next one.

The protocol object *is* the stream: in the closed model a stream keeps its connection, so there is no pool, and no
task, future or queue per request. This is the hot path. Its rules:
1. One stamp per read, taken before anything else; all events of a read share it.
2. A read is stamped when it comes and understood a little later, in the order of the stamps (`read_arrived`).
3. Nothing of a read is kept once it is understood; a token event costs one typed JSON decode, a few comparisons
   and two appends.
4. The fast path takes a read that is exactly one chunk holding exactly one token event of the same kind as the last.
   Everything else goes the long way, through the sans-I/O parsers, and would mean the same there.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from llmstress.engine.api.base import Api, Classify, Framing
from llmstress.engine.api.lenient import has_words
from llmstress.engine.api.meaning import Meaning
from llmstress.engine.connect.connect_errors import end_before_head
from llmstress.engine.control import Timeouts
from llmstress.engine.http.body import MAX_WORDS, Kept, explained, may_be_stream, succeeded
from llmstress.engine.http.decompress import Inflater, inflater_of
from llmstress.engine.http.reads import Reads
from llmstress.engine.http.response import Malformed, ResponseReader
from llmstress.engine.http.sse import Decoder, ServerEvent
from llmstress.engine.outcome import CANCELLED, UNEXPLAINED, End
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.failures import ENDED, Failures
from llmstress.engine.stream.fast_path import Shape
from llmstress.engine.stream.linger import LONGEST_NS, SLOW_GAPS, Linger
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.telemetry.histogram import HIGHEST_US


class Link(Protocol):
    """A connection as the connector made it, with the way back to the connector's bookkeeping."""

    transport: asyncio.Transport

    def catch_up(self, protocol: asyncio.Protocol) -> None:
        """Tell `protocol` what came, and whether the connection went, before it was given the transport."""

    def close(self, *, at_once: bool = False) -> None:
        """Close the connection, at once if the peer is still sending; the stream hears nothing more of it."""

    def lost(self, error: Exception | None) -> None:
        """The connection is gone by itself."""


class Load(Protocol):
    """What a stream needs from those who make it run."""

    api: Api
    classify: Classify
    """The API's own, here because the hot path calls it for every event."""
    clock: Callable[[], int]
    arrived: deque[tuple["Stream", bytes, int]]
    """Reads that wait to be understood by `read_arrived`: stream, bytes, stamp."""
    failures: Failures
    least_output: int
    """Tokens that each choice of an answer was asked to have, at least; 0: nobody said."""
    linger: Linger
    recorder: Recorder
    request: bytes
    requests_per_connection: int
    """After so many a connection is closed; 0: it is kept as long as the server keeps it."""
    require_finish: bool
    """An answer that ends without a finish reason is truncated."""
    shape: Shape
    """Of the reads that take the fast path."""
    timeouts: Timeouts

    def wake(self) -> None:
        """`arrived` is no longer empty: have it read in the loop's next turn."""

    def redial(self, stream: "Stream") -> None:
        """The stream needs a new connection to send the same request again."""

    def retry(self, stream: "Stream", at: int) -> None:
        """Have the stream `resume` its request at stamp `at`."""

    def free(self, stream: "Stream", *, failed: bool, grave: bool, now: int) -> None:
        """The stream has ended a request at stamp `now`; `grave`: its failure may end the run."""


class Stream(asyncio.Protocol):
    """The requests of one stream, one after the other."""

    __slots__ = (
        "_decoder",
        "_inflater",
        "_kept",
        "_linked_at",
        "_load",
        "_lost_by",
        "_reader",
        "_requests",
        "_retried",
        "_reused",
        "exchange",
        "fast",
        "link",
    )

    def __init__(self, load: Load) -> None:
        self.link: Link | None = None
        self.exchange: Exchange | None = None
        """The request in flight."""
        self._load = load
        self.fast: Exchange | None = None
        """The request in flight, while its next read may take the fast path."""
        self._reader: ResponseReader | None = None
        self._inflater: Inflater | None = None
        self._decoder: Decoder | Reads | None = None
        self._kept: Kept | None = None
        self._linked_at = 0
        self._lost_by: Exception | None = None
        self._requests = 0  # sent on this connection
        self._reused = False
        self._retried = False

    # --- sending

    def begin(self, due: int) -> None:
        """Start the request that was due at `due`; a stream without a link then waits for `connected`."""
        recorder = self._load.recorder
        self.exchange = Exchange(recorder, due, self._load.clock())
        recorder.started()
        self._retried = False
        self._reused = self.link is not None
        if self._reused:
            self._send()
        else:
            self.exchange.opened = True

    def resume(self) -> None:
        """The wait before another attempt is over: send the request again."""
        exchange = self.exchange
        if exchange is None:
            return  # cut off meanwhile
        self._retried = False
        self._reused = self.link is not None
        if self._reused:
            exchange.start = self._load.clock()
            self._send()
        else:
            self._load.redial(self)

    def connected(self, link: Link) -> None:
        """A connection stands: send the request on it."""
        if self.exchange is None:
            link.close()
            return
        self._load.recorder.counters.connections += 1
        self.link = link
        self._linked_at = self._load.clock()
        self._requests = 0
        link.transport.set_protocol(self)
        self._send()
        link.catch_up(self)

    def not_connected(self, end: End) -> None:
        """No connection could be made: the request ends so."""
        if self.exchange is not None:
            self._end(end, self._load.clock())

    def _send(self) -> None:
        assert self.link is not None
        assert self.exchange is not None
        self._reader = ResponseReader(bodiless=self._load.api.method == "HEAD")
        self._inflater = self._decoder = self._kept = None
        self.exchange.sent = self.exchange.last_event = self._load.clock()
        self._requests += 1
        self.link.transport.write(self._load.request)

    # --- reading

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived: the one place where they are stamped. `read_arrived` makes sense of them."""
        load = self._load
        now = load.clock()
        arrived = load.arrived
        if not arrived:
            load.wake()
        arrived.append((self, data, now))

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer has closed or reset the connection, or it broke: that is read in its turn, as the empty read."""
        link, self.link = self.link, None
        self._lost_by = exc
        if link is not None:
            link.lost(exc)
        self.data_received(b"")

    def read(self, data: bytes, now: int) -> None:
        """The long way: frame, decode, classify. The empty read is the end of the connection."""
        if now < self._linked_at:
            return  # of a connection that has been given up since
        reader, exchange = self._reader, self.exchange
        if not data:
            if reader is not None and exchange is not None and now >= exchange.sent:
                self._read_loss(reader, exchange, now)
            return
        if reader is None or exchange is None or now < exchange.sent:
            # bytes that nobody asked for: whatever they are, the next answer on this connection can't be trusted
            self.drop_link()
            if exchange is not None and exchange.sent:
                self._send_again(exchange)
            return
        events_before = exchange.event_count
        if self.fast is not None and self._load.shape.lines:
            data = self._take_run(exchange, data, now)
        elif not exchange.first_token:
            exchange.last_event = now
        try:
            end = self._feed(reader, exchange, data, now) if data else None
        except Malformed as fault:
            end = self._end_early(End("malformed", str(fault)))
        events = exchange.event_count - events_before
        if events > 1:
            self._load.recorder.counters.events_shared += events
            exchange.joined += events - 1
            if not events_before:
                exchange.first_block = events
        if end is None and reader.complete:
            end = self._end_of_body(reader, exchange, now)
        if end is not None:
            self._end(end, now)
            return
        if exchange.end_at and exchange.over and self._load.linger.none_now():
            self.fast = None
            self._look_whether_over(exchange, now)
            return
        decoder = self._decoder
        self.fast = (
            exchange
            if exchange.last_token
            and exchange.single_choice
            and not exchange.end_at  # a token after a finish reason revokes it, which only the long way can
            and self._inflater is None
            and decoder is not None
            and reader.between_chunks
            and decoder.between_events
            else None
        )

    def _take_run(self, exchange: Exchange, data: bytes, now: int) -> bytes:
        """The fast path's test for each chunk of a read that holds several; gives what is left from the first that
        fails it.

        A client that falls behind finds several events in each read. If all of them took the long way, at five times
        the work, it would fall further behind and never recover.
        """
        shape, recorder, classify = self._load.shape, self._load.recorder, self._load.classify
        chunks = data.split(shape.end)
        if len(chunks) == 2 and not chunks[1]:
            return data  # a single chunk, which has failed the test already
        taken = 0
        for chunk in chunks[:-1]:
            payload = shape.payload(chunk)
            if payload is None or classify(payload) is not exchange.kind:
                break
            gap = min((now - exchange.last_token) // 1000, HIGHEST_US)
            exchange.last_token = now
            if recorder.keeps_texts:
                exchange.keep_text(payload)
            recorder.gaps.append(gap)
            exchange.gaps.append(gap)
            taken += 1
        return shape.end.join(chunks[taken:]) if taken else data

    def _feed(self, reader: ResponseReader, exchange: Exchange, data: bytes, now: int) -> End | None:
        fault: Malformed | None = None
        pieces: Iterable[bytes]
        try:
            pieces = reader.feed(data)
        except Malformed as error:
            fault, pieces = error, error.pieces
        head = reader.head
        if head is not None and not exchange.head_at:
            exchange.head_at = now
            if head is not self._load.recorder.known_head:
                self._load.recorder.saw(head, self._load.failures.clean)
            if head.rate_limits:
                self._load.recorder.heard_limits(head.rate_limits, now)
            if succeeded(head.status) and (coding := head.headers.get("content-encoding")):
                self._inflater = inflater_of(coding)
        if self._inflater is not None:
            pieces = self._inflater.feed(b"".join(pieces))
        if self._load.api.FRAMING is Framing.READS:
            whole = b"".join(pieces)
            pieces = [whole] if whole else []
        for piece in pieces:
            if self._decoder is not None:
                end = self._take_all(self._decoder.feed(piece), exchange, now)
            elif self._kept is not None:
                end = self._keep(piece)
            else:
                end = self._begin_body(reader, exchange, piece, now)
            if end is not None:
                return end
        if fault is not None:
            raise fault
        return None

    def _begin_body(self, reader: ResponseReader, exchange: Exchange, piece: bytes, now: int) -> End | None:
        """The first piece of a body says whether it is to be decoded as it comes, or to be kept until it is whole."""
        head = reader.head
        assert head is not None
        api = self._load.api
        if api.streamed and api.FRAMING is Framing.READS and succeeded(head.status):
            self._decoder = Reads()
            return self._take_all(self._decoder.feed(piece), exchange, now)
        piece = piece.lstrip()  # no byte may change what the body is, whether it comes alone or not
        if not piece:
            return None
        if api.streamed and may_be_stream(head, piece):
            self._decoder = Decoder()
            return self._take_all(self._decoder.feed(piece), exchange, now)
        self._kept = Kept(head)
        return self._keep(piece)

    def _keep(self, piece: bytes) -> End | None:
        assert self._kept is not None
        # of an error's words the first are enough: who would send more isn't waited for
        return None if self._kept.add(piece) else self._kept.end_by_status()

    def _take_all(self, events: list[ServerEvent], exchange: Exchange, now: int) -> End | None:
        for event in events:
            for meaning in self._meanings(event):
                end = exchange.apply(meaning, now, event.data)
                if end is not None:
                    return end
        return None

    def _meanings(self, event: ServerEvent) -> list[Meaning]:
        name, data = event
        meaning = self._load.classify(data, name)
        if meaning.tokens:
            return [meaning]
        if (meaning.malformed or meaning.foreign) and b"\n" in data:
            # Events with one newline between them instead of two: the standard joins them to something that
            # isn't JSON, although each line is.
            lines = [self._load.classify(line) for line in data.split(b"\n")]
            if not any(line.malformed for line in lines) and not all(line.foreign for line in lines):
                return lines
        if (meaning.unknown or (meaning.foreign and has_words(data, name))) and self.exchange is not None:
            self.exchange.words = data[:MAX_WORDS]
        return [meaning]

    # --- ending

    def _end_of_body(self, reader: ResponseReader, exchange: Exchange, now: int, *, closed: bool = False) -> End:
        """The body has come to its end, which is proper; `closed`: only the connection's end says so."""
        head, api = reader.head, self._load.api
        assert head is not None
        if not (succeeded(head.status) or (api.MAY_BE_EMPTY and head.status == 204)):
            return (self._kept or Kept(head)).end_by_status()
        self._load.linger.ended()
        if self._decoder is None and self._kept is None and api.streamed and api.ends_with_body:
            return End("empty", "the body is empty")
        if self._decoder is not None:
            pending = self._decoder.end()
            if pending is not None and not self._load.classify(pending.data, pending.name).malformed:
                # its blank line is missing: the standard drops it, but it is whole
                end = self._take_all([pending], exchange, now)
                if end is not None:
                    return end
            if not closed or api.ends_with_body:
                exchange.body_ended(now, is_finish=api.ends_with_body)
            return self._end_of_stream(exchange)
        if self._kept is None and not api.MAY_BE_EMPTY:
            return End("truncated", "the body is empty")
        body = self._kept.body() if self._kept is not None else b""
        answer = api.read_answer(body, head.headers.get("content-type", ""))
        if answer.malformed:
            unfinished = self._inflater is not None and not self._inflater.complete
            if unfinished or (closed and body.startswith(b"{") and not body.rstrip().endswith(b"}")):
                return End("truncated", "the answer is incomplete")
        if api.streamed and not answer.malformed:
            self._load.recorder.counters.stream_ignored += 1
        return exchange.apply_answer(answer, now, require_finish=self._load.require_finish)

    def _end_of_stream(self, exchange: Exchange) -> End:
        return exchange.end_of_stream(require_finish=self._load.require_finish)

    def _end_early(self, otherwise: End) -> End:
        """How a request ends whose answer will not come to its proper end: what had come before that decides, the
        finish signal or an error's status; then `otherwise`."""
        assert self.exchange is not None
        head = self._reader.head if self._reader is not None else None
        if self.exchange.over:
            return self._end_of_stream(self.exchange)
        if head is not None and not succeeded(head.status):
            return (self._kept or Kept(head)).end_by_status()
        return otherwise

    def _end(self, end: End, now: int) -> None:
        """An attempt ends so. Where an end comes without words of the server, what it said otherwise may explain it."""
        if end.outcome in UNEXPLAINED and self.exchange is not None:
            stray = self._decoder.stray if isinstance(self._decoder, Decoder) else b""
            end = explained(end, self.exchange.words or stray, self._kept)
        self._leave(end, now)

    def _leave(self, end: End, now: int) -> None:
        """The one way out of an attempt. The stream is free afterwards, and may have begun the next request; or it
        waits for its next attempt, with the request in flight."""
        reader, exchange = self._reader, self.exchange
        assert exchange is not None
        self._reader = self._inflater = self._decoder = self._kept = self.fast = self.exchange = None
        sequel = ENDED if not end.failed else self._load.failures.judge(exchange, end, reader.head if reader else None)
        if sequel.again_ns is None:
            exchange.record_end(end, now, self._load.least_output)
        else:
            self.exchange = exchange.again(end, now)
        if reader is None or not reader.complete:
            self.drop_link(at_once=True)
        elif not reader.keep_alive or reader.surplus or 0 < self._load.requests_per_connection <= self._requests:
            self.drop_link()
        if sequel.again_ns is None:
            self._load.free(self, failed=end.failed, grave=sequel.grave, now=now)
        else:
            self._load.retry(self, now + sequel.again_ns)

    def cut(self, now: int) -> None:
        """The run is over: what is still in flight is cancelled, and the connection closed."""
        while self.exchange is not None:  # what ends now may want another attempt, which is cancelled in its turn
            self._end(self._end_of_stream(self.exchange) if self.exchange.over else CANCELLED, now)
        self.drop_link()

    def check(self, now: int) -> None:
        """Apply the time limits; called every now and then, so that no stream needs timers of its own."""
        exchange, limits = self.exchange, self._load.timeouts
        if exchange is None or not exchange.sent or (exchange.end_at and self._look_whether_over(exchange, now)):
            return
        if 0 < limits.total_ns < now - exchange.start:
            self._time_out("timeout_total", f"not finished {limits.total_ns / 1e9:g} s after its start", now)
        elif not (exchange.first_token or self._has_begun_to_end):
            if 0 < limits.first_token_ns < now - exchange.start:
                what = "token" if self._load.api.streamed else "answer"
                text = f"no {what} {limits.first_token_ns / 1e9:g} s after its start"
                self._time_out("timeout_first_token", text, now)
        elif 0 < limits.idle_ns < now - exchange.last_token and limits.idle_ns < now - exchange.last_event:
            self._time_out("timeout_idle", f"no event for {limits.idle_ns / 1e9:g} s", now)

    @property
    def _has_begun_to_end(self) -> bool:
        """An answer without a first token has come as far as it will: a whole body begins, or a status is an error."""
        head = self._reader.head if self._reader is not None else None
        return self._kept is not None or (head is not None and not succeeded(head.status))

    def _look_whether_over(self, exchange: Exchange, now: int) -> bool:
        """Whether the answer is over; if its body has stayed open for too long after that, the request ends here."""
        since = exchange.answered_at
        if not since:
            return False
        linger = self._load.linger
        wait = LONGEST_NS if exchange.awaits_usage else linger.wait_ns
        if not exchange.done_at:
            wait = max(wait, SLOW_GAPS * exchange.doubtful_ns)
        if now - since >= wait:
            linger.stayed_open()
            counters = self._load.recorder.counters
            counters.stayed_open += 1
            counters.stayed_open_ns += now - since
            self._end(self._end_of_stream(exchange), now)
        return True

    def _time_out(self, outcome: str, text: str, now: int) -> None:
        self._end(self._end_early(End(outcome, text)), now)

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
        """The kept connection was no good, and no byte of this answer has been read: once more, on a fresh one."""
        self._load.recorder.counters.stale_retries += 1
        self._retried = True
        self._reader = None
        exchange.sent = 0
        self._load.redial(self)

    def drop_link(self, *, at_once: bool = False) -> None:
        """Close the connection, if there is one; the next request needs another."""
        link, self.link = self.link, None
        if link is not None:
            link.close(at_once=at_once)
