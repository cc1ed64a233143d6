"""Whether an answer passes its checks, and if not, which one it fails and what was found instead."""

import re
from collections.abc import Callable, Iterable

from llmstress.engine.api.answers import Answer
from llmstress.engine.api.lenient import read_json
from llmstress.engine.checks.check import KINDS, Check
from llmstress.engine.checks.schemas import validator_of
from llmstress.engine.checks.time_limit import TookTooLong, time_limit

LONGEST_S = 0.05
"""Time that all checks of an answer may take, in seconds: nothing else is read meanwhile. It bounds regular expressions
and schemas that take very long on an unlucky text."""

TOO_LONG = "undecided"
"""What the text of a failure says of a check that could not be decided."""

HIDDEN = "the answer may hold a secret, and is not shown"

_SHOWN = 1000
"""Characters of an answer in the text of a failure. Samples show less, once secrets are taken out."""


class Ended:
    """What the checks are about: an answer that has ended well."""

    __slots__ = ("answer", "finish", "tokens")

    def __init__(self, answer: Answer, finish: str, tokens: int) -> None:
        """answer: what it says; may be empty if no check reads it. finish: its finish reason. tokens: of its output."""
        self.answer = answer
        self.finish = finish
        self.tokens = tokens


Fault = Callable[[Ended], str]
"""Gives what is wrong with an answer; empty: nothing."""


class Judge:
    """The checks of one task."""

    def __init__(self, checks: Iterable[Check], *, shows: bool = True) -> None:
        """shows: what is found may have texts of the answer; that to a login may hold a secret.

        Raises:
            ValueError: as in `validator_of`.
        """
        self._faults: list[tuple[Check, Fault]] = [(check, _MAKERS[check.kind](check.value)) for check in checks]
        self._shows = shows
        self.reads = any(KINDS[check.kind].reads for check, _ in self._faults)
        """Some check needs what answers say."""

    def fault(self, ended: Ended) -> str:
        """The first check that the answer fails, and what was found; empty: it passes all of them."""
        check = None
        try:
            with time_limit(LONGEST_S):
                for check, fault in self._faults:
                    if found := fault(ended):
                        shown = self._shows or not KINDS[check.kind].reads
                        return f"{check}: {found if shown else HIDDEN}"
        except TookTooLong:
            return f"{check}: {TOO_LONG}, it took more than {LONGEST_S * 1000:g} ms"
        except RecursionError:
            return f"{check}: {TOO_LONG}, the answer is nested too deeply"
        except OverflowError:
            return f"{check}: {TOO_LONG}, the answer has a number that is too large"
        return ""


def _not_empty(value: str) -> Fault:
    return lambda ended: (
        "" if ended.answer.text.strip() or ended.answer.tools else f"the text is empty{_besides(ended.answer)}"
    )


def _contains(value: str) -> Fault:
    return lambda ended: "" if value in ended.answer.text else _text(ended.answer)


def _lacks(value: str) -> Fault:
    return lambda ended: (
        "" if (at := ended.answer.text.find(value)) < 0 else f"found in {_shown(ended.answer.text[max(0, at - 40) :])}"
    )


def _matches(value: str) -> Fault:
    search = re.compile(value).search
    return lambda ended: "" if search(ended.answer.text) else _text(ended.answer)


def _is_json(value: str) -> Fault:
    def fault(ended: Ended) -> str:
        try:
            read_json(ended.answer.text.encode("utf-8", "replace"))
        except ValueError as error:
            return f"not JSON ({error}): {_text(ended.answer)}"
        return ""

    return fault


def _fits_schema(value: str) -> Fault:
    fault_of = validator_of(value)

    def fault(ended: Ended) -> str:
        try:
            found = read_json(ended.answer.text.encode("utf-8", "replace"))
        except ValueError as error:
            return f"not JSON ({error}): {_text(ended.answer)}"
        return fault_of(found)[:_SHOWN]

    return fault


def _has_tokens(value: str) -> Fault:
    least = int(value)
    return lambda ended: "" if ended.tokens >= least else f"{ended.tokens} tokens"


def _finishes(value: str) -> Fault:
    allowed = value.split(",")
    return lambda ended: "" if ended.finish in allowed else f"the finish reason is {ended.finish}"


def _calls(value: str) -> Fault:
    def fault(ended: Ended) -> str:
        names = [call.name for call in ended.answer.tools]
        if (names and value == "*") or value in names:
            return ""
        return f"it calls {', '.join(names)}"[:_SHOWN] if names else f"no call; {_text(ended.answer)}"

    return fault


_MAKERS: dict[str, Callable[[str], Fault]] = {
    "not-empty": _not_empty,
    "contains": _contains,
    "not-contains": _lacks,
    "regex": _matches,
    "json": _is_json,
    "json-schema": _fits_schema,
    "min-tokens": _has_tokens,
    "finish": _finishes,
    "tool": _calls,
}


def _text(answer: Answer) -> str:
    return f"the text is {_shown(answer.text)}" if answer.text else f"the text is empty{_besides(answer)}"


def _besides(answer: Answer) -> str:
    """What an answer has that is no text."""
    if answer.tools:
        return f", it calls {answer.tools[0].name}"[:_SHOWN]
    return f"; the reasoning is {_shown(answer.reasoning)}" if answer.reasoning else ""


def _shown(text: str) -> str:
    return f'"{text[:_SHOWN]}"'
