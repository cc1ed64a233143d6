"""What follows a failure, by its class: a table of actions, which users may change entry by entry (`--on-status`)."""

import re

import msgspec

from llmstress.engine.telemetry.classes import BY_NAME, CLASSES, STATUS_ACTIONS

COUNT = "count"
"""The failure is counted, and nothing more."""
RETRY = "retry"
"""The cause may pass: the request is sent again if `--retries` allows it."""
END_FIRST = "end-first"
"""The failure ends the run, unless an answer was good before."""
END = "end"
"""The failure ends the run."""

ACTIONS = (COUNT, RETRY, END_FIRST, END)

DEFAULTS: dict[str, str] = {
    **{str(status): action for status, action in STATUS_ACTIONS.items()},
    **{each.name: each.action for each in CLASSES if each.action != COUNT},
}
"""Class of failure (`http_404` as 404) -> action; the action of any other class is `COUNT`. That includes lost
connections: the server may have processed the request."""

_STATUS = re.compile(r"(?:http_)?([13-9]\d\d|204)", re.ASCII)


def parse_entry(text: str) -> tuple[str, str]:
    """Class and action of an entry like `529=count`, `http_404=retry` or `quota=end-first`.

    Raises:
        ValueError: the text is not an entry of the table.
    """
    what, equals, action = (part.strip() for part in text.partition("="))
    if not equals:
        raise ValueError(f"{text[:80]!r} is not like 529=count or quota=end-first")
    if action not in ACTIONS:
        raise ValueError(f"{action[:80]!r} is none of {', '.join(ACTIONS)}")
    if status := _STATUS.fullmatch(what):
        return status[1], action
    if what not in BY_NAME:
        raise ValueError(f"{what[:80]!r} is neither a status like 529 nor one of {', '.join(BY_NAME)}")
    return what, action


class FailurePolicy(msgspec.Struct, frozen=True):
    """The table of one run. `given` are the user's entries; the last one that fits counts."""

    given: tuple[tuple[str, str], ...] = ()

    def action(self, status: int, outcome: str) -> str:
        """The action for a request that ended in class `outcome`; `status` 0: no answer came."""
        return self._given(status, outcome) or self._default(outcome)

    def is_retryable(self, status: int, outcome: str, advice: bool | None) -> bool:
        """Whether such a request may be sent again. The server's advice overrides the table; the user's entries
        override both."""
        given = self._given(status, outcome)
        if given is None and advice is not None:
            return advice
        return (given or self._default(outcome)) == RETRY

    def _given(self, status: int, outcome: str) -> str | None:
        fitting = (str(status), _key(outcome))
        return next((action for what, action in reversed(self.given) if what in fitting), None)

    def _default(self, outcome: str) -> str:
        return DEFAULTS.get(_key(outcome), COUNT)


def _key(outcome: str) -> str:
    return outcome.removeprefix("http_")
