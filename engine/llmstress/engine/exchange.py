"""One request and its answer: the stamps, what the events mean for them, and how it ended. No I/O, no clock.

Stamps are monotonic nanoseconds of the read that completed them, 0 while the moment hasn't come.
"""

from array import array

from llmstress.engine.api.event import END_OF_BODY, TOKEN, Event, Usage
from llmstress.engine.outcome import FILTERED, OK, End
from llmstress.engine.recorder import Recorder
from llmstress.engine.telemetry.blocks import LONG_ANSWER, in_blocks, late_ns
from llmstress.engine.telemetry.histogram import HIGHEST_US
from llmstress.engine.telemetry.messages import Counters

MAX_REASON = 40
"""Length of a finish reason: it is a server's word and stays for the whole run."""


class Exchange:
    """State of one request in flight. The stream's fast path writes `last_token` and appends gaps by itself."""

    __slots__ = (
        "_filtered",
        "_finish",
        "_finished",
        "_firsts",
        "_inputs",
        "_others",
        "_reasoning_streamed",
        "_recorder",
        "_retold",
        "_running",
        "_usage",
        "attempt",
        "begun",
        "choices",
        "done_at",
        "due",
        "end_at",
        "events",
        "first_answer",
        "first_block",
        "first_token",
        "gaps",
        "head_at",
        "joined",
        "kind",
        "last_event",
        "last_token",
        "marks",
        "opened",
        "sent",
        "start",
    )

    def __init__(self, recorder: Recorder, due: int, start: int) -> None:
        self.due = due
        self.begun = start
        """The start of the first attempt."""
        self.start = start
        """Of this attempt; 0 while it waits for its time."""
        self.attempt = 0
        """How many attempts have failed before this one."""
        self.opened = False
        """A connection was opened for this request."""
        self.sent = 0
        self.head_at = 0
        self.first_token = 0
        self.first_answer = 0
        self.last_token = 0
        """Of choice 0."""
        self.last_event = 0
        """The last sign of progress that the idle limit accepts."""
        self.done_at = 0
        self.end_at = 0
        self.choices = 0
        """How many choices have borne a token."""
        self.gaps = array("I")
        """Gaps in µs: 4 bytes per token event of an answer in flight. They have been recorded already; the log is
        there to take them back should the request fail, for the largest one, and for their number."""
        self.first_block = 1
        """Token events of the first read that had any."""
        self.joined = 0
        """Token events that came in the same read as another one before them."""
        self.marks = 0
        """How many entries of `gaps` are the recorder's marks of phase edges."""
        self.kind: Event = TOKEN
        """What the last token event was: the fast path takes only more of the same."""
        self._recorder = recorder
        self._others: dict[int, int] | None = None  # choice -> stamp of its last token, but for choice 0
        self._firsts = 0  # sum of the stamps of the choices' first tokens
        self._finish = ""  # reason of the choice that finished first
        self._finished: set[int] | None = None  # the choices that have finished, once there is one
        self._running = 0  # how many choices have borne a token and not finished
        self._filtered = False
        self._inputs = 0
        self._usage: Usage | None = None
        self._reasoning_streamed = False
        self._retold = False

    @property
    def over(self) -> bool:
        """The protocol's last word has been seen, or the finish signal of every choice that has borne a token."""
        return self.done_at > 0 or (bool(self._finish) and not self._running)

    @property
    def finish(self) -> str:
        """The finish reason in the API's own words; empty: none has come."""
        return self._finish

    @property
    def usage(self) -> Usage | None:
        """What the server has reported so far."""
        return self._usage

    @property
    def single_choice(self) -> bool:
        """All tokens so far were choice 0's."""
        return not self._others

    @property
    def event_count(self) -> int:
        """How many token-bearing events have come."""
        return len(self.gaps) - self.marks + self.choices

    def again(self, end: End, now: int) -> "Exchange":
        """This attempt has failed with `end` at `now`: gives the next one, which waits for its time."""
        self._recorder.retried(self, end, now)
        attempt = Exchange(self._recorder, self.due, 0)
        attempt.begun = self.begun
        attempt.attempt = self.attempt + 1
        return attempt

    def begin_on_new_connection(self, now: int) -> None:
        """A connection is being opened for this request from `now` on, unless it replaces one that was no good."""
        if not self.start:
            self.start = now
            self.opened = True

    def mark(self, sign: int) -> None:
        """Put the sign of a phase edge into the log of gaps."""
        self.gaps.append(sign)
        self.marks += 1

    def apply(self, event: Event, now: int) -> End | None:
        """An event of the stream has come at `now`; gives the end if it is one."""
        if self.done_at:
            # after its last word a server may repeat itself or add its usage; nothing of that can end a request
            self._take_usage(event.usage)
            return None
        self.last_event = now
        if event.malformed or event.error:
            if self.over and self.first_token:
                return None  # the finish came first
            return End("malformed", event.malformed) if event.malformed else End("stream_error", event.error)
        if event.unknown:
            self._recorder.counters.events_unknown += 1
        for token in event.tokens:
            self._token(token.choice, visible=token.visible, now=now)
            self._reasoning_streamed |= token.reasoning
            self._retold |= token.retold
            self.kind = event
        self._take_usage(event.usage)
        if event.finish and not self.over:
            self._take_finish(event, now)
        if event.done:
            self.done_at = self.end_at = now
        return None

    def _take_finish(self, event: Event, now: int) -> None:
        self._finish = self._finish or event.finish
        self._filtered |= event.filtered
        self.end_at = now
        if self._finished is None:
            self._finished = set()
        for choice in event.finished:
            if choice not in self._finished:
                self._finished.add(choice)
                self._running -= self._has_borne(choice)

    def _has_borne(self, choice: int) -> bool:
        return choice in (self._others or ()) if choice else self.last_token > 0

    def _take_usage(self, usage: Usage | None) -> None:
        if usage is not None:
            self._usage = usage if self._usage is None else self._usage.updated(usage)

    def apply_answer(self, event: Event, now: int) -> End:
        """A whole answer that was not streamed has come at `now`; gives the end."""
        if event.malformed:
            return End("malformed", event.malformed)
        if event.error:
            return End("stream_error", event.error)
        # without tokens there are none whose number had to be guessed
        self._usage = event.usage or (Usage() if event.tokenless else None)
        self._finish = event.finish
        self._inputs = event.inputs
        self.end_at = now
        if not event.finish:
            return End("truncated", "the answer has no finish reason")
        if event.filtered:
            return FILTERED
        return OK if event.tokens or event.tokenless else End("empty", f"finished ({event.finish}) without a token")

    def finish_with_body(self, now: int) -> None:
        """The body has properly ended at `now`, which is the finish signal unless there was another."""
        if not self._finish:
            self._finish = END_OF_BODY
            self._running = 0
            self.end_at = now

    def end_of_stream(self) -> End:
        """The stream is over, by its body's end or the connection's; gives the end."""
        if not self._finish or not self.over:
            return End("truncated", "the stream ended before a finish signal")
        if self._filtered:
            return FILTERED
        return OK if self.first_token else End("empty", f"finished ({self._finish}) without a token")

    def record_end(self, end: End, now: int) -> None:
        """Count this request as ended so at `now`: its class, its samples, its tokens."""
        part = self._recorder.ended(self, end, now)
        counters = part.counters
        events, usage = self.event_count, self._usage
        if end.outcome == "cancelled":
            counters.output_cancelled += events
            return
        if end.outcome != "ok":
            counters.output_failed += events
            return
        output, by_usage = self.output
        counters.inputs += self._inputs
        reason = self._finish[:MAX_REASON]
        part.finish[reason] = part.finish.get(reason, 0) + 1
        part.bound()
        counters.output += output
        counters.events_ok += events
        if events:
            counters.output_streamed += output
        counters.usage_seen += by_usage
        if events >= LONG_ANSWER and self.single_choice:
            self._count_blocks(counters, events)
        if usage is not None:
            counters.input += usage.input or 0
            counters.cached_input += usage.cached_input or 0
            counters.reasoning += usage.reasoning or 0

    def _count_blocks(self, counters: Counters, events: int) -> None:
        counters.long_answers += 1
        blocks, lasted = events - self.joined, self.last_token - self.first_token
        if in_blocks(events, blocks, lasted):
            counters.in_blocks += 1
            counters.in_one_block += blocks == 1
            counters.blocks += blocks
            counters.blocks_events += events
            counters.blocks_late_ns += late_ns(events, self.first_block, lasted)

    @property
    def output(self) -> tuple[int, bool]:
        """Output tokens so far, and whether the server's usage says so; else they are token-bearing events."""
        usage, events = self._usage, self.event_count
        if usage is None or (events and not usage.output):
            return events, False
        return usage.output or 0, True

    @property
    def decoding(self) -> tuple[int, int]:
        """How long (ns) the tokens after the first took, and how many they are: `tpot` is the quotient.

        With several choices both are sums over them: of usage, which is what says how many tokens an event carries,
        there is only one for all. Reasoning that stayed hidden was generated before the first token. Reasoning that
        was retold came at a pace of its own: then it is the visible answer that is measured.
        """
        usage = self._usage
        span = self.last_token + (sum(self._others.values()) if self._others else 0) - self._firsts
        if usage is None or not usage.output:
            return span, self.event_count - self.choices
        # some providers report reasoning beside the output instead of within it
        reasoning = usage.reasoning or 0
        if reasoning >= usage.output or (self._reasoning_streamed and not self._retold):
            reasoning = 0
        if reasoning and self._retold:
            span = self.last_token - self.first_answer
            if not 0 < self.first_answer < self.last_token:
                return 0, 0
        return span, usage.output - reasoning - self.choices

    def _token(self, choice: int, *, visible: bool, now: int) -> None:
        if not self.first_token:
            self.first_token = now
            self._recorder.first_token((now - self.start) // 1000, (now - self.due) // 1000)
        if visible and not self.first_answer:
            self.first_answer = now
            self._recorder.first_answer((now - self.start) // 1000)
        if choice:
            if self._others is None:
                self._others = {}
            last = self._others.get(choice, 0)
            self._others[choice] = now
        else:
            last = self.last_token
            self.last_token = now
        if last:
            gap = min((now - last) // 1000, HIGHEST_US)
            self._recorder.gaps.append(gap)
            self.gaps.append(gap)
        else:
            self.choices += 1
            self._firsts += now
            self._running += self._finished is None or choice not in self._finished
            self._recorder.first_of_choice()
