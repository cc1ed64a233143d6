"""One request and its answer: the stamps, what the events mean for them, and how it ended. No I/O, no clock.

Stamps are monotonic nanoseconds of the read that completed them, 0 while the moment hasn't come.
"""

from array import array

from llmstress.engine.api.event import TOKEN, Event, Usage
from llmstress.engine.outcome import FILTERED, OK, End
from llmstress.engine.recorder import Recorder
from llmstress.engine.telemetry.histogram import HIGHEST_US

MAX_REASON = 40
"""Length of a finish reason: it is a server's word and stays for the whole run."""


class Exchange:
    """State of one request in flight. The stream's fast path writes `last_token` and appends gaps by itself."""

    __slots__ = (
        "_filtered",
        "_finish",
        "_inputs",
        "_others",
        "_reasoning_streamed",
        "_recorder",
        "_usage",
        "attempt",
        "begun",
        "choices",
        "done_at",
        "due",
        "end_at",
        "events",
        "first_answer",
        "first_token",
        "gaps",
        "head_at",
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
        self.marks = 0
        """How many entries of `gaps` are the recorder's marks of phase edges."""
        self.kind: Event = TOKEN
        """What the last token event was: the fast path takes only more of the same."""
        self._recorder = recorder
        self._others: dict[int, int] | None = None  # choice -> stamp of its last token, but for choice 0
        self._finish = ""
        self._filtered = False
        self._inputs = 0
        self._usage: Usage | None = None
        self._reasoning_streamed = False

    @property
    def over(self) -> bool:
        """The finish signal or the protocol's last word has been seen."""
        return bool(self._finish) or self.done_at > 0

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
        if event.malformed:
            return End("malformed", event.malformed)
        if event.error:
            return End("stream_error", event.error)
        if event.unknown:
            self._recorder.counters.events_unknown += 1
        for token in event.tokens:
            self._token(token.choice, visible=token.visible, now=now)
            self._reasoning_streamed |= token.reasoning
            self.kind = event
        self._take_usage(event.usage)
        if event.finish and not self._finish:
            self._finish = event.finish
            self._filtered = event.filtered
            self.end_at = now
        if event.done:
            self.done_at = self.end_at = now
        return None

    def _take_usage(self, usage: Usage | None) -> None:
        if usage is not None:
            self._usage = usage if self._usage is None else self._usage.updated(usage)

    def apply_answer(self, event: Event, now: int) -> End:
        """A whole answer that was not streamed has come at `now`; gives the end."""
        if event.malformed:
            return End("malformed", event.malformed)
        if event.error:
            return End("stream_error", event.error)
        self._usage = event.usage
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
            self._finish = "end of body"
            self.end_at = now

    def end_of_stream(self) -> End:
        """The stream is over, by its body's end or the connection's; gives the end."""
        if not self._finish:
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
        output = usage.output if usage is not None and usage.output else events
        counters.inputs += self._inputs
        reason = self._finish[:MAX_REASON]
        part.finish[reason] = part.finish.get(reason, 0) + 1
        part.bound()
        counters.output += output
        counters.events_ok += events
        if events:
            counters.output_streamed += output
        if usage is not None:
            counters.usage_seen += 1
            counters.input += usage.input or 0
            counters.cached_input += usage.cached_input or 0
            counters.reasoning += usage.reasoning or 0

    @property
    def decoded(self) -> int:
        """Tokens generated between first and last token event, both included: reasoning that stayed hidden was
        generated before."""
        usage = self._usage
        if usage is None or not usage.output:
            return self.event_count
        # some providers report reasoning beside the output instead of within it
        reasoning = usage.reasoning or 0
        hidden = 0 if self._reasoning_streamed or reasoning >= usage.output else reasoning
        return usage.output - hidden

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
            self._recorder.first_of_choice()
