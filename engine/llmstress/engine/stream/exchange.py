"""One attempt of a request and its answer: its stamps, its tokens, and how it ended. No I/O, no clock.

A stamp is the monotonic time (ns) of the read that completed it; 0: it has not come yet. `docs/metrics.md` defines
the stamps.
"""

from array import array

from llmstress.engine.api.meaning import END_OF_BODY, TOKEN, Meaning, Usage
from llmstress.engine.outcome import FILTERED, OK, End
from llmstress.engine.stream.broken import break_observer
from llmstress.engine.stream.counting import count_end
from llmstress.engine.stream.pace import Answer, Pace, Texts, pace_of, stale_pace, texts_of
from llmstress.engine.stream.samples import EDGE
from llmstress.engine.stream.task import Request
from llmstress.engine.stream.usage_reports import FIRST_READ_NS, Reports
from llmstress.engine.telemetry.histogram import HIGHEST_US

NO_REASON = "none"
"""The finish reason of an answer that ended with the protocol's end event (such as `[DONE]`) alone."""

_CUT_BY_LIMIT = frozenset({"length", "max_tokens", "max_output_tokens", "model_context_window_exceeded"})
"""Finish reasons of answers that were ended by a limit and not by the model."""


class Exchange:
    """State of one attempt of a request. The read loop's fast path writes `last_token` and appends gaps by itself."""

    __slots__ = (
        "_before_answer",
        "_filtered",
        "_finish",
        "_finish_at",
        "_finish_with_token",
        "_finished",
        "_first_data",
        "_firsts",
        "_others",
        "_reasoning_streamed",
        "_reports",
        "_revoked",
        "_running",
        "_samples",
        "_summarized",
        "_texts_since",
        "_tokenless",
        "_usage",
        "_whole",
        "attempt",
        "begun",
        "choices",
        "done_at",
        "due",
        "end_at",
        "first_answer",
        "first_block",
        "first_token",
        "gaps",
        "head_at",
        "inputs",
        "joined",
        "kind",
        "last_data",
        "last_event",
        "last_token",
        "marks",
        "notes_tokens",
        "opened",
        "request",
        "sent",
        "start",
        "stray_data",
        "task",
        "token_bytes",
    )

    def __init__(self, request: Request, due: int, start: int) -> None:
        self.request = request
        """What is sent; a later attempt sends the same."""
        self.task = request.task
        self.due = due
        self.begun = start
        """The start of the first attempt."""
        self.start = start
        """Of this attempt; 0 while it waits for its time."""
        self.attempt = 0
        """How many attempts failed before this one."""
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
        """Of the end event, else of the last finish reason; 0 again if a token came after that."""
        self.choices = 0
        """How many choices have a token."""
        self.gaps = array("I")
        """Gaps in µs: 4 bytes per token event of an answer in flight. They have been recorded already; this log serves
        to retract them if the request fails, to find the largest one, and to count them."""
        self.first_block = 1
        """Token events of the first read that had any."""
        self.joined = 0
        """Token events that came in the same read as another one before them."""
        self.marks = 0
        """How many entries of `gaps` are the recorder's marks of window edges."""
        self.last_data = b""
        """Of the last token event. It is kept undecoded, because the text of few answers is needed."""
        self.token_bytes = 0
        """Length of the data of all token events."""
        self.inputs = 0
        """Inputs that an answer in one piece has processed, where a request has several (embeddings)."""
        self.kind: Meaning = TOKEN
        """The meaning of the last token event: the fast path takes only more of the same."""
        self.stray_data = b""
        """The last data that was not a message of the API; its setter bounds its length."""
        self._samples = samples = request.task.samples
        self._others: dict[int, int] | None = None  # choice -> stamp of its last token, but for choice 0
        self._firsts = 0  # sum of the stamps of the choices' first tokens
        self._finish = ""  # reason of the choice that finished first
        self._finish_with_token = False
        self._finish_at = 0  # stamp of the last finish reason
        self._finished: set[int] | None = None  # the choices that have finished, once there is one
        self._running = 0  # how many choices have a token and have not finished
        self._revoked = False  # a token came after a finish reason, so finish reasons do not end this answer
        self._filtered = False
        self._usage: Usage | None = None
        self._reports: Reports | None = None
        self._tokenless = False
        self._whole = False  # the answer came in one piece
        self._first_data = b""  # of the first token event
        self._texts_since = samples.keeps_texts
        self.notes_tokens = self._texts_since > 0 or request.observer is not None
        """The fast path calls `note_token` for each token event."""
        self._before_answer = 0  # token events before the first visible one
        self._reasoning_streamed = False
        self._summarized = False

    @property
    def over(self) -> bool:
        """The answer is complete: the end event has come, or a finish reason for every choice that has a token.

        A token revokes the finish reason before it. After that only the end event, or the proper end of the body, ends
        the answer.
        """
        return self.done_at > 0 or (bool(self._finish) and not self._running and not self._revoked)

    @property
    def answered_at(self) -> int:
        """When the answer was complete although its body is still open; 0: it is not complete, or no token is known."""
        if self.done_at:
            return self.done_at
        # Usage shows that the model has finished, even if all its tokens were hidden. A finish reason alone, before any
        # token, may come from a server that puts one on its first event.
        return self.end_at if self.over and (self.first_token or self._reports is not None) else 0

    @property
    def doubtful_ns(self) -> int:
        """How long a finish reason that came with a token is in doubt, since every event may carry one: the longest gap
        (ns) of the answer, or the whole time to its first token if there is only one. 0: the reason came alone."""
        if not self._finish_with_token:
            return 0
        if self.event_count <= self.choices:
            return self.first_token - self.sent if self.first_token else 0
        return max(gap for gap in self.gaps if gap < EDGE) * 1000

    @property
    def awaits_usage(self) -> bool:
        """The answer is complete, but its usage may still come."""
        return not self.done_at and self._reports is None

    @property
    def finish(self) -> str:
        """The finish reason as the API gives it; empty: none has come."""
        return self._finish

    @property
    def usage(self) -> Usage | None:
        """What the server has reported so far."""
        return self._usage

    @property
    def single_choice(self) -> bool:
        """All tokens so far are of choice 0."""
        return not self._others

    @property
    def event_count(self) -> int:
        """How many token events have come."""
        return len(self.gaps) - self.marks + self.choices

    def again(self, end: End, now: int) -> "Exchange":
        """This attempt failed with `end` at `now`: gives the next one, which has not started yet."""
        self._samples.retried(self, end, now)
        attempt = Exchange(self.request, self.due, 0)
        attempt.begun = self.begun
        attempt.attempt = self.attempt + 1
        return attempt

    def begin_on_new_connection(self, now: int) -> None:
        """A connection is being opened for this request from `now` on, unless it replaces a stale one."""
        if not self.start:
            self.start = now
            self.opened = True

    def mark(self, sign: int) -> None:
        """Put the mark of a window edge into the log of gaps."""
        self.gaps.append(sign)
        self.marks += 1

    def apply(self, meaning: Meaning, now: int, data: bytes = b"") -> End | None:
        """Take in an event of the stream that came at `now` with this data; gives the end if the event is one."""
        if self.done_at:
            # after its end event a server may add its usage or repeat itself; nothing of that can end a request
            self._take_usage(meaning, now)
            return None
        if meaning.tokens:
            if self._texts_since:
                self._keep_text(data)
            for token in meaning.tokens:
                self._token(token.choice, visible=token.visible, now=now)
                self._reasoning_streamed |= token.reasoning
                self._summarized |= token.summarized
                self.kind = meaning
            if meaning.field:
                self._samples.note_field(meaning.field)
        elif meaning.foreign or meaning.ping:
            self._samples.counters.events_foreign += meaning.foreign
            return None  # no progress: it does not reset the idle limit
        elif meaning.malformed or meaning.error:
            if self.answered_at:
                return None  # the finish reason came first
            return End("malformed", meaning.malformed) if meaning.malformed else End("stream_error", meaning.error)
        elif meaning.unknown:
            self._samples.counters.events_unknown += 1
        self.last_event = now
        if meaning.usage is not None:
            self._take_usage(meaning, now)
        if meaning.finish and not self.over:
            self._take_finish(meaning, now)
        if meaning.done:
            self.done_at = self.end_at = now
        return None

    def note_token(self, data: bytes, chunk: bytes, now: int) -> None:
        """A token event with this data, which fills this chunk of the body, took the fast path."""
        if self._texts_since:
            self.token_bytes += len(data)  # `_keep_text` inlined
            self.last_data = data
            if not self._first_data:
                self._first_data = data
        if self.request.observer is not None:
            try:
                self.request.observer.piece(chunk[chunk.index(b"\n") + 1 : -2], now)
            except Exception as fault:
                break_observer(self, fault)

    def _keep_text(self, data: bytes) -> None:
        """Keep the text of a token event for `pace`, which needs it if usage counts more tokens than events."""
        self.token_bytes += len(data)
        self.last_data = data
        if not self._first_data:
            self._first_data = data

    def _take_finish(self, meaning: Meaning, now: int) -> None:
        self._finish = self._finish or meaning.finish
        self._filtered |= meaning.filtered
        self.end_at = self._finish_at = now
        self._finish_with_token = bool(meaning.tokens)
        if self._finished is None:
            self._finished = set()
        for choice in meaning.finished:
            if choice not in self._finished:
                self._finished.add(choice)
                self._running -= self._has_borne(choice)

    def _revoke(self, choice: int) -> None:
        """A token of a choice that has finished: its finish reason does not count."""
        assert self._finished is not None
        self._finished.discard(choice)
        self._running += self._has_borne(choice)
        self._revoked = True
        self._filtered = False
        self.end_at = 0

    def _has_borne(self, choice: int) -> bool:
        return choice in (self._others or ()) if choice else self.last_token > 0

    def _take_usage(self, meaning: Meaning, now: int) -> None:
        usage = meaning.usage
        if usage is None:
            return
        self._usage = usage if self._usage is None else self._usage.updated(usage)
        output, reports = usage.output, self._reports
        if not output:
            return
        events, with_token = self.event_count, bool(meaning.tokens)
        if reports is None and events > 1 and not with_token and now > self.first_token:
            # a single report at the end, as most servers send it
            self._reports = Reports(count=1, sum=output, last=output, highest=output, seen=events, final=True)
            return
        if reports is None:
            reports = self._reports = Reports()
        soon = events == 1 and now - self.first_token <= FIRST_READ_NS
        at_first = now == self.first_token or (soon and not with_token)
        reports.take(output, events, with_token=with_token, at_first=at_first)

    def apply_answer(self, meaning: Meaning, now: int) -> End:
        """Take in an answer that came in one piece at `now`; gives the end."""
        self._whole = True
        if meaning.malformed:
            return End("malformed", meaning.malformed)
        if meaning.error:
            return End("stream_error", meaning.error)
        self._take_usage(meaning, now)
        self._finish = meaning.finish
        self._tokenless = meaning.tokenless
        self.inputs = meaning.inputs
        self.done_at = self.end_at = now
        self._filtered = meaning.filtered
        return self.end_of_stream(borne=bool(meaning.tokens) or meaning.tokenless)

    def body_ended(self, now: int, *, is_finish: bool) -> None:
        """The body has properly ended at `now`; `is_finish`: in this API that counts as a finish reason."""
        if not self._finish and is_finish:
            self._finish = END_OF_BODY
            self._running = 0
            self.end_at = now
        elif self._revoked:
            if self._running or not self.end_at:  # tokens came after the last finish reason
                self.end_at = now
            self._revoked = False
            self._running = 0

    def end_of_stream(self, *, borne: bool = False) -> End:
        """The stream is over, by the end of its body or of the connection; gives the end.

        borne: there were tokens, although no event carried one.
        """
        if not self.over:
            return End("truncated", "the stream ended before a finish signal")
        borne = borne or self.first_token > 0 or self._unseen_tokens
        if not self._finish:
            if self.task.require_finish:
                return End("truncated", "the answer ended without a finish reason (--require-finish)")
            if not borne:
                return End("truncated", "the answer ended without a token and without a finish reason")
            self._finish = NO_REASON
        if self._filtered:
            return FILTERED
        return OK if borne else End("empty", f"finished ({self._finish}) without a token")

    def record_end(self, end: End, now: int) -> None:
        """Count this request as ended so at `now`: its class, its samples, its tokens."""
        if end.outcome == "ok":
            self._check_stamps()
        asked, choices = self.request, max(1, self.choices)
        part = self._samples.ended(self, end, now)
        least, output = asked.least_output * choices, asked.asked_output * choices
        count_end(self, end, part, least, asked.asked_input, output, asked.made_words)

    def _check_stamps(self) -> None:
        """Assert the order of a good answer's stamps: otherwise figures would contradict each other."""
        last = self.last_token if self._others is None else max(self.last_token, *self._others.values())
        first = self.first_token or self.end_at
        assert self.due <= self.begun <= self.start <= self.sent <= self.head_at <= first, "stamps out of order"
        assert first <= (self.first_answer or first) <= self.end_at >= last >= self.first_token, "stamps out of order"

    @property
    def _unseen_tokens(self) -> bool:
        """Usage counts tokens besides reasoning."""
        usage = self._usage
        return usage is not None and (usage.output or 0) > (usage.reasoning or 0)

    @property
    def unseen_at(self) -> int:
        """Stamp of the first token of a stream whose tokens no event carried: the finish reason's, else the end
        event's.
        0: there was no token, or an event carried it."""
        unseen = not self.first_token and not self._whole and self._unseen_tokens
        return (self._finish_at or self.end_at) if unseen else 0

    @property
    def output(self) -> tuple[int, bool]:
        """Output tokens so far, and whether the server's usage says so; otherwise token events are counted."""
        if self._reports is None:
            # a usage of zeros counts as none, unless the answer has nothing to count
            return self.event_count, self._tokenless and (self._usage is not None or not self.inputs)
        return self._reports.total(self.event_count, self.choices, len(self._finished or ()))

    def pace(self) -> Pace | None:
        """The time per token after the first ones; None: no token event followed the first one.

        With several choices the time is taken over all of them, because usage counts the tokens of all choices
        together. Hidden reasoning was generated before the first token. Reasoning that may be a summary comes at a pace
        of its own: if usage counts it, only the visible answer is measured.
        """
        events, choices = self.event_count, self.choices
        if events <= choices:
            return None
        reports, usage = self._reports, self._usage
        span = self.last_token + (sum(self._others.values()) if self._others else 0) - self._firsts
        tokens, by_usage = self.output
        if reports is None or usage is None:
            self._samples.text_was_wanted(False)
            return pace_of(self._answer(span, events, None))
        reasoning = usage.reasoning or 0
        if reasoning >= tokens or (self._reasoning_streamed and not self._summarized):
            reasoning = 0
        hidden = max(reasoning, reports.before_first)
        self._samples.text_was_wanted(tokens - hidden > events + choices)
        if not by_usage:
            return stale_pace(self._answer(span, events, tokens))
        if span and self.first_block == choices == 1 and tokens == events and not hidden:
            return Pace(span // (events - 1))
        if reasoning and self._summarized:
            if not 0 < self.first_answer < self.last_token:
                return None
            span, events = self.last_token - self.first_answer, events - self._before_answer
            return pace_of(self._answer(span, events, tokens - reasoning, whole=False)) if events > 1 else None
        return pace_of(self._answer(span, events, tokens - hidden))

    def _answer(self, span: int, events: int, tokens: int | None, *, whole: bool = True) -> Answer:
        reports = self._reports
        kept = whole and 0 < self._texts_since == self._samples.keeps_texts  # of all its token events
        alike = reports is None or reports.with_tokens in (0, self.event_count)  # usage surrounds no text, or each
        first_events = self.first_block if whole and self.choices == 1 else self.choices
        return Answer(
            span=span,
            events=events,
            first_events=first_events,
            pieces=self.event_count - self.joined,
            choices=self.choices,
            tokens=tokens,
            after_first=reports.after_first(events, first_events, self.choices)
            if reports is not None and whole
            else None,
            ended_itself=self._finish not in _CUT_BY_LIMIT,
            before=(self.first_token if whole else self.first_answer) - self.sent,
            texts=texts_of(self._first_data, self.last_data, self.token_bytes, events) if kept and alike else Texts(),
        )

    def _token(self, choice: int, *, visible: bool, now: int) -> None:
        if not self.first_token:
            self.first_token = now
            self._samples.first_token((now - self.start) // 1000, (now - self.due) // 1000)
        if visible and not self.first_answer:
            self.first_answer = now
            self._before_answer = self.event_count
            self._samples.first_answer((now - self.start) // 1000)
        if self._finished and choice in self._finished:
            self._revoke(choice)
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
            self._samples.gaps.append(gap)
            self.gaps.append(gap)
        else:
            self.choices += 1
            self._firsts += now
            self._running += 1
            self._samples.first_of_choice()
