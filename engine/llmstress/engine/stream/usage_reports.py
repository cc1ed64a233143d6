"""The usage reports of one answer: what they count in all, and what they counted at the first token event.

The protocols say that reports are cumulative: the last one counts. Two kinds of server deviate, and their reports can
be recognized. Some servers report with every event the tokens of that event: such counts stay equal, or fall, while
tokens come. llama.cpp reports each choice when it has finished: there are as many reports as finished choices, and the
last one counts fewer tokens than there were token events. In both cases the reports are added up.
"""

import msgspec

FIRST_READ_NS = 5_000_000
"""A report without a token event that comes within this time after the first token event counts that event's tokens."""

FEWER = 0.9
"""A count below this share of the token events contradicts them: a token is rarely split over events."""


_RISES = 3
"""Counts of single events rise at most this many times as often as they fall."""
_FALLS = 4
"""Counts that fall this often and never rise are not counts of single events."""


class Reports(msgspec.Struct, gc=False):
    """The counts of output tokens so far; every count is above 0. A msgspec struct, because making one takes 0.2 µs."""

    count: int = 0
    """Reports."""
    sum: int = 0
    last: int = 0
    highest: int = 0
    rises: int = 0
    falls: int = 0
    """How many counts were lower than the one before; `rises`: higher. The first count is a rise."""
    seen: int = 0
    """Token events when the last report came."""
    before_first: int = 0
    """Tokens reported before the first token event: they were hidden."""
    first: int = 0
    """The count at the first token event; 0: unknown."""
    with_tokens: int = 0
    """Reports that came with a token event."""
    last_with_token: int = 0
    """The count of the last of these."""
    seen_with_token: int = 0
    """Token events when it came."""
    final: bool = False
    """The last report came without a token event."""

    def take(self, output: int, events: int, *, with_token: bool, at_first: bool) -> None:
        """Take in a report of `output` tokens after `events` token events.

        with_token: the report came with a token event. at_first: it came in the read of the first token event, or at
        once after it.
        """
        if not events:
            self.before_first = output
        elif at_first:
            self.first = output
        if output > self.last:
            self.rises += 1
        elif output < self.last:
            self.falls += 1
        self.count += 1
        self.sum += output
        if with_token:
            self.with_tokens += 1
            self.last_with_token = output
            self.seen_with_token = events
        self.highest = max(self.highest, output)
        self.last = output
        self.seen = events
        self.final = not with_token

    def total(self, events: int, choices: int, finished: int) -> tuple[int, bool]:
        """Output tokens of the answer, and whether they are the server's count. False: token events came after the last
        report, and each of them is counted as one token.

        events: token events in all. choices: those with a token. finished: those with a finish reason.
        """
        if self.count == 1 and events == self.seen:  # the report of most servers
            return self.last, True
        if self._per_event(events, choices):
            return self.sum - (self.last if self.final else 0), True
        if self._per_choice(events, choices, finished):
            return self.sum, True
        since = events - self.seen
        return self.last + since, not since

    def after_first(self, events: int, first_events: int, choices: int) -> int | None:
        """Tokens that the reports count after the first token event; None: the reports don't tell.

        first_events: token events in the read of the first one, itself included.
        """
        if choices != 1 or not self.first:
            return None
        total, said = self.total(events, choices, 0)
        if self.seen_with_token == events and not self._per_event(events, choices):
            total = self.last_with_token  # usage at the end may count the token that ended the answer
        after = total - self.first
        return after if said and after >= max(1, FEWER * (events - first_events)) else None

    def _per_event(self, events: int, choices: int) -> bool:
        """Whether each report counts the tokens of its own event only."""
        if choices != 1 or self.with_tokens < max(2, events - 1):
            return False
        if self.final and self.last >= FEWER * (self.sum - self.last):
            return False  # the sum was reported at the end
        constant = self.highest * self.count == self.sum and self.count > 2
        # cumulative counts that fall now and then, and counts of remaining tokens, do not both rise and fall often
        varies = self.rises - 1 <= _RISES * self.falls and (self.rises > 1 or self.falls < _FALLS)
        return constant or (self.falls > 0 and varies)

    def _per_choice(self, events: int, choices: int, finished: int) -> bool:
        """Whether each report counts the tokens of one choice only."""
        return choices > 1 and self.count == finished > 1 and self.last < events
