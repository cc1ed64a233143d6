"""What each way to fail means for the run: a table, which users may change entry by entry."""

import re

import msgspec

from llmstress.engine.telemetry.classes import BY_NAME, CLASSES, STATUS_ACTIONS

COUNT = "count"
"""It counts as a failure and nothing more."""
RETRY = "retry"
"""It may pass: the request is sent again if retries are allowed."""
END_FIRST = "end-first"
"""It ends the run unless any answer was good before: nothing else would come of it."""
END = "end"
"""It ends the run."""

MEANINGS = (COUNT, RETRY, END_FIRST, END)

DEFAULTS: dict[str, str] = {
    **{str(status): action for status, action in STATUS_ACTIONS.items()},
    **{each.name: each.action for each in CLASSES if each.action != COUNT},
}
"""Class of failure (`http_404` as 404) -> what it means; any other is counted. So is a lost connection, because the
server may have processed the request."""

_STATUS = re.compile(r"(?:http_)?([13-9]\d\d|204)", re.ASCII)


def parse_entry(text: str) -> tuple[str, str]:
    """What and meaning of `529=count`, `http_404=retry`, `quota=end-first`.

    Raises:
        ValueError: it is no entry of the table.
    """
    what, equals, meaning = (part.strip() for part in text.partition("="))
    if not equals:
        raise ValueError(f"{text[:80]!r} is not like 529=count or quota=end-first")
    if meaning not in MEANINGS:
        raise ValueError(f"{meaning[:80]!r} is none of {', '.join(MEANINGS)}")
    if status := _STATUS.fullmatch(what):
        return status[1], meaning
    if what not in BY_NAME:
        raise ValueError(f"{what[:80]!r} is neither a status like 529 nor one of {', '.join(BY_NAME)}")
    return what, meaning


class Statuses(msgspec.Struct, frozen=True):
    """The table of one run: `given` are the user's entries, of which the last one that fits holds."""

    given: tuple[tuple[str, str], ...] = ()

    def meaning(self, status: int, outcome: str) -> str:
        """What it means that a request ended in class `outcome`; `status` 0: no answer came."""
        return self._given(status, outcome) or self._default(outcome)

    def is_retryable(self, status: int, outcome: str, advice: bool | None) -> bool:
        """Whether such a request may be sent again. The server's advice goes before the table, and the user's word
        before both."""
        given = self._given(status, outcome)
        if given is None and advice is not None:
            return advice
        return (given or self._default(outcome)) == RETRY

    def _given(self, status: int, outcome: str) -> str | None:
        fitting = (str(status), _key(outcome))
        return next((meaning for what, meaning in reversed(self.given) if what in fitting), None)

    def _default(self, outcome: str) -> str:
        return DEFAULTS.get(_key(outcome), COUNT)


def _key(outcome: str) -> str:
    return outcome.removeprefix("http_")
