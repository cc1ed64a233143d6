"""The usage reports of one answer: what they count in all, and what they counted when the first token event came.

Reports are cumulative, as the protocols say: the last one counts. Two kinds of server deviate, and can be told. Some
report with every event what that event alone carries: such counts stay equal, or fall, while tokens come. llama.cpp
reports each choice by itself once it has finished: then there are as many reports as finished choices, and the last
one counts fewer tokens than there were token events. In both cases the reports add up.
"""

FIRST_READ_NS = 5_000_000
"""A report that comes alone, so soon after the first token event, counts what that event carried."""

FEWER = 0.9
"""Below this share of the token events a count contradicts them: a token is rarely split over events."""


class Reports:
    """Counts of output tokens as they come; every count is above 0."""

    __slots__ = (
        "_count",
        "_final",
        "_first",
        "_highest",
        "_last",
        "_last_with_token",
        "_lowest",
        "_seen",
        "_seen_with_token",
        "_sum",
        "_with_tokens",
        "fell",
    )

    def __init__(self) -> None:
        self.fell = False
        """A count was lower than the one before."""
        self._count = 0
        self._sum = 0
        self._last = 0
        self._seen = 0  # token events when the last report came
        self._first = 0  # what was counted when the first token event came; 0: unknown
        self._lowest = 0  # before the first token event
        self._with_tokens = 0  # reports that came with a token event
        self._last_with_token = 0  # what the last of these counted
        self._seen_with_token = 0  # token events when it came
        self._highest = 0
        self._final = False  # the last report came without a token event

    @property
    def before_first(self) -> int:
        """Tokens reported before the first token event: nobody saw them."""
        return self._lowest

    def take(self, output: int, events: int, *, with_token: bool, at_first: bool) -> None:
        """A report of `output` tokens after `events` token events.

        with_token: it came with a token event. at_first: it came in the read of the first one, or at once after it.
        """
        if not events:
            self._lowest = output
        elif at_first:
            self._first = output
        self.fell |= output < self._last
        self._count += 1
        self._sum += output
        if with_token:
            self._with_tokens += 1
            self._last_with_token = output
            self._seen_with_token = events
        self._highest = max(self._highest, output)
        self._last = output
        self._seen = events
        self._final = not with_token

    def total(self, events: int, choices: int, finished: int) -> tuple[int, bool]:
        """Output tokens of the answer, and whether the server said so. False: token events came after the last report,
        and each of them was added as one token.

        events: token events in all; choices: how many bore tokens; finished: how many have a finish reason.
        """
        if self._count == 1 and events == self._seen:  # as with most servers
            return self._last, True
        if self._per_event(events, choices):
            return self._sum - (self._last if self._final else 0), True
        if self._per_choice(events, choices, finished):
            return self._sum, True
        since = events - self._seen
        return self._last + since, not since

    def after_first(self, events: int, first_events: int, choices: int) -> int | None:
        """Tokens generated after the first token event, as the reports count them; None: they don't tell.

        first_events: token events that came in the same read as the first one, itself included.
        """
        if choices != 1 or not self._first:
            return None
        total, said = self.total(events, choices, 0)
        if self._seen_with_token == events and not self._per_event(events, choices):
            total = self._last_with_token  # usage at the end may count a token that ends the answer
        after = total - self._first
        return after if said and after >= max(1, FEWER * (events - first_events)) else None

    def _per_event(self, events: int, choices: int) -> bool:
        """Whether each report counts its own event only."""
        if choices != 1 or self._with_tokens < max(2, events - 1):
            return False
        if self._final and self._last >= FEWER * (self._sum - self._last):
            return False  # the sum was reported at the end
        constant = self._highest * self._count == self._sum and self._count > 2
        return self.fell or constant

    def _per_choice(self, events: int, choices: int, finished: int) -> bool:
        """Whether each report counts one choice only."""
        return choices > 1 and self._count == finished > 1 and self._last < events
